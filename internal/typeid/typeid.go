// Package typeid turns database keys into the ids that clients see, and back.
//
// An id is readable: a three-letter kind, an underscore and the key in Crockford base32 (lower case, as in the TypeID
// specification): mov_01h455vb4pex5vsknk084sn02q. Things of the booking core carry their showtime too, so that a
// request can be routed by it: res_<showtime><key>. An id is a name, not a secret: knowing one gives no right.
package typeid

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Kind is what an id names; its text is the id's prefix.
type Kind string

// The kinds of things that have ids.
const (
	User           Kind = "usr"
	Account        Kind = "acc"
	Session        Kind = "ses"
	Factor         Kind = "fac"
	Link           Kind = "lnk"
	Movie          Kind = "mov"
	Genre          Kind = "gen"
	Theater        Kind = "the"
	Screen         Kind = "scr"
	SeatLayout     Kind = "lay"
	Seat           Kind = "sea"
	Showtime       Kind = "sho"
	Reservation    Kind = "res"
	Payment        Kind = "pay"
	Ticket         Kind = "tic"
	Refund         Kind = "ref"
	Review         Kind = "rev"
	AuditEntry     Kind = "aud"
	PriceRule      Kind = "prr"
	Promotion      Kind = "prm"
	WebhookEvent   Kind = "whe"
	Mismatch       Kind = "mis"
	Job            Kind = "job"
	Reconciliation Kind = "rcn"
)

// ErrMalformed is returned for text that is not an id of the wanted kind.
var ErrMalformed = errors.New("typeid: malformed id")

// A key has 128 bits and 26 letters hold 130: two zero bits stand in front, as the TypeID specification has it.
const keyLength = 26

var alphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// New returns a fresh key that sorts by creation time (UUID version 7).
func New() uuid.UUID {
	return uuid.Must(uuid.NewV7())
}

// Encode returns the public id of a key.
func Encode(kind Kind, key uuid.UUID) string {
	out := make([]byte, 0, len(kind)+1+keyLength)
	out = append(append(out, kind...), '_')
	return string(appendKey(out, key))
}

// EncodeIn returns the public id of a thing that lives within a showtime.
func EncodeIn(kind Kind, showtime, key uuid.UUID) string {
	out := make([]byte, 0, len(kind)+1+2*keyLength)
	out = append(append(out, kind...), '_')
	return string(appendKey(appendKey(out, showtime), key))
}

// Decode returns the key of an id of the given kind, or ErrMalformed.
func Decode(kind Kind, id string) (uuid.UUID, error) {
	body, ok := strings.CutPrefix(id, string(kind)+"_")
	if !ok || len(body) != keyLength {
		return uuid.Nil, fmt.Errorf("%w: want %s_ and %d letters", ErrMalformed, kind, keyLength)
	}
	return parseKey(body)
}

// DecodeIn returns the showtime and the key of an id made by EncodeIn, or ErrMalformed.
func DecodeIn(kind Kind, id string) (showtime, key uuid.UUID, err error) {
	body, ok := strings.CutPrefix(id, string(kind)+"_")
	if !ok || len(body) != 2*keyLength {
		return uuid.Nil, uuid.Nil, fmt.Errorf("%w: want %s_ and %d letters", ErrMalformed, kind, 2*keyLength)
	}
	if showtime, err = parseKey(body[:keyLength]); err != nil {
		return uuid.Nil, uuid.Nil, err
	}
	if key, err = parseKey(body[keyLength:]); err != nil {
		return uuid.Nil, uuid.Nil, err
	}
	return showtime, key, nil
}

// KindOf returns the kind that an id claims to be of; the rest of the id is not looked at.
func KindOf(id string) (Kind, error) {
	prefix, _, ok := strings.Cut(id, "_")
	if !ok {
		return "", fmt.Errorf("%w: no kind", ErrMalformed)
	}
	return Kind(prefix), nil
}

// appendKey writes the 130 bits as 26 letters. Shifting the key right by two bits over 17 bytes lines the bits up for
// the standard encoder, which fills letters from the left.
func appendKey(dst []byte, key uuid.UUID) []byte {
	var shifted [17]byte
	carry := byte(0)
	for i, b := range key {
		shifted[i] = carry | b>>2
		carry = b << 6
	}
	shifted[16] = carry
	var letters [28]byte
	alphabet.Encode(letters[:], shifted[:])
	return append(dst, letters[:keyLength]...)
}

func parseKey(text string) (uuid.UUID, error) {
	var shifted [18]byte
	// The decoder passes over line breaks; an id has none.
	if strings.ContainsAny(text, "\r\n") {
		return uuid.Nil, fmt.Errorf("%w: a line break", ErrMalformed)
	}
	if _, err := alphabet.Decode(shifted[:], []byte(text+"00")); err != nil {
		return uuid.Nil, fmt.Errorf("%w: not base32", ErrMalformed)
	}
	if shifted[0] > 0x3f {
		return uuid.Nil, fmt.Errorf("%w: more than 128 bits", ErrMalformed)
	}
	var key uuid.UUID
	for i := range key {
		key[i] = shifted[i]<<2 | shifted[i+1]>>6
	}
	if key == uuid.Nil {
		return uuid.Nil, fmt.Errorf("%w: the key of nothing", ErrMalformed)
	}
	return key, nil
}
