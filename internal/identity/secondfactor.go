package identity

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/postgres"
)

// FactorProof proves a second factor: exactly one of its fields is given.
type FactorProof struct {
	Code         *string // that an authenticator app shows
	RecoveryCode *string
	Passkey      *PasskeyAnswer
}

func (p FactorProof) given() int {
	n := 0
	for _, is := range []bool{p.Code != nil, p.RecoveryCode != nil, p.Passkey != nil} {
		if is {
			n++
		}
	}
	return n
}

func errOneProof() error { return apperr.Invalid("input", "Give exactly one proof.") }

// ProveSecondFactor completes a sign-in that SecondFactorRequired had stopped, and opens its session: ErrInvalidProof,
// ErrSessionEnded when the sign-in is over, BAD_USER_INPUT, THROTTLED.
func (s *Service) ProveSecondFactor(ctx context.Context, pendingToken string, proof FactorProof, device Device) (Tokens, error) {
	if proof.given() != 1 {
		return Tokens{}, errOneProof()
	}
	user, err := s.pendingUser(ctx, pendingToken)
	if err != nil {
		return Tokens{}, err
	}
	var (
		u       = User{ID: user}
		row     sessionRow
		crowded []uuid.UUID
	)
	err = s.useFactor(ctx, u.ID, nil, proof, device, func(tx *sql.Tx, use func() (Proof, error)) error {
		if _, err := s.standingTx(ctx, tx, u.ID); err != nil {
			return err
		}
		var sealed []byte
		id := s.ceremonyID(pendingToken)
		err := tx.QueryRowContext(ctx, `DELETE FROM ceremonies WHERE id = $1 RETURNING state_sealed`, id).Scan(&sealed)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrSessionEnded
		}
		if err != nil {
			return err
		}
		state, err := s.openState(id, sealed)
		if err != nil {
			return err
		}
		var proofs []Proof
		if err := json.Unmarshal(state, &proofs); err != nil {
			return fmt.Errorf("identity: malformed sign-in: %w", err)
		}
		second, err := use()
		if err != nil {
			return err
		}
		row, crowded, err = s.openTx(ctx, tx, u, device, append(proofs, second))
		return err
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("proving a second factor: %w", err)
	}
	s.noteEnded(crowded...)
	return s.sessionTokens(ctx, u.ID, row)
}

// pendingUser returns whose sign-in waits under a token: ErrSessionEnded when none does.
func (s *Service) pendingUser(ctx context.Context, token string) (user uuid.UUID, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT user_id FROM ceremonies WHERE id = $1 AND kind = $2 AND expires_at > $3`,
		s.ceremonyID(token), ceremonySignIn, s.now()).Scan(&user)
	if errors.Is(err, sql.ErrNoRows) {
		return user, ErrSessionEnded
	}
	if err != nil {
		return user, fmt.Errorf("looking for a sign-in: %w", err)
	}
	return user, nil
}

// ProveAgain proves in the viewer's session once more who they are: by a second factor, or by the password of an account
// that has none. It returns the session's tokens that say so: ErrInvalidCredentials, ErrInvalidProof, BAD_USER_INPUT,
// SECOND_FACTOR_REQUIRED, THROTTLED.
func (s *Service) ProveAgain(ctx context.Context, v auth.Viewer, password *string, proof FactorProof, device Device) (Tokens, error) {
	switch given := proof.given(); {
	case password != nil && given == 0:
		return s.provePasswordAgain(ctx, v, *password, device)
	case password != nil || given != 1:
		return Tokens{}, errOneProof()
	}
	var row sessionRow
	err := s.useFactor(ctx, v.UserID, &v.SessionID, proof, device, func(tx *sql.Tx, use func() (Proof, error)) error {
		if _, err := s.standingTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		if _, err := use(); err != nil {
			return err
		}
		return s.raiseTx(ctx, tx, v, true, &row)
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("proving again: %w", err)
	}
	return s.sessionTokens(ctx, v.UserID, row)
}

// useFactor runs do in a transaction; what do calls to use the proof up holds with that transaction or not at all. A
// wrong proof is counted as a guess at the account's second factor, whichever way, connection or node it comes by.
func (s *Service) useFactor(
	ctx context.Context, user uuid.UUID, session *uuid.UUID, proof FactorProof, device Device,
	do func(tx *sql.Tx, use func() (Proof, error)) error,
) error {
	try, err := s.admitGuess(ctx, "second factor of "+user.String(), device.Address)
	if err != nil {
		return err
	}
	var challenge []byte
	if proof.Passkey != nil {
		if challenge, err = s.takePasskeyProof(ctx, *proof.Passkey, user, session); err != nil {
			return err
		}
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		return do(tx, func() (Proof, error) {
			switch {
			case proof.Code != nil:
				return ProofTOTP, s.useTOTPTx(ctx, tx, user, *proof.Code)
			case proof.RecoveryCode != nil:
				return ProofRecoveryCode, s.useCodeTx(ctx, tx, user, *proof.RecoveryCode)
			default:
				return ProofPasskey, s.usePasskeyTx(ctx, tx, user, challenge, proof.Passkey.Credential)
			}
		})
	})
	switch {
	case err == nil:
		return s.succeed(ctx, try)
	case errors.Is(err, ErrInvalidProof):
		return errors.Join(err, s.recordRefusal(ctx, &ent.User{ID: user}))
	default:
		return errors.Join(err, s.takeBack(context.WithoutCancel(ctx), try))
	}
}

// sessionTx reads what the tokens of the viewer's session are made of: UNAUTHENTICATED when it has ended.
func sessionTx(ctx context.Context, tx *sql.Tx, v auth.Viewer) (sessionRow, error) {
	row := sessionRow{id: v.SessionID}
	err := tx.QueryRowContext(ctx, `SELECT salt, renewals, generation, proved_at, strong, expires_at FROM sessions WHERE id = $1 AND user_id = $2`,
		v.SessionID, v.UserID).Scan(&row.salt, &row.renewals, &row.generation, &row.provedAt, &row.strong, &row.expiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return row, errEnded()
	}
	if err != nil {
		return row, err
	}
	row.grants, err = grantsTx(ctx, tx, v.UserID)
	return row, err
}

// sessionTokens returns the tokens of a session as they are after a change.
func (s *Service) sessionTokens(ctx context.Context, user uuid.UUID, row sessionRow) (Tokens, error) {
	u, err := s.User(ctx, user)
	if err != nil {
		return Tokens{}, err
	}
	return s.tokensOf(u, row, s.now())
}

// recall is a session of which the access tokens before a generation count no more.
type recall struct {
	session    uuid.UUID
	generation int32
}

// recallTx runs an update of sessions that raises their generation, and recalls the access tokens of before. Whoever
// commits calls noteRecalled with what it returns.
func recallTx(ctx context.Context, tx *sql.Tx, update string, args ...any) ([]recall, error) {
	rows, err := tx.QueryContext(ctx, `WITH changed AS (`+update+` RETURNING id, generation)
		INSERT INTO session_revocations (session_id, generation, noted_at) SELECT id, generation, clock_timestamp() FROM changed
		ON CONFLICT (session_id) DO UPDATE SET generation = excluded.generation, noted_at = excluded.noted_at
		RETURNING session_id, generation`, args...)
	if err != nil {
		return nil, err
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (r recall, err error) {
		err = rows.Scan(&r.session, &r.generation)
		return r, err
	})
}

// noteRecalled makes this node feel at once what the others learn in a second.
func (s *Service) noteRecalled(recalled []recall) {
	for _, r := range recalled {
		s.revoked.note(r.session, r.generation, time.Now())
	}
}
