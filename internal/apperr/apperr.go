// Package apperr is the vocabulary of failures that may leave the program.
//
// A domain returns an *Error when the caller can do something about the condition; anything else that reaches the edge
// is INTERNAL: its text goes to the log, never to the caller. Messages are sentences for people, without a secret,
// an SQL text or another person's data. Refusals that carry data (lost seats, a decline) are not errors: they are
// results of the domain call.
package apperr

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode/utf8"
)

// Code is the stable, machine-readable kind of an error, sent to clients as extensions.code.
type Code string

// The codes of the API. A client may branch on these and on nothing else.
const (
	Unauthenticated      Code = "UNAUTHENTICATED"        // no valid session
	Forbidden            Code = "FORBIDDEN"              // signed in, but the role does not allow it
	SecondFactorRequired Code = "SECOND_FACTOR_REQUIRED" // allowed after a second factor
	StepUpRequired       Code = "STEP_UP_REQUIRED"       // too long since the caller proved who they are
	NotFound             Code = "NOT_FOUND"              // missing, or someone else's: indistinguishable on purpose
	BadUserInput         Code = "BAD_USER_INPUT"         // the request can never succeed as it is
	Conflict             Code = "CONFLICT"               // the state of the thing does not allow it
	IdempotencyKeyReused Code = "IDEMPOTENCY_KEY_REUSED" // same key, other input
	Throttled            Code = "THROTTLED"              // too many or too expensive; try later
	Unavailable          Code = "UNAVAILABLE"            // a part of the service is away; try again
	Internal             Code = "INTERNAL"               // a defect or an unforeseen fault
)

// FieldError says what is wrong with one input, by its path from the arguments: "input.seatIds.2".
type FieldError struct {
	Path    string
	Message string
}

// Error is a failure that may be shown to the caller.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError
	// RetryAfter is how long to wait before another try, 0 when that is not known.
	RetryAfter time.Duration
	cause      error
}

// New returns an Error with a message fit for the caller.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with a cause that is logged and never shown.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), cause: cause}
}

// Throttle is the THROTTLED answer to who came too early: why, and in how many seconds to come again.
func Throttle(wait time.Duration, format string, args ...any) *Error {
	again := "in a second"
	if seconds := int64((wait + time.Second - 1) / time.Second); seconds > 1 {
		again = fmt.Sprintf("in %d seconds", seconds)
	}
	return &Error{Code: Throttled, RetryAfter: wait, Message: fmt.Sprintf(format, args...) + " Try again " + again + "."}
}

// Missing is the NOT_FOUND answer for a thing, whether it does not exist or belongs to someone else.
func Missing(thing string) *Error { return New(NotFound, "There is no such %s.", thing) }

// Invalid is the BAD_USER_INPUT answer for one field.
func Invalid(path, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return &Error{Code: BadUserInput, Message: message, Fields: []FieldError{{Path: path, Message: message}}}
}

// Renamed returns an error whose fields are those of an input that has them at another path: what begins with from begins with
// to. Any other error it returns as it is.
func Renamed(err error, from, to string) error {
	bad, ok := errors.AsType[*Error](err)
	if !ok || len(bad.Fields) == 0 {
		return err
	}
	renamed := *bad
	renamed.Fields = make([]FieldError, len(bad.Fields))
	for i, field := range bad.Fields {
		if rest, found := strings.CutPrefix(field.Path, from); found {
			field.Path = to + rest
		}
		renamed.Fields[i] = field
	}
	return &renamed
}

// Error returns the message, followed by the cause for the log.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the outermost *Error in err's chain, INTERNAL when there is none and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// Fields collects what is wrong with an input, so that the caller learns everything at once. The zero value is ready.
type Fields struct{ list []FieldError }

// Add records a problem with the field at path.
func (f *Fields) Add(path, format string, args ...any) {
	f.list = append(f.list, FieldError{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Text records a problem with an optional text that is not 1 to most characters of valid UTF-8 without NUL.
func (f *Fields) Text(path string, text *string, most int) {
	if text == nil {
		return
	}
	n := utf8.RuneCountInString(*text)
	if n < 1 || n > most || !utf8.ValidString(*text) || strings.ContainsRune(*text, 0) {
		f.Add(path, "Give 1 to %d characters.", most)
	}
}

// Err returns nil when nothing was recorded, else one BAD_USER_INPUT error that names every field. Its message says each
// sentence once.
func (f *Fields) Err() error {
	if len(f.list) == 0 {
		return nil
	}
	fields := append([]FieldError(nil), f.list...)
	sort.SliceStable(fields, func(i, j int) bool { return fields[i].Path < fields[j].Path })
	var messages []string
	said := map[string]bool{}
	for _, field := range fields {
		if !said[field.Message] {
			messages = append(messages, field.Message)
			said[field.Message] = true
		}
	}
	return &Error{Code: BadUserInput, Message: strings.Join(messages, " "), Fields: fields}
}
