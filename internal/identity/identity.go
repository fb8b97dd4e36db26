// Package identity owns people: accounts, passwords and sessions, and finds the Viewer behind a session's token.
//
// A session is a signed-in device. It gives its device two tokens: an access token, signed, short-lived and read without
// asking the database, and a refresh token, which renews both and is good once. What ends or changes a session recalls
// its access tokens, which every node learns within seconds.
//
// Somebody may also be signed in by an OpenID provider, which openid asks: as the person the provider vouches for by
// issuer and subject, and never by an address. An account may have no password then; a sign-in with one is refused as a
// wrong one is.
//
// A password is kept only as an argon2id hash, and no token at all. Whether an address is known cannot be told from a
// refused sign-in, a sign-up or a recovery, neither by its text nor by its time: what differs goes to the address itself,
// by mail. Wrong passwords are counted. An account moves to another address only when both addresses agree. What a viewer
// may do is decided elsewhere, by role and by ownership.
package identity

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"marquee/internal/apperr"
	"marquee/internal/typeid"
	"marquee/internal/words"
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

	// SecondFactorDue says that a role of the user waits for a second factor to be proved in the session.
	SecondFactorDue bool
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

// maxName is the length of a name in Unicode code points.
const maxName = 100

// SignUpInput is a new account.
type SignUpInput struct {
	Email    string
	Password string
	Name     string
	Username Change // absent: none
	Phone    Change // absent: none
}

// profile returns what of a new account goes to its profile.
func (in SignUpInput) profile() UpdateProfileInput {
	return UpdateProfileInput{Username: in.Username, Phone: in.Phone}
}

func (in SignUpInput) normalised() SignUpInput {
	in.Email, in.Password, in.Name = normaliseEmail(in.Email), norm.NFKC.String(in.Password), words.Clean(in.Name)
	return in
}

// Validate returns BAD_USER_INPUT and names each field that cannot be used.
func (in SignUpInput) Validate() error {
	in = in.normalised()
	var bad apperr.Fields
	if !validEmail(in.Email) {
		bad.Add("input.email", "This is not an e-mail address.")
	}
	checkPassword(&bad, "input.password", in.Password, in.Email, in.Name)
	checkName(&bad, "input.name", in.Name)
	in.profile().normalise(&bad)
	return bad.Err()
}

// checkName records what keeps a normalised name from being used.
func checkName(bad *apperr.Fields, path, name string) {
	words.Check(bad, path, name, maxName, "The name must have 1 to %d printable characters.")
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
