package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/notify"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/vault"
	"marquee/internal/words"
)

// ErrInvalidProof is returned when a second factor was not proved: the code is wrong, was used before or is over, or the
// passkey is not one of the account's.
var ErrInvalidProof = errors.New("identity: the second factor was not proved")

// FactorKind is a kind of second factor.
type FactorKind string

// The kinds of second factors. The last stands in for the others.
const (
	FactorTOTP         FactorKind = "TOTP"
	FactorPasskey      FactorKind = "PASSKEY"
	FactorRecoveryCode FactorKind = "RECOVERY_CODE"
)

const (
	// maxFactors is how many second factors an account may have.
	maxFactors    = 10
	maxFactorName = 100
	// enrolmentAge is how long an enrolment waits for its confirmation.
	enrolmentAge = 15 * time.Minute
)

// Factor is a second factor of an account: an authenticator app or a passkey.
type Factor struct {
	ID        uuid.UUID
	Kind      FactorKind
	Name      string
	CreatedAt time.Time
	UsedAt    *time.Time // nil: never yet
}

// NodeID returns the factor's public id.
func (f Factor) NodeID() string { return typeid.Encode(typeid.Factor, f.ID) }

// Enrolled is what comes of confirming a second factor.
type Enrolled struct {
	Factor Factor
	// RecoveryCodes are those of the account, shown this once, when it is the account's first factor.
	RecoveryCodes []string
	// Tokens go on with the session, in which a second factor has been proved by this.
	Tokens Tokens
}

// Factors returns the viewer's second factors, the oldest first. One statement.
func (s *Service) Factors(ctx context.Context, v auth.Viewer) ([]Factor, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT id, kind, name_sealed, created_at, used_at FROM factors
		WHERE user_id = $1 AND confirmed_at IS NOT NULL ORDER BY created_at, id`, v.UserID)
	if err != nil {
		return nil, fmt.Errorf("reading factors: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (f Factor, err error) {
		var sealed []byte
		if err = rows.Scan(&f.ID, &f.Kind, &sealed, &f.CreatedAt, &f.UsedAt); err == nil {
			f.Name, err = s.vault.Open(factorCell(f.ID, "name_sealed"), sealed)
		}
		return f, err
	})
}

// factorCell is a sealed cell of a factor: what its owner calls it, an app's secret or a passkey.
func factorCell(id uuid.UUID, column string) vault.Cell {
	return vault.Cell{Table: "factors", Column: column, Row: id}
}

// RenameFactor gives one of the viewer's factors another name: BAD_USER_INPUT, NOT_FOUND.
func (s *Service) RenameFactor(ctx context.Context, v auth.Viewer, id uuid.UUID, name string) (Factor, error) {
	name, err := factorName(name)
	if err != nil {
		return Factor{}, err
	}
	sealed, err := s.vault.Seal(factorCell(id, "name_sealed"), name)
	if err != nil {
		return Factor{}, err
	}
	f := Factor{ID: id, Name: name}
	err = s.db.SQL().QueryRowContext(ctx, `UPDATE factors SET name_sealed = $3 WHERE id = $1 AND user_id = $2 AND confirmed_at IS NOT NULL
		RETURNING kind, created_at, used_at`, id, v.UserID, sealed).Scan(&f.Kind, &f.CreatedAt, &f.UsedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Factor{}, apperr.Missing("factor")
	}
	if err != nil {
		return Factor{}, fmt.Errorf("renaming a factor: %w", err)
	}
	return f, nil
}

// RemoveFactor takes a second factor from the viewer's account and returns the tokens with which the session goes on. With
// the last one go the recovery codes, and what every session of the account gained by having proved it: NOT_FOUND,
// STEP_UP_REQUIRED, ErrLastWayIn when it is the passkey without which nobody could sign in.
func (s *Service) RemoveFactor(ctx context.Context, v auth.Viewer, id uuid.UUID) (Tokens, error) {
	if err := v.Recent(s.now()); err != nil {
		return Tokens{}, err
	}
	var (
		u        = User{ID: v.UserID}
		row      sessionRow
		recalled []recall
	)
	err := s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		recalled = nil
		if err := s.lockFactorsTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		var kind FactorKind
		var sealed []byte
		err = tx.QueryRowContext(ctx, `DELETE FROM factors WHERE id = $1 AND user_id = $2 AND confirmed_at IS NOT NULL RETURNING kind, name_sealed`, id, v.UserID).Scan(&kind, &sealed)
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.Missing("factor")
		}
		if err != nil {
			return err
		}
		name, err := s.vault.Open(factorCell(id, "name_sealed"), sealed)
		if err != nil {
			return err
		}
		if kind == FactorPasskey {
			if err := s.keepsWayInTx(ctx, tx, v.UserID); err != nil {
				return err
			}
		}
		err = audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.FactorRemoved, Actor: v.UserID, Subject: u.NodeID(), Before: factorRecord{Kind: kind, Factor: typeid.Encode(typeid.Factor, id)},
		})
		if err != nil {
			return err
		}
		if err := s.tellOwnerTx(ctx, tx, v.UserID, notify.FactorRemoved, notify.Data{"factor": name}); err != nil {
			return err
		}
		kinds, err := s.standingTx(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if len(kinds) == 0 {
			if _, err := tx.ExecContext(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, v.UserID); err != nil {
				return err
			}
			if recalled, err = recallTx(ctx, tx, `UPDATE sessions SET strong = false, generation = generation + 1 WHERE user_id = $1`, v.UserID); err != nil {
				return err
			}
		}
		row, err = sessionTx(ctx, tx, v)
		return err
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("removing a factor: %w", err)
	}
	s.noteRecalled(recalled)
	return s.sessionTokens(ctx, v.UserID, row)
}

// ForgetEnrolments deletes factors that nobody confirmed in time and returns how many. One statement.
func (s *Service) ForgetEnrolments(ctx context.Context) (int, error) {
	done, err := s.db.SQL().ExecContext(ctx, `DELETE FROM factors WHERE confirmed_at IS NULL AND created_at <= $1`, s.now().Add(-enrolmentAge))
	if err != nil {
		return 0, fmt.Errorf("forgetting enrolments: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}

// factorRecord is what the audit log keeps of a factor.
type factorRecord struct {
	Kind   FactorKind `json:"kind"`
	Factor string     `json:"factor"`
}

// recordFactorTx records that an account has got a factor.
func recordFactorTx(ctx context.Context, tx *sql.Tx, actor, user uuid.UUID, f Factor) error {
	return audit.RecordTx(ctx, tx, audit.Entry{
		Action: audit.FactorAdded, Actor: actor, Subject: typeid.Encode(typeid.User, user), After: factorRecord{Kind: f.Kind, Factor: f.NodeID()},
	})
}

// lockFactorsTx makes changes of one account's factors, and sign-ins to it, wait for each other.
func (s *Service) lockFactorsTx(ctx context.Context, tx *sql.Tx, user uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `SELECT FROM users WHERE id = $1 FOR UPDATE`, user)
	return err
}

// hasRoomTx returns CONFLICT when the account has as many factors as it may.
func hasRoomTx(ctx context.Context, tx *sql.Tx, user uuid.UUID) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM factors WHERE user_id = $1 AND confirmed_at IS NOT NULL`, user).Scan(&n); err != nil {
		return err
	}
	if n >= maxFactors {
		return apperr.New(apperr.Conflict, "An account has at most %d second factors. Remove one first.", maxFactors)
	}
	return nil
}

