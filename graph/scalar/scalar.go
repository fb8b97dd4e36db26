// Package scalar reads and writes the custom scalars of the schema. What cannot be read is BAD_USER_INPUT. It stands
// beside graph because generated code imports it.
package scalar

import (
	"io"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"marquee/internal/apperr"
)

// MarshalDateTime writes a moment in UTC, RFC 3339.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return quoted(t.UTC().Format(time.RFC3339Nano))
}

// UnmarshalDateTime reads RFC 3339 with any offset.
func UnmarshalDateTime(v any) (time.Time, error) {
	text, ok := v.(string)
	if !ok {
		return time.Time{}, apperr.New(apperr.BadUserInput, "A DateTime is a text.")
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, apperr.New(apperr.BadUserInput, "A DateTime looks like 2026-11-22T19:30:00Z.")
	}
	return t.UTC(), nil
}

// MarshalLocalDateTime writes the wall clock of a time in its own location, without the location.
func MarshalLocalDateTime(t time.Time) graphql.Marshaler {
	return quoted(t.Format("2006-01-02T15:04:05"))
}

// UnmarshalLocalDateTime reads a wall-clock time as if it were UTC.
func UnmarshalLocalDateTime(v any) (time.Time, error) {
	text, ok := v.(string)
	if !ok {
		return time.Time{}, apperr.New(apperr.BadUserInput, "A LocalDateTime is a text.")
	}
	t, err := time.Parse("2006-01-02T15:04:05", text)
	if err != nil {
		return time.Time{}, apperr.New(apperr.BadUserInput, "A LocalDateTime looks like 2026-11-22T20:30:00.")
	}
	return t, nil
}

// MarshalDate writes a calendar day.
func MarshalDate(t time.Time) graphql.Marshaler {
	return quoted(t.Format(time.DateOnly))
}

// UnmarshalDate reads a calendar day as midnight UTC.
func UnmarshalDate(v any) (time.Time, error) {
	text, ok := v.(string)
	if !ok {
		return time.Time{}, apperr.New(apperr.BadUserInput, "A Date is a text.")
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, apperr.New(apperr.BadUserInput, "A Date looks like 2026-11-22.")
	}
	return t, nil
}

// MarshalBigInt writes a 64-bit number as a string.
func MarshalBigInt(n int64) graphql.Marshaler {
	return quoted(strconv.FormatInt(n, 10))
}

// UnmarshalBigInt reads a 64-bit number from a string of digits.
func UnmarshalBigInt(v any) (int64, error) {
	text, ok := v.(string)
	if !ok {
		return 0, apperr.New(apperr.BadUserInput, "A BigInt is a text of digits.")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, apperr.New(apperr.BadUserInput, "A BigInt is a text of digits within 64 bits.")
	}
	return n, nil
}

// quoted writes text that needs no escaping.
func quoted(text string) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, `"`+text+`"`)
	})
}
