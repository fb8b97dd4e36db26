package auth

import (
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
