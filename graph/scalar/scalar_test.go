package scalar_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"marquee/graph/scalar"
	"marquee/internal/apperr"
)

func written(m graphql.Marshaler) string {
	var text bytes.Buffer
	m.MarshalGQL(&text)
	return text.String()
}

// kolkata has no whole hours between it and UTC.
var kolkata = time.FixedZone("", (5*60+30)*60)

func TestMarshal(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, time.March, 1, 0, 15, 30, 0, kolkata)
	for name, test := range map[string]struct{ got, want string }{
		"moment_in_utc":         {written(scalar.MarshalDateTime(moment)), `"2026-02-28T18:45:30Z"`},
		"moment_with_fractions": {written(scalar.MarshalDateTime(moment.Add(time.Microsecond))), `"2026-02-28T18:45:30.000001Z"`},
		"wall_clock":            {written(scalar.MarshalLocalDateTime(moment)), `"2026-03-01T00:15:30"`},
		"day":                   {written(scalar.MarshalDate(time.Date(926, time.March, 1, 0, 0, 0, 0, time.UTC))), `"0926-03-01"`},
		"largest_number":        {written(scalar.MarshalBigInt(math.MaxInt64)), `"9223372036854775807"`},
		"smallest_number":       {written(scalar.MarshalBigInt(math.MinInt64)), `"-9223372036854775808"`},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", name, test.got, test.want)
		}
	}
}

// read gives every reader one shape.
func read[T any](unmarshal func(any) (T, error)) func(any) (any, error) {
	return func(v any) (any, error) { return unmarshal(v) }
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	moment, local := read(scalar.UnmarshalDateTime), read(scalar.UnmarshalLocalDateTime)
	day, number := read(scalar.UnmarshalDate), read(scalar.UnmarshalBigInt)
	for name, test := range map[string]struct {
		read func(any) (any, error)
		from any
		want any
	}{
		"moment":                {moment, "2026-03-01T00:15:30+05:30", time.Date(2026, time.February, 28, 18, 45, 30, 0, time.UTC)},
		"moment_with_fractions": {moment, "2026-03-01T00:15:30.25Z", time.Date(2026, time.March, 1, 0, 15, 30, 250_000_000, time.UTC)},
		"wall_clock":            {local, "2026-03-01T00:15:30", time.Date(2026, time.March, 1, 0, 15, 30, 0, time.UTC)},
		"leap_day":              {day, "2028-02-29", time.Date(2028, time.February, 29, 0, 0, 0, 0, time.UTC)},
		"largest_number":        {number, "9223372036854775807", int64(math.MaxInt64)},
	} {
		if got, err := test.read(test.from); err != nil || got != test.want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, test.want)
		}
	}
	for name, test := range map[string]struct {
		read func(any) (any, error)
		from any
	}{
		"moment_as_number":       {moment, int64(1_700_000_000)},
		"moment_without_zone":    {moment, "2026-03-01T00:15:30"},
		"moment_that_is_none":    {moment, "2026-02-29T00:00:00Z"},
		"moment_empty":           {moment, ""},
		"wall_clock_with_zone":   {local, "2026-03-01T00:15:30Z"},
		"wall_clock_as_nothing":  {local, nil},
		"day_that_is_none":       {day, "2026-02-29"},
		"day_with_time":          {day, "2026-02-28T00:00:00Z"},
		"day_as_list":            {day, []any{"2026-02-28"}},
		"number_as_number":       {number, int64(1)},
		"number_with_a_fraction": {number, "1.0"},
		"number_too_large":       {number, "9223372036854775808"},
		"number_empty":           {number, ""},
		"number_with_a_blank":    {number, " 1"},
	} {
		if got, err := test.read(test.from); apperr.CodeOf(err) != apperr.BadUserInput {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
