package identity

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/notify"
	"marquee/internal/typeid"
)

// Recovery codes stand in for a second factor that was lost, each once. A code is 16 random letters of 5 bits: 80 bits,
// which nobody guesses, not even with the database and all the time there is. So what is kept of it is a keyed hash and
// no slow one; ten slow ones at each sign-in would only be ten times the work for whoever wants to choke the service.
const (
	recoveryCodes  = 10
	recoveryGroup  = 4
	recoveryLength = 16
)

// RecoveryCodesLeft returns how many recovery codes the viewer has. One statement.
func (s *Service) RecoveryCodesLeft(ctx context.Context, v auth.Viewer) (int, error) {
	var n int
	if err := s.db.SQL().QueryRowContext(ctx, `SELECT count(*) FROM recovery_codes WHERE user_id = $1`, v.UserID).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting recovery codes: %w", err)
	}
	return n, nil
}

// ReplaceRecoveryCodes gives the viewer ten recovery codes and makes those of before worthless. They are shown this once:
// CONFLICT when the account has no factor that they could stand in for, STEP_UP_REQUIRED.
func (s *Service) ReplaceRecoveryCodes(ctx context.Context, v auth.Viewer) ([]string, error) {
	if err := v.Recent(s.now()); err != nil {
		return nil, err
	}
	var codes []string
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.lockFactorsTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		kinds, err := factorKindsTx(ctx, tx, v.UserID)
		if err != nil {
			return err
		}
		if len(kinds) == 0 {
			return apperr.New(apperr.Conflict, "Recovery codes stand in for a second factor. Enrol one first.")
		}
		if codes, err = s.replaceCodesTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		return s.tellOwnerTx(ctx, tx, v.UserID, notify.RecoveryCodes, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("replacing recovery codes: %w", err)
	}
	return codes, nil
}

// replaceCodesTx makes the recovery codes of an account anew.
func (s *Service) replaceCodesTx(ctx context.Context, tx *sql.Tx, user uuid.UUID) ([]string, error) {
	if _, err := tx.ExecContext(ctx, `DELETE FROM recovery_codes WHERE user_id = $1`, user); err != nil {
		return nil, err
	}
	codes := make([]string, recoveryCodes)
	for i := range codes {
		letters := rand.Text()[:recoveryLength]
		if _, err := tx.ExecContext(ctx, `INSERT INTO recovery_codes (id, user_id, hash) VALUES ($1, $2, $3)`, typeid.New(), user, s.recoveryHash(user, letters)); err != nil {
			return nil, err
		}
		codes[i] = grouped(strings.ToLower(letters))
	}
	err := audit.RecordTx(ctx, tx, audit.Entry{Action: audit.RecoveryCodesMade, Actor: user, Subject: typeid.Encode(typeid.User, user)})
	return codes, err
}

// useCodeTx uses a recovery code up: ErrInvalidProof when it is none of the account's, or no longer.
func (s *Service) useCodeTx(ctx context.Context, tx *sql.Tx, user uuid.UUID, code string) error {
	letters := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	if len(letters) != recoveryLength {
		return ErrInvalidProof
	}
	done, err := tx.ExecContext(ctx, `DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2`, user, s.recoveryHash(user, letters))
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, ErrInvalidProof)
	}
	err = audit.RecordTx(ctx, tx, audit.Entry{Action: audit.RecoveryCodeUsed, Actor: user, Subject: typeid.Encode(typeid.User, user)})
	if err != nil {
		return err
	}
	return s.tellOwnerTx(ctx, tx, user, notify.RecoveryCode, nil)
}

func (s *Service) recoveryHash(user uuid.UUID, letters string) []byte {
	mac := hmac.New(sha256.New, s.recoveryKey)
	mac.Write(user[:])
	mac.Write([]byte(letters))
	return mac.Sum(nil)
}

// grouped writes a code as people copy it: in groups.
func grouped(code string) string {
	var groups []string
	for ; len(code) > recoveryGroup; code = code[recoveryGroup:] {
		groups = append(groups, code[:recoveryGroup])
	}
	return strings.Join(append(groups, code), "-")
}
