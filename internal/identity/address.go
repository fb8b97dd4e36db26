package identity

import (
	"net/mail"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"marquee/internal/words"
)

// maxEmail is the length of an address in bytes, of RFC 5321.
const maxEmail = 254

// normaliseEmail returns the one form in which an address is kept, looked for and written to, or "" for what is none.
//
// Two spellings are one address only where all mail systems agree, or the letters are the same text to Unicode: letters
// of either case, composed and decomposed accents, and the ways to write one domain. Everything else that looks alike is
// another mailbox, which may have an account of its own and never matches somebody else's: plus tags, dots, and letters of
// other scripts. Letters that are merely compatible with plain ones (wide, ligatures, the sign for Kelvin) are in no
// address, so that no provider that tells them apart can hand out a twin.
func normaliseEmail(text string) string {
	text = strings.TrimSpace(text)
	at := strings.LastIndexByte(text, '@')
	if at < 0 || len(text) > 4*maxEmail || !utf8.ValidString(text) {
		return ""
	}
	local, domain := text[:at], text[at+1:]
	lowered := cases.Lower(language.Und).String(norm.NFC.String(local))
	if norm.NFKC.String(lowered) != lowered || isASCII(lowered) != isASCII(local) {
		return ""
	}
	host, err := mailHosts().ToASCII(domain)
	if err != nil || strings.HasSuffix(host, ".") {
		return ""
	}
	email := lowered + "@" + host
	if len(email) > maxEmail || !words.Printable(email) || strings.ContainsFunc(email, words.IsJoiner) {
		return ""
	}
	return email
}

// validEmail accepts a normalised address that net/mail takes for a bare one and whose domain has a dot.
func validEmail(email string) bool {
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email {
		return false
	}
	_, domain, _ := strings.Cut(email, "@")
	return strings.Contains(domain, ".")
}

// mailHosts reads the domain of an address as resolvers do, so that what is kept is what is asked for: every way to write
// a domain becomes the same xn-- form, and domains that only look alike stay apart.
func mailHosts() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
