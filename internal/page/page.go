// Package page cuts lists into pages by key (keyset pagination) and signs the cursors that clients carry between them.
//
// A cursor holds the sort key of one item and the name of the ordering it belongs to. It is opaque and authenticated:
// a cursor of another list, another ordering or another installation is refused, so its content can be trusted.
package page

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"

	"marquee/internal/apperr"
)

// MaxSize is the largest page a client may ask for.
const MaxSize = 100

// Args are the Relay arguments of a connection field, as the client sent them.
type Args struct {
	First, Last   *int32
	After, Before *string
}

// Request is a checked page request.
type Request struct {
	Limit    int
	Backward bool     // the page ends at Before instead of starting at After
	After    []string // sort key of the item before the page; nil: from the start
	Before   []string // sort key of the item after the page; nil: to the end
}

// Page is one page of a list, in the list's own order whichever way it was asked for.
type Page[T any] struct {
	Items       []T
	HasNext     bool
	HasPrevious bool
}

// Signer encodes and checks cursors. It is safe for concurrent use.
type Signer struct{ key []byte }

// NewSigner returns a Signer for a secret key; two nodes with the same key understand each other's cursors.
func NewSigner(key []byte) *Signer { return &Signer{key: slices.Clone(key)} }

const macSize = 12

// Encode returns the cursor of an item by its sort key in the named ordering.
func (s *Signer) Encode(order string, key ...string) string {
	body, err := json.Marshal(append([]string{order}, key...))
	if err != nil {
		panic("page: strings always marshal: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(append(s.mac(body), body...))
}

// Parse checks the arguments of a connection field. The error is BAD_USER_INPUT and names the argument: exactly one of
// first and last must be given, between 1 and MaxSize, and a cursor must belong to the same ordering.
func (s *Signer) Parse(order string, args Args) (Request, error) {
	var request Request
	switch {
	case args.First != nil && args.Last != nil:
		return request, apperr.Invalid("last", "Give either first or last, not both.")
	case args.First != nil:
		request.Limit = int(*args.First)
	case args.Last != nil:
		request.Limit, request.Backward = int(*args.Last), true
	default:
		return request, apperr.Invalid("first", "Give first or last, between 1 and %d.", MaxSize)
	}
	if request.Limit < 1 || request.Limit > MaxSize {
		path := "first"
		if request.Backward {
			path = "last"
		}
		return request, apperr.Invalid(path, "%s must be between 1 and %d.", path, MaxSize)
	}
	var err error
	if request.After, err = s.decode(order, "after", args.After); err != nil {
		return request, err
	}
	request.Before, err = s.decode(order, "before", args.Before)
	return request, err
}

func (s *Signer) decode(order, path string, cursor *string) ([]string, error) {
	if cursor == nil {
		return nil, nil
	}
	refused := apperr.Invalid(path, "This cursor is not one of this list.")
	raw, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err != nil || len(raw) <= macSize || !hmac.Equal(raw[:macSize], s.mac(raw[macSize:])) {
		return nil, refused
	}
	var parts []string
	if err := json.Unmarshal(raw[macSize:], &parts); err != nil || len(parts) < 2 || parts[0] != order {
		return nil, refused
	}
	return parts[1:], nil
}

func (s *Signer) mac(body []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(body)
	return h.Sum(nil)[:macSize]
}

// Cut makes a page of rows that were read in the direction of the request with a limit of request.Limit + 1: the extra
// row only says that there is more.
func Cut[T any](request Request, rows []T) Page[T] {
	more := len(rows) > request.Limit
	if more {
		rows = rows[:request.Limit]
	}
	if request.Backward {
		rows = slices.Clone(rows)
		slices.Reverse(rows)
		return Page[T]{Items: rows, HasPrevious: more, HasNext: request.Before != nil}
	}
	return Page[T]{Items: rows, HasNext: more, HasPrevious: request.After != nil}
}
