package auth_test

import (
	"testing"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/auth"
)

func TestViewer_Recent(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		proved time.Time
		want   apperr.Code
	}{
		"just_proved":          {now, ""},
		"ten_minutes_ago":      {now.Add(-10 * time.Minute), ""},
		"longer_ago":           {now.Add(-10*time.Minute - time.Second), apperr.StepUpRequired},
		"never":                {time.Time{}, apperr.StepUpRequired},
		"by_a_clock_that_runs": {now.Add(time.Second), ""},
	} {
		if err := (auth.Viewer{ProvedAt: test.proved}).Recent(now); apperr.CodeOf(err) != test.want {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
