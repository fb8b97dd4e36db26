// Package privacy carries out what people may ask about their data: to have all of it, and to be forgotten.
//
// Both go by one list, the classification: each column of each table that holds rows of persons, what it tells, whether
// the export gives it out, and what an erasure does with it. A test compares the list with the database, so that a column
// nobody thought about fails it.
//
// An erasure deletes the account and everything that leads to the person, at once, in one transaction. What the books
// need stays (reservations, payments, tickets), under an id that leads to nobody, and no amount changes. Address and
// username are free again. The id is kept in a list, for backups: a backup that was made before the erasure has the
// person in it, and whoever restores one runs Replay with the list.
//
// Holds are released. Paid reservations are not cancelled: they would be worthless to their owner only if they wanted
// that, so an erasure is refused while some are ahead, unless the person says that they may be left behind.
package privacy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/clock"
	"marquee/internal/identity"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/vault"
	"marquee/internal/words"
)

// Service erases and exports. It is safe for concurrent use.
type Service struct {
	db       *postgres.DB
	vault    *vault.Vault
	identity *identity.Service
	booking  *booking.Service
	clock    clock.Clock
	log      *slog.Logger
}

// NewService returns a Service. One that only lists and replays erasures needs no bookings.
func NewService(db *postgres.DB, v *vault.Vault, accounts *identity.Service, bookings *booking.Service, c clock.Clock, log *slog.Logger) *Service {
	return &Service{db: db, vault: v, identity: accounts, booking: bookings, clock: c, log: log}
}

// EraseInput asks for an account to be erased.
type EraseInput struct {
	UserID uuid.UUID
	// LeaveReservations says that paid reservations of showtimes that are not over may be left behind: they stay paid, and
	// nobody can cancel them any more.
	LeaveReservations bool
	Reason            string // why, when somebody else asks for it
}

// EraseResult is Erased, ReservationsAhead or InOffice.
type EraseResult interface{ isEraseResult() }

type (
	// Erased says that the account is no more.
	Erased struct{}
	// ReservationsAhead says that the account has paid reservations of showtimes that are not over. Nothing was changed.
	ReservationsAhead struct{ Count int }
	// InOffice says that the account can do more than a customer's; that is to be taken from it first. Nothing was changed.
	InOffice struct{}
)

func (Erased) isEraseResult()            {}
func (ReservationsAhead) isEraseResult() {}
func (InOffice) isEraseResult()          {}

// refusedError carries a refusal out of a transaction that is rolled back.
type refusedError struct{ EraseResult }

func (refusedError) Error() string { return "privacy: the erasure was refused" }

// EraseUser erases an account at somebody's request, as Erase does: FORBIDDEN unless the viewer runs the platform,
// BAD_USER_INPUT without a reason.
func (s *Service) EraseUser(ctx context.Context, viewer auth.Viewer, in EraseInput) (EraseResult, error) {
	if !viewer.Has(auth.RoleAdmin, auth.Platform) {
		return nil, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	if err := viewer.Recent(s.clock.Now()); err != nil {
		return nil, err
	}
	const longest = 500
	var bad apperr.Fields
	in.Reason = words.Clean(in.Reason)
	if words.Check(&bad, "input.reason", in.Reason, longest, "Say why, in 1 to %d printable characters."); bad.Err() != nil {
		return nil, bad.Err()
	}
	return s.carryOut(ctx, viewer, in)
}

// Erase erases the viewer's own account, FORBIDDEN for another: STEP_UP_REQUIRED, NOT_FOUND when there is none, CONFLICT
// while a payment of it is under way.
func (s *Service) Erase(ctx context.Context, viewer auth.Viewer, in EraseInput) (EraseResult, error) {
	if in.UserID != viewer.UserID {
		return nil, apperr.New(apperr.Forbidden, "This is not your account.")
	}
	if err := viewer.Recent(s.clock.Now()); err != nil {
		return nil, err
	}
	return s.carryOut(ctx, viewer, in)
}

// carryOut erases an account for a viewer who may have it erased.
func (s *Service) carryOut(ctx context.Context, viewer auth.Viewer, in EraseInput) (EraseResult, error) {
	user, err := s.identity.User(ctx, in.UserID)
	if err != nil {
		return nil, err
	}
	var (
		inOffice bool
		standing booking.Standing
	)
	err = s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		if inOffice, err = s.identity.InOfficeTx(ctx, tx, in.UserID); err != nil {
			return err
		}
		standing, err = s.booking.StandingTx(ctx, tx, in.UserID)
		return err
	})
	if err != nil {
		return nil, err
	}
	if inOffice {
		return InOffice{}, nil
	}
	if standing.Ahead > 0 && !in.LeaveReservations {
		return ReservationsAhead{Count: standing.Ahead}, nil
	}
	for _, held := range standing.Held {
		// One that is being paid, or has expired by itself, is judged below.
		if _, err := s.booking.Cancel(ctx, auth.Viewer{UserID: in.UserID}, held); err != nil && apperr.CodeOf(err) != apperr.Conflict {
			return nil, fmt.Errorf("releasing a hold: %w", err)
		}
	}
	err = s.erase(ctx, viewer.UserID, in.UserID, func(tx *sql.Tx, there bool) error {
		if !there {
			return apperr.Missing("user") // another request was faster
		}
		inOffice, err := s.identity.InOfficeTx(ctx, tx, in.UserID)
		if err != nil {
			return err
		}
		standing, err := s.booking.StandingTx(ctx, tx, in.UserID)
		switch {
		case err != nil:
			return err
		case inOffice:
			return refusedError{InOffice{}}
		case len(standing.Held) > 0:
			return apperr.New(apperr.Conflict, "A reservation is being made or paid at this moment. Try again when that is over.")
		case standing.Ahead > 0 && !in.LeaveReservations:
			return refusedError{ReservationsAhead{Count: standing.Ahead}}
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.AccountErased, Actor: viewer.UserID, Subject: user.NodeID(), Reason: in.Reason,
			Before: map[string]any{"reservationsAhead": standing.Ahead},
		})
	})
	if refused, ok := errors.AsType[refusedError](err); ok {
		return refused.EraseResult, nil
	}
	if err != nil {
		return nil, fmt.Errorf("erasing an account: %w", err)
	}
	return Erased{}, nil
}