// enrolledTx completes the enrolment of a factor that was confirmed in the caller's transaction, in the viewer's session.
// The first factor of an account ends what its other sessions had proved, since they did not prove this.
func (s *Service) enrolledTx(ctx context.Context, tx *sql.Tx, v auth.Viewer, f Factor, row *sessionRow) (codes []string, recalled []recall, err error) {
	var others bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM factors WHERE user_id = $1 AND id <> $2 AND confirmed_at IS NOT NULL)`, v.UserID, f.ID).
		Scan(&others); err != nil {
		return nil, nil, err
	}
	if !others {
		if codes, err = s.replaceCodesTx(ctx, tx, v.UserID); err != nil {
			return nil, nil, err
		}
		recalled, err = recallTx(ctx, tx, `UPDATE sessions SET proved_at = NULL, strong = false, generation = generation + 1
			WHERE user_id = $1 AND id <> $2`, v.UserID, v.SessionID)
		if err != nil {
			return nil, nil, err
		}
	}
	if err := recordFactorTx(ctx, tx, v.UserID, v.UserID, f); err != nil {
		return nil, nil, err
	}
	if err := s.tellOwnerTx(ctx, tx, v.UserID, notify.FactorAdded, notify.Data{"factor": f.Name}); err != nil {
		return nil, nil, err
	}
	return codes, recalled, s.raiseTx(ctx, tx, v, true, row)
}

// factorKindsTx returns the kinds of second factors that an account has, each once; none when it has none.
func factorKindsTx(ctx context.Context, tx *sql.Tx, user uuid.UUID) ([]FactorKind, error) {
	rows, err := tx.QueryContext(ctx, `SELECT kind FROM factors WHERE user_id = $1 AND confirmed_at IS NOT NULL GROUP BY kind ORDER BY kind DESC`, user)
	if err != nil {
		return nil, fmt.Errorf("reading the kinds of factors: %w", err)
	}
	kinds, err := postgres.Collect(rows, func(rows *sql.Rows) (kind FactorKind, err error) {
		err = rows.Scan(&kind)
		return kind, err
	})
	if err != nil || len(kinds) == 0 {
		return nil, err
	}
	var saved bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM recovery_codes WHERE user_id = $1)`, user).Scan(&saved); err != nil {
		return nil, fmt.Errorf("looking for recovery codes: %w", err)
	}
	if saved {
		kinds = append(kinds, FactorRecoveryCode)
	}
	return kinds, nil
}

// factorName returns a name as it is kept: BAD_USER_INPUT when it cannot be.
func factorName(name string) (string, error) {
	var bad apperr.Fields
	name = words.Clean(name)
	words.Check(&bad, "input.name", name, maxFactorName, "The name must have 1 to %d printable characters.")
	return name, bad.Err()
}
