package apperr_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"marquee/internal/apperr"
)

var errCause = errors.New("dial tcp 10.0.0.7:5432: refused")

func TestCodeOf(t *testing.T) {
	t.Parallel()
	conflict := apperr.New(apperr.Conflict, "Later.")
	for name, test := range map[string]struct {
		err  error
		want apperr.Code
	}{
		"nil":                       {nil, ""},
		"any_other":                 {errCause, apperr.Internal},
		"itself":                    {conflict, apperr.Conflict},
		"at_any_depth":              {fmt.Errorf("a: %w", fmt.Errorf("b: %w", conflict)), apperr.Conflict},
		"among_several":             {errors.Join(errCause, conflict), apperr.Conflict},
		"the_outermost_of_two":      {apperr.Wrap(conflict, apperr.NotFound, "Gone."), apperr.NotFound},
		"with_a_cause":              {apperr.Wrap(errCause, apperr.Unavailable, "Away."), apperr.Unavailable},
		"a_nil_that_is_not_nothing": {error(nil), ""},
	} {
		if got := apperr.CodeOf(test.err); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{
		0: "Too soon. Try again in a second.", time.Millisecond: "Too soon. Try again in a second.", time.Second: "Too soon. Try again in a second.",
		1001 * time.Millisecond: "Too soon. Try again in 2 seconds.", time.Minute: "Too soon. Try again in 60 seconds.",
	} {
		if got := apperr.Throttle(wait, "Too %s.", "soon"); got.Message != want || got.RetryAfter != wait || got.Code != apperr.Throttled {
			t.Errorf("%s: %+v, want %q", wait, got, want)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	plain := apperr.New(apperr.Conflict, "%d of %d seats.", 3, 4)
	if plain.Message != "3 of 4 seats." || plain.Error() != plain.Message || errors.Unwrap(plain) != nil {
		t.Errorf("%+v reads %q", plain, plain)
	}
	wrapped := apperr.Wrap(errCause, apperr.Unavailable, "The %s is away.", "database")
	if wrapped.Message != "The database is away." || strings.Contains(wrapped.Message, errCause.Error()) {
		t.Errorf("the caller reads %q", wrapped.Message)
	}
	if got := wrapped.Error(); got != "The database is away.: "+errCause.Error() || !errors.Is(wrapped, errCause) {
		t.Errorf("the log reads %q", got)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	if got := apperr.Missing("seat"); got.Code != apperr.NotFound || got.Message != "There is no such seat." || got.Fields != nil {
		t.Errorf("%+v", got)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	got := apperr.Invalid("input.seatIds.2", "Choose %d seats.", 2)
	want := apperr.FieldError{Path: "input.seatIds.2", Message: "Choose 2 seats."}
	if got.Code != apperr.BadUserInput || got.Message != want.Message || !slices.Equal(got.Fields, []apperr.FieldError{want}) {
		t.Errorf("%+v", got)
	}
}

func TestFields_Err(t *testing.T) {
	t.Parallel()
	var fields apperr.Fields
	if err := fields.Err(); err != nil {
		t.Fatalf("nothing wrong is %v", err)
	}
	fields.Add("b", "Second %s.", "sentence")
	fields.Add("a", "First sentence.")
	fields.Add("b", "Third sentence.")
	fields.Add("c", "First sentence.")
	err := fields.Err()
	got, ok := errors.AsType[*apperr.Error](err)
	if !ok || got.Code != apperr.BadUserInput || got.Message != "First sentence. Second sentence. Third sentence." {
		t.Fatalf("%#v", err)
	}
	want := []apperr.FieldError{{Path: "a", Message: "First sentence."}, {Path: "b", Message: "Second sentence."}, {Path: "b", Message: "Third sentence."}, {Path: "c", Message: "First sentence."}}
	if !slices.Equal(got.Fields, want) {
		t.Errorf("%+v, want %+v", got.Fields, want)
	}
	// What was returned is the caller's.
	got.Fields[0].Path = "changed"
	again, _ := errors.AsType[*apperr.Error](fields.Err())
	if again.Fields[0].Path != "a" {
		t.Error("the list can be changed through an error")
	}
}

func TestFields_Text(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	for name, test := range map[string]struct {
		text *string
		good bool
	}{
		"absent":               {nil, true},
		"one_character":        {text("x"), true},
		"as_long_as_allowed":   {text("12345"), true},
		"five_wide_characters": {text("映画館の席"), true},
		"empty":                {text(""), false},
		"too_long":             {text("123456"), false},
		"six_wide_characters":  {text("映画館の席券"), false},
		"no_UTF-8":             {text("ab\xff"), false},
		"a_surrogate":          {text("\xed\xa0\x80"), false},
		"a_zero":               {text("ab\x00"), false},
		"far_too_long":         {text(strings.Repeat("x", 1<<20)), false},
	} {
		var fields apperr.Fields
		fields.Text("filter.city", test.text, 5)
		err := fields.Err()
		if (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
		if got, ok := errors.AsType[*apperr.Error](err); ok && (got.Fields[0].Path != "filter.city" || got.Message != "Give 1 to 5 characters.") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
