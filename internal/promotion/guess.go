package promotion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
)

const (
	// freeGuesses is how many codes that do not exist somebody may ask for within a window, at all nodes together.
	freeGuesses = 10
	guessWindow = 10 * time.Minute
)

// guesser is who is to blame for codes that do not exist.
func (u Use) guesser() uuid.UUID {
	if u.StaffID != uuid.Nil {
		return u.StaffID
	}
	return u.ViewerID
}

// mayGuess is THROTTLED for who has guessed too often, until the window is over that began with the first wrong guess.
func (s *Service) mayGuess(ctx context.Context, who uuid.UUID) error {
	now := s.clock.Now()
	var began time.Time
	err := s.db.SQL().QueryRowContext(ctx, `SELECT began_at FROM code_guesses WHERE id = $1 AND wrong >= $2 AND began_at > $3`,
		who, freeGuesses, now.Add(-guessWindow)).Scan(&began)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading guesses: %w", err)
	}
	return tooManyGuesses(began, now)
}

func tooManyGuesses(began, now time.Time) error {
	return apperr.Throttle(began.Add(guessWindow).Sub(now), "Too many codes that do not exist.")
}

// guessed counts codes that do not exist: THROTTLED when others had used up the window meanwhile.
func (s *Service) guessed(ctx context.Context, who uuid.UUID, wrong int) error {
	now := s.clock.Now()
	var (
		all   int
		began time.Time
	)
	err := s.db.SQL().QueryRowContext(ctx, `INSERT INTO code_guesses AS g (id, wrong, began_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET wrong = CASE WHEN g.began_at > $4 THEN g.wrong + excluded.wrong ELSE excluded.wrong END,
			began_at = CASE WHEN g.began_at > $4 THEN g.began_at ELSE excluded.began_at END
		RETURNING wrong, began_at`, who, wrong, now, now.Add(-guessWindow)).Scan(&all, &began)
	if err != nil {
		return fmt.Errorf("counting guesses: %w", err)
	}
	if all-wrong >= freeGuesses {
		return tooManyGuesses(began, now)
	}
	return nil
}

// ForgetGuesses deletes the windows that are over and returns how many.
func (s *Service) ForgetGuesses(ctx context.Context) (int, error) {
	done, err := s.db.SQL().ExecContext(ctx, `DELETE FROM code_guesses WHERE began_at <= $1`, s.clock.Now().Add(-guessWindow))
	if err != nil {
		return 0, fmt.Errorf("forgetting guesses: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}
