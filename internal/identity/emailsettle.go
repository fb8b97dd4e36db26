package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/audit"
	"marquee/internal/postgres"
)

const (
	// settlePage is how many changes are looked for at once.
	settlePage = 100
	// maxFaults is how many of the changes that could not be applied are told of.
	maxFaults = 10
)

// SettleEmailChanges applies the changes to which the present address has said nothing for seven days, and ends those that
// the next one has not confirmed in a day. Every node calls it, at any time. It returns how many it applied. One that fails
// keeps no other from being settled; it is tried again the next time.
func (s *Service) SettleEmailChanges(ctx context.Context) (applied int, err error) {
	var faults []error
	if err := s.lapseEmailChanges(ctx); err != nil {
		faults = append(faults, fmt.Errorf("forgetting changes of address: %w", err))
	}
	until := s.now().Add(-leaveTime)
	var last dueChange
	for more := true; more; {
		due, err := s.dueEmailChanges(ctx, last, until)
		if err != nil {
			return applied, errors.Join(append(faults, fmt.Errorf("looking for changes of address: %w", err))...)
		}
		for _, last = range due {
			switch err := s.settleEmailChange(ctx, last); {
			case err == nil:
				applied++
			case !errors.Is(err, ErrLinkExpired) && len(faults) < maxFaults: // else another node was first
				faults = append(faults, err)
			}
		}
		more = len(due) == settlePage
	}
	return applied, errors.Join(faults...)
}

// lapseEmailChanges ends the changes that the next address has not confirmed in time.
func (s *Service) lapseEmailChanges(ctx context.Context) error {
	for more := true; more; {
		err := s.db.InTx(ctx, func(tx *sql.Tx) error {
			// Whoever has one at this moment ends it, or its account, and is not waited for.
			rows, err := tx.QueryContext(ctx, `DELETE FROM email_changes WHERE id IN (SELECT id FROM email_changes
				WHERE taken_at IS NULL AND created_at <= $1 ORDER BY created_at, id LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING user_id`,
				s.now().Add(-takeTime), settlePage)
			if err != nil {
				return err
			}
			users, err := postgres.Collect(rows, func(rows *sql.Rows) (user uuid.UUID, err error) {
				err = rows.Scan(&user)
				return user, err
			})
			if err != nil {
				return err
			}
			for _, user := range users {
				if err := recordChangeTx(ctx, tx, audit.EmailChangeEnded, uuid.Nil, user, changeRecord{Ended: endLapsed}); err != nil {
					return err
				}
			}
			more = len(users) == settlePage
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dueChange is a change to which the present address has said nothing for as long as it may.
type dueChange struct {
	id, user uuid.UUID
	at       time.Time
}

// dueEmailChanges returns the changes of before until that come after one, the first of them first. One statement.
func (s *Service) dueEmailChanges(ctx context.Context, after dueChange, until time.Time) ([]dueChange, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT c.id, c.user_id, c.created_at FROM email_changes c JOIN users u ON u.id = c.user_id
		WHERE c.created_at <= $1 AND (c.created_at, c.id) > ($2, $3) AND c.taken_at IS NOT NULL AND u.disabled_at IS NULL
		ORDER BY c.created_at, c.id LIMIT $4`, until, after.at, after.id, settlePage)
	if err != nil {
		return nil, err
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (c dueChange, err error) {
		err = rows.Scan(&c.id, &c.user, &c.at)
		return c, err
	})
}

// settleEmailChange applies a change by the consent of silence: ErrLinkExpired when it is over, or its address was taken.
func (s *Service) settleEmailChange(ctx context.Context, due dueChange) error {
	var gone []uuid.UUID
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		u, c, err := s.sameEmailChangeTx(ctx, tx, due)
		if err != nil {
			return err
		}
		gone, err = s.applyEmailChangeTx(ctx, tx, u, c)
		return err
	})
	if errors.Is(err, ErrEmailTaken) {
		if err = s.giveUpEmailChange(ctx, due); err == nil {
			return ErrLinkExpired
		}
	}
	if err != nil {
		return fmt.Errorf("applying a change of address: %w", err)
	}
	s.noteEnded(gone...)
	return nil
}

// giveUpEmailChange ends a change whose address has got an account of its own: ErrLinkExpired when it is over.
func (s *Service) giveUpEmailChange(ctx context.Context, due dueChange) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		u, _, err := s.sameEmailChangeTx(ctx, tx, due)
		if err != nil {
			return err
		}
		return s.endEmailChangeTx(ctx, tx, u.ID, uuid.Nil, changeRecord{Ended: endTaken})
	})
}

// sameEmailChangeTx returns the account and the change that was found due: ErrLinkExpired when it is over, though another
// one may wait by now. Neither changes until the transaction ends.
func (s *Service) sameEmailChangeTx(ctx context.Context, tx *sql.Tx, due dueChange) (User, EmailChange, error) {
	u, c, err := s.emailChangeTx(ctx, tx, due.user)
	if err == nil && c.id != due.id {
		err = ErrLinkExpired
	}
	return u, c, err
}
