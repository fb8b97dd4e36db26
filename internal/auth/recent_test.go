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

func TestRequireRecent(t *testing.T) {
	t.Parallel()
	if v, err := auth.RequireRecent(t.Context()); apperr.CodeOf(err) != apperr.Unauthenticated || v != (auth.Viewer{}) {
		t.Errorf("nobody: %+v, %v", v, err)
	}
	want := auth.Viewer{ProvedAt: time.Now()}
	if v, err := auth.RequireRecent(auth.WithViewer(t.Context(), want)); err != nil || v != want {
		t.Errorf("who has just signed in: %+v, %v", v, err)
	}
	old := auth.Viewer{ProvedAt: time.Now().Add(-time.Hour)}
	if v, err := auth.RequireRecent(auth.WithViewer(t.Context(), old)); apperr.CodeOf(err) != apperr.StepUpRequired || v != (auth.Viewer{}) {
		t.Errorf("who signed in an hour ago: %+v, %v", v, err)
	}
}