// erase deletes what the classification says in one transaction with whatever else belongs to it, which is told whether
// the account is there: identity.ErrLastAdmin.
func (s *Service) erase(ctx context.Context, actor, userID uuid.UUID, also func(tx *sql.Tx, there bool) error) error {
	var committed func()
	there := false
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		// The reviews that the account's end changes, as package review orders locks: reviews before histograms and accounts.
		_, err := tx.ExecContext(ctx, `SELECT FROM reviews WHERE id IN (
				SELECT id FROM reviews WHERE user_id = $1 UNION ALL SELECT review_id FROM review_votes WHERE user_id = $1)
			ORDER BY id FOR UPDATE`, userID)
		if err != nil {
			return fmt.Errorf("locking reviews: %w", err)
		}
		// Whoever does something with the account waits, and finds none.
		err = tx.QueryRowContext(ctx, `SELECT true FROM users WHERE id = $1 FOR UPDATE`, userID).Scan(&there)
		if errors.Is(err, sql.ErrNoRows) {
			there, err = false, nil
		}
		if err != nil {
			return err
		}
		if err := also(tx, there); err != nil {
			return err
		}
		for _, table := range Tables() {
			if table.Fate != Deleted || table.Name == "users" {
				continue
			}
			//nolint:gosec // what is put together stands in the classification
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table.Name+` WHERE `+table.Of, userID); err != nil {
				return fmt.Errorf("deleting from %s: %w", table.Name, err)
			}
		}
		if committed, err = s.identity.EraseTx(ctx, tx, actor, userID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO erasures (user_id, erased_at) VALUES ($1, now()) ON CONFLICT (user_id) DO NOTHING`, userID)
		return err
	})
	if postgres.IsCheckViolation(err, "role_grants_last_admin") {
		return identity.ErrLastAdmin
	}
	if err != nil {
		return err
	}
	committed()
	if there {
		// Logs are kept apart from the database: this line is in them when a backup is restored that does not know.
		s.log.InfoContext(ctx, "account erased", "user", typeid.Encode(typeid.User, userID))
	}
	return nil
}

// Erasure is an account that is no more.
type Erasure struct {
	UserID   uuid.UUID
	ErasedAt time.Time
}

// Erasures returns the list of erased accounts, oldest first. It is kept beside each backup.
func (s *Service) Erasures(ctx context.Context) ([]Erasure, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT user_id, erased_at FROM erasures ORDER BY erased_at, user_id`)
	if err != nil {
		return nil, fmt.Errorf("reading erasures: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (e Erasure, err error) {
		err = rows.Scan(&e.UserID, &e.ErasedAt)
		return e, err
	})
}

// Replay erases again, after a backup was restored: those in the database's own list and the given ones, without asking
// what they have under way: identity.ErrLastAdmin when the last administrator is among them, who stays. It returns how many of them were there. Doing
// it twice does no harm.
func (s *Service) Replay(ctx context.Context, userIDs []uuid.UUID) (again int, err error) {
	known, err := s.Erasures(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range known {
		userIDs = append(userIDs, e.UserID)
	}
	var last error
	seen := map[uuid.UUID]bool{}
	for _, id := range userIDs {
		if seen[id] {
			continue
		}
		seen[id] = true
		back := false
		err := s.erase(ctx, uuid.Nil, id, func(tx *sql.Tx, there bool) error {
			if back = there; !back {
				return nil
			}
			return audit.RecordTx(ctx, tx, audit.Entry{
				Action: audit.AccountErased, Subject: typeid.Encode(typeid.User, id), Reason: "erased before; replayed after a restore",
			})
		})
		switch {
		case errors.Is(err, identity.ErrLastAdmin):
			last = err // the others all the same
		case err != nil:
			return again, fmt.Errorf("erasing %s again: %w", typeid.Encode(typeid.User, id), err)
		case back:
			again++
		}
	}
	return again, last
}
