package auth

import (
	"context"
	"time"

	"marquee/internal/apperr"
)

// recent is how long a proof counts for changes that must not be left to whoever finds an open session.
const recent = 10 * time.Minute

// Recent returns nil when the viewer proved who they are within the ten minutes before now, else STEP_UP_REQUIRED.
func (v Viewer) Recent(now time.Time) error {
	if v.ProvedAt.IsZero() || now.Sub(v.ProvedAt) > recent {
		return apperr.New(apperr.StepUpRequired, "Prove again who you are before you change this.")
	}
	return nil
}

// RequireRecent returns the caller when they proved who they are within the last ten minutes, with a second factor if
// their account has one: UNAUTHENTICATED, STEP_UP_REQUIRED. A service with a clock of its own asks Viewer.Recent.
func RequireRecent(ctx context.Context) (Viewer, error) {
	v, err := Require(ctx, RoleCustomer)
	if err != nil {
		return Viewer{}, err
	}
	if err := v.Recent(time.Now()); err != nil {
		return Viewer{}, err
	}
	return v, nil
}
