// Package identity owns people: accounts, passwords and sessions, and finds the Viewer behind a session's token.
//
// A password is kept only as an argon2id hash, a session's token only as a SHA-256 hash. Whether an address is known
// cannot be told from a refused sign-in, neither by its text nor by its time. What a viewer may do is decided elsewhere,
// by role and by ownership.
package identity

import (
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/typeid"
)

// User is a person with an account.
type User struct {
	ID        uuid.UUID
	Email     string // trimmed, lower case
	Name      string
	Role      auth.Role
	CreatedAt time.Time
}

// NodeID returns the user's public id.
func (u User) NodeID() string { return typeid.Encode(typeid.User, u.ID) }

// IsNode marks what clients can read again by its id.
func (User) IsNode() {}

// Session is a signed-in device, at the only moment its token is known.
type Session struct {
	Token     string
	ExpiresAt time.Time
	User      User
}

// Lengths of a password in Unicode code points after normalisation. The minimum is what NIST SP 800-63B-4 demands of a
// password that stands alone; the maximum only bounds the work.
const (
	minPassword = 15
	maxPassword = 256
)

// SignUpInput is a new account.
type SignUpInput struct {
	Email    string
	Password string
	Name     string
}

func (in SignUpInput) normalised() SignUpInput {
	return SignUpInput{Email: normaliseEmail(in.Email), Password: norm.NFKC.String(in.Password), Name: strings.TrimSpace(norm.NFC.String(in.Name))}
}

// Validate returns BAD_USER_INPUT and names each field that cannot be used.
func (in SignUpInput) Validate() error {
	in = in.normalised()
	var bad apperr.Fields
	if !validEmail(in.Email) {
		bad.Add("input.email", "This is not an e-mail address.")
	}
	switch n := utf8.RuneCountInString(in.Password); {
	case !utf8.ValidString(in.Password) || strings.ContainsRune(in.Password, 0):
		bad.Add("input.password", "The password must be text.")
	case n < minPassword:
		bad.Add("input.password", "The password must have at least %d characters. A few words are better than symbols.", minPassword)
	case n > maxPassword:
		bad.Add("input.password", "The password must have at most %d characters.", maxPassword)
	}
	if n := utf8.RuneCountInString(in.Name); n < 1 || n > 100 || !printable(in.Name) {
		bad.Add("input.name", "The name must have 1 to 100 printable characters.")
	}
	return bad.Err()
}

func normaliseEmail(email string) string {
	return strings.ToLower(strings.TrimSpace(norm.NFKC.String(email)))
}

// validEmail accepts what net/mail takes for a bare address of at most 254 bytes with a dot in its domain.
func validEmail(email string) bool {
	if len(email) > 254 || !utf8.ValidString(email) || !printable(email) {
		return false
	}
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email {
		return false
	}
	_, domain, _ := strings.Cut(email, "@")
	return strings.Contains(strings.Trim(domain, "."), ".")
}

// printable refuses control characters and the marks that turn the direction of writing, which make one name look like
// another.
func printable(text string) bool {
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(text)
}
