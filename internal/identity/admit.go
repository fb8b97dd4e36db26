package identity

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
)

// Proof is a way in which somebody has shown to be a user.
type Proof string

// The proofs. Those after the first three are second factors.
const (
	ProofPassword     Proof = "PASSWORD"
	ProofProvider     Proof = "PROVIDER"      // an OpenID provider says so
	ProofMail         Proof = "MAIL"          // what was sent to the account's address came back
	ProofTOTP         Proof = "TOTP"          // a code of an authenticator app
	ProofRecoveryCode Proof = "RECOVERY_CODE" // one of the saved codes
	ProofPasskey      Proof = "PASSKEY"       // a passkey that has verified its holder: two factors in one
)

// isStrong reports whether a second factor is among the proofs.
func isStrong(proofs []Proof) bool {
	return slices.ContainsFunc(proofs, func(p Proof) bool { return p == ProofTOTP || p == ProofRecoveryCode || p == ProofPasskey })
}

// SecondFactorRequired is the error of a sign-in whose first proof was right and whose account has a second factor, which
// was not proved. PendingToken stands for the sign-in so far until ExpiresAt, and for nothing else: ProveSecondFactor.
type SecondFactorRequired struct { //nolint:errname // GraphQL calls it so
	PendingToken string
	ExpiresAt    time.Time
	Factors      []FactorKind // that the account has, each once
}

func (*SecondFactorRequired) Error() string { return "identity: a second factor is needed" }

// pendingAge is how long a sign-in waits for the second factor.
const pendingAge = 10 * time.Minute

// admit is where every way of signing in ends: u has been proved, by these proofs, to be whoever asks. It opens a session,
// or returns *SecondFactorRequired when the account has a second factor and none was proved. ErrInvalidCredentials when
// the account has gone meanwhile.
func (s *Service) admit(ctx context.Context, u User, device Device, proofs ...Proof) (Tokens, error) {
	var (
		row     sessionRow
		crowded []uuid.UUID
		needed  *SecondFactorRequired
	)
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		needed = nil
		kinds, err := s.standingTx(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if len(kinds) > 0 && !isStrong(proofs) {
			needed, err = s.askTx(ctx, tx, u, proofs, kinds)
			return err
		}
		row, crowded, err = s.openTx(ctx, tx, u, device, proofs)
		return err
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("starting a session: %w", err)
	}
	if needed != nil {
		return Tokens{}, needed
	}
	s.noteEnded(crowded...)
	return s.tokensOf(u, row, s.now())
}

// standingTx returns the kinds of second factors that an account has: ErrInvalidCredentials when it has gone, ErrDisabled.
// Until the transaction ends, neither they nor the account's grants change: no session starts with rights that are just
// being taken away.
func (s *Service) standingTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID) ([]FactorKind, error) {
	var disabled bool
	err := tx.QueryRowContext(ctx, `SELECT disabled_at IS NOT NULL FROM users WHERE id = $1 FOR SHARE`, userID).Scan(&disabled)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrInvalidCredentials
	}
	if err != nil {
		return nil, err
	}
	if disabled {
		return nil, ErrDisabled
	}
	return factorKindsTx(ctx, tx, userID)
}

// askTx keeps a sign-in until the second factor is proved.
func (s *Service) askTx(ctx context.Context, tx *sql.Tx, u User, proofs []Proof, kinds []FactorKind) (*SecondFactorRequired, error) {
	state, err := json.Marshal(proofs)
	if err != nil {
		return nil, fmt.Errorf("encoding a sign-in: %w", err)
	}
	token, expiresAt, err := s.beginTx(ctx, tx, ceremony{kind: ceremonySignIn, user: &u.ID, state: state}, pendingAge)
	return &SecondFactorRequired{PendingToken: token, ExpiresAt: expiresAt, Factors: kinds}, err
}

// provePasswordAgain proves the password in the viewer's session once more.
func (s *Service) provePasswordAgain(ctx context.Context, v auth.Viewer, password string, device Device) (Tokens, error) {
	row, err := s.ent.User.Get(ctx, v.UserID)
	if err != nil {
		return Tokens{}, fmt.Errorf("reading an account: %w", err)
	}
	u, err := s.fromEnt(row)
	if err != nil {
		return Tokens{}, err
	}
	if err := s.prove(ctx, row, u.Email, password, device); err != nil {
		return Tokens{}, err
	}
	return s.readmit(ctx, v, u, ProofPassword)
}

// readmit is where every way of proving again ends: u has been proved once more, in the viewer's session, by these
// proofs. SECOND_FACTOR_REQUIRED when none of them is a second factor and the account has one.
func (s *Service) readmit(ctx context.Context, v auth.Viewer, u User, proofs ...Proof) (Tokens, error) {
	strong := isStrong(proofs)
	row := sessionRow{id: v.SessionID}
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		kinds, err := s.standingTx(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if len(kinds) > 0 && !strong {
			return apperr.New(apperr.SecondFactorRequired, "Your account has a second factor: prove that.")
		}
		return s.raiseTx(ctx, tx, v, strong, &row)
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("proving again: %w", err)
	}
	return s.tokensOf(u, row, s.now())
}

// raiseTx notes in the viewer's session that its user was proved at this moment: UNAUTHENTICATED when it has ended.
func (s *Service) raiseTx(ctx context.Context, tx *sql.Tx, v auth.Viewer, strong bool, row *sessionRow) error {
	row.id = v.SessionID
	err := tx.QueryRowContext(ctx, `UPDATE sessions SET proved_at = $3, strong = strong OR $4 WHERE id = $1 AND user_id = $2
		RETURNING salt, renewals, generation, proved_at, strong, expires_at`, v.SessionID, v.UserID, s.now(), strong).
		Scan(&row.salt, &row.renewals, &row.generation, &row.provedAt, &row.strong, &row.expiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return errEnded()
	}
	if err != nil {
		return err
	}
	row.grants, err = grantsTx(ctx, tx, v.UserID)
	return err
}
