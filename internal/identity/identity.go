// Package identity owns people: accounts, passwords and sessions, and finds the Viewer behind a session's token.
//
// A session is a signed-in device. It gives its device two tokens: an access token, signed, short-lived and read without
// asking the database, and a refresh token, which renews both and is good once. What ends or changes a session recalls
// its access tokens, which every node learns within seconds.
//
// A password is kept only as an argon2id hash, and no token at all. Whether an address is known cannot be told from a
// refused sign-in, neither by its text nor by its time; wrong passwords are counted. What a viewer may do is decided
// elsewhere, by role and by ownership.
package identity

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"marquee/internal/apperr"
	"marquee/internal/typeid"
)

// User is a person with an account.
type User struct {
	ID    uuid.UUID
	Email string // trimmed, lower case
	// EmailVerified says that somebody who reads mails to the address has said to be the user.
	EmailVerified bool
	Name          string
	CreatedAt     time.Time
}

// NodeID returns the user's public id.
func (u User) NodeID() string { return typeid.Encode(typeid.User, u.ID) }

// IsNode marks what clients can read again by its id.
func (User) IsNode() {}

// Tokens are what a device gets at sign-in and at each renewal. They are shown once.
type Tokens struct {
	Access           string
	AccessExpiresAt  time.Time
	Refresh          string
	RefreshExpiresAt time.Time // unless it is renewed before
	User             User
}

// Device is where a request comes from.
type Device struct {
	Name    string // what it calls itself, cut to 200 characters
	Address string // its network address, for counting wrong guesses
}

// Session is a signed-in device, as its user sees it.
type Session struct {
	ID        uuid.UUID
	UserID    uuid.UUID
	Device    string
	CreatedAt time.Time
	RenewedAt time.Time
	ExpiresAt time.Time
}

// NodeID returns the session's public id.
func (s Session) NodeID() string { return typeid.Encode(typeid.Session, s.ID) }

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
	checkPassword(&bad, "input.password", in.Password, in.Email, in.Name)
	if n := utf8.RuneCountInString(in.Name); n < 1 || n > 100 || !printable(in.Name) {
		bad.Add("input.name", "The name must have 1 to 100 printable characters.")
	}
	return bad.Err()
}

// checkPassword records what keeps a normalised password of a person from being used.
func checkPassword(bad *apperr.Fields, path, password, email, name string) {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		bad.Add(path, "The password must be text.")
	case n < minPassword:
		bad.Add(path, "The password must have at least %d characters. A few words are better than symbols.", minPassword)
	case n > maxPassword:
		bad.Add(path, "The password must have at most %d characters.", maxPassword)
	case isGuessable(password, email, name):
		bad.Add(path, "This password is among the first that are guessed: it is common, a repetition, a row of keys, or your own name.")
	}
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
