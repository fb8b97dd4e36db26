package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/postgres"
)

// Guess limits: wrong passwords are counted in a row, in the database, so that aliases, batches, sockets and nodes make
// no difference. Past the free ones each further guess must wait, twice as long each time. Three counts rule together:
//
//   - of one source at one account, which is the tight one;
//   - of one account from anywhere, against a crowd of sources. It does not bind a source that has signed in to the
//     account before, so nobody can lock somebody else out of their own home;
//   - of one source at any account, against one password tried on many.
//
// An account that does not exist is counted as one that does. A try counts as a failure from its start until it turns
// out to be none, so tries side by side count like tries in a row.
type guessRule struct {
	free    int // failures without consequence
	longest time.Duration
}

var (
	sourceAtAccountRule = guessRule{free: 5, longest: 15 * time.Minute}
	accountRule         = guessRule{free: 20, longest: 15 * time.Minute}
	sourceRule          = guessRule{free: 50, longest: 15 * time.Minute}
)

const (
	// guessMemory is how long after the last failure a row of failures is forgotten.
	guessMemory = 24 * time.Hour
	// homeMemory is how long a source counts as one that has signed in to the account before.
	homeMemory = 90 * 24 * time.Hour
)

// wait is how long after the last of so many failures the next guess may come.
func (r guessRule) wait(failures int) time.Duration {
	over := failures - r.free
	if over < 0 {
		return 0
	}
	const most = 20 // doublings, which is past every longest wait
	return min(time.Second<<min(over, most), r.longest)
}

// guess is one try that has been admitted and counts as failed until succeed is called.
type guess struct {
	sourceAtAccount, account, source uuid.UUID
}

// admitGuess counts a try for an account from a source: THROTTLED with the time to wait when it comes too early, in
// which case nothing is counted.
func (s *Service) admitGuess(ctx context.Context, account, source string) (guess, error) {
	g := guess{s.subject("source at account", account, source), s.subject("account", account), s.subject("source", source)}
	subjects := postgres.UUIDs{g.sourceAtAccount, g.account, g.source}
	now := s.now()
	var wait time.Duration
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		wait = 0
		// Everybody takes the rows in one order.
		if _, err := tx.ExecContext(ctx, `INSERT INTO guesses (id, failed_at) SELECT id, $2 FROM unnest($1::uuid[]) id ORDER BY id
			ON CONFLICT (id) DO NOTHING`, subjects, now); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT id, failures, failed_at, coalesce(succeeded_at > $2, false)
			FROM guesses WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE`, subjects, now.Add(-homeMemory))
		if err != nil {
			return err
		}
		type count struct {
			id       uuid.UUID
			failures int
			failedAt time.Time
			home     bool
		}
		counts, err := postgres.Collect(rows, func(rows *sql.Rows) (c count, err error) {
			err = rows.Scan(&c.id, &c.failures, &c.failedAt, &c.home)
			return c, err
		})
		if err != nil {
			return err
		}
		home := slices.ContainsFunc(counts, func(c count) bool { return c.home })
		for _, c := range counts {
			ago := now.Sub(c.failedAt)
			rule := sourceAtAccountRule
			switch {
			case ago > guessMemory:
				continue
			case c.id == g.account:
				if rule = accountRule; home {
					continue
				}
			case c.id == g.source:
				rule = sourceRule
			}
			wait = max(wait, rule.wait(c.failures)-ago)
		}
		if wait > 0 {
			return nil
		}
		_, err = tx.ExecContext(ctx, `UPDATE guesses SET failed_at = $2, failures = 1 + CASE WHEN failed_at < $3 THEN 0 ELSE failures END
			WHERE id = ANY($1::uuid[])`, subjects, now, now.Add(-guessMemory))
		return err
	})
	if err != nil {
		return guess{}, fmt.Errorf("counting a guess: %w", err)
	}
	if wait > 0 {
		return guess{}, apperr.Throttle(wait, "Too many wrong tries.")
	}
	return g, nil
}

// succeed takes a try back: the password was right. The account's and the source's own row of failures is over; what
// else the source has tried stays counted.
func (s *Service) succeed(ctx context.Context, g guess) error {
	_, err := s.db.SQL().ExecContext(ctx, `WITH wanted AS (SELECT id FROM guesses WHERE id IN ($1, $2, $3) ORDER BY id FOR UPDATE)
		UPDATE guesses g SET
			failures = CASE WHEN g.id = $3 THEN greatest(g.failures - 1, 0) ELSE 0 END,
			succeeded_at = CASE WHEN g.id = $1 THEN $4 ELSE g.succeeded_at END
		FROM wanted w WHERE g.id = w.id`, g.sourceAtAccount, g.account, g.source, s.now())
	if err != nil {
		return fmt.Errorf("forgiving guesses: %w", err)
	}
	return nil
}

// takeBack makes a try count as if it had never been made, because nobody looked at it.
func (s *Service) takeBack(ctx context.Context, g guess) error {
	_, err := s.db.SQL().ExecContext(ctx, `WITH wanted AS (SELECT id FROM guesses WHERE id IN ($1, $2, $3) ORDER BY id FOR UPDATE)
		UPDATE guesses g SET failures = greatest(g.failures - 1, 0) FROM wanted w WHERE g.id = w.id`, g.sourceAtAccount, g.account, g.source)
	if err != nil {
		return fmt.Errorf("taking a guess back: %w", err)
	}
	return nil
}

// subject hides whose failures are counted.
func (s *Service) subject(parts ...string) uuid.UUID {
	mac := hmac.New(sha256.New, s.guessKey)
	for _, part := range parts {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	return uuid.UUID(mac.Sum(nil)[:16])
}

// ForgetGuesses deletes counts that have no consequence any more and returns how many. One statement.
func (s *Service) ForgetGuesses(ctx context.Context) (int, error) {
	done, err := s.db.SQL().ExecContext(ctx, `DELETE FROM guesses WHERE failed_at < $1 AND (succeeded_at IS NULL OR succeeded_at < $2)`,
		s.now().Add(-guessMemory), s.now().Add(-homeMemory))
	if err != nil {
		return 0, fmt.Errorf("forgetting guesses: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}
