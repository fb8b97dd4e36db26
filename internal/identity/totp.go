package identity

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// Codes of authenticator apps, RFC 6238, with what every app understands: SHA-1, 6 digits, 30 seconds. A code counts in
// its own step and the ones before and after, for clocks that are apart, and once: a step that was used, and those before
// it, are over.
const (
	totpPeriod = 30
	totpWindow = 1 // steps
	totpSecret = 20
	totpQRSide = 240 // pixels
)

var totpOptions = hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// TOTPEnrolment is an authenticator app that waits for its first code. It is shown once.
type TOTPEnrolment struct {
	Secret    string // base32, for typing
	URI       string // otpauth, for apps
	QR        string // the same as a picture: a data URI of a PNG
	ExpiresAt time.Time
}

// BeginTOTP begins the enrolment of an authenticator app, in place of one that was not confirmed: CONFLICT when the
// account has as many factors as it may, STEP_UP_REQUIRED.
func (s *Service) BeginTOTP(ctx context.Context, v auth.Viewer) (TOTPEnrolment, error) {
	if err := v.Recent(s.now()); err != nil {
		return TOTPEnrolment{}, err
	}
	u, err := s.User(ctx, v.UserID)
	if err != nil {
		return TOTPEnrolment{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Marquee", AccountName: u.Email, Period: totpPeriod, SecretSize: totpSecret})
	if err != nil {
		return TOTPEnrolment{}, fmt.Errorf("making a secret: %w", err)
	}
	picture, err := qr(key)
	if err != nil {
		return TOTPEnrolment{}, err
	}
	now := s.now()
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.lockFactorsTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		if err := hasRoomTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM factors WHERE user_id = $1 AND confirmed_at IS NULL`, v.UserID); err != nil {
			return err
		}
		return s.insertTOTPTx(ctx, tx, typeid.New(), v.UserID, "Authenticator app", key.Secret(), now, sql.NullTime{})
	})
	if err != nil {
		return TOTPEnrolment{}, fmt.Errorf("beginning an enrolment: %w", err)
	}
	return TOTPEnrolment{Secret: key.Secret(), URI: key.URL(), QR: picture, ExpiresAt: now.Add(enrolmentAge)}, nil
}

func (s *Service) insertTOTPTx(ctx context.Context, tx *sql.Tx, id, user uuid.UUID, name, secret string, now time.Time, confirmed sql.NullTime) error {
	sealed, err := s.vault.Seal(factorCell(id, "secret_sealed"), secret)
	if err != nil {
		return err
	}
	sealedName, err := s.vault.Seal(factorCell(id, "name_sealed"), name)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO factors (id, user_id, kind, name_sealed, secret_sealed, created_at, confirmed_at)
		VALUES ($1, $2, 'TOTP', $3, $4, $5, $6)`, id, user, sealedName, sealed, now, confirmed)
	return err
}

// qr draws the otpauth URI of a key.
func qr(key *otp.Key) (string, error) {
	picture, err := key.Image(totpQRSide, totpQRSide)
	if err != nil {
		return "", fmt.Errorf("drawing a QR code: %w", err)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		return "", fmt.Errorf("drawing a QR code: %w", err)
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(file.Bytes()), nil
}

// ConfirmTOTP completes the enrolment of an authenticator app by the first code that it shows: ErrInvalidProof,
// BAD_USER_INPUT, CONFLICT when none is being enrolled, STEP_UP_REQUIRED.
func (s *Service) ConfirmTOTP(ctx context.Context, v auth.Viewer, name, code string) (Enrolled, error) {
	if err := v.Recent(s.now()); err != nil {
		return Enrolled{}, err
	}
	name, err := factorName(name)
	if err != nil {
		return Enrolled{}, err
	}
	var (
		enrolled Enrolled
		row      sessionRow
		recalled []recall
	)
	now := s.now()
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.lockFactorsTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		var sealed []byte
		f := Factor{Kind: FactorTOTP, Name: name}
		err := tx.QueryRowContext(ctx, `SELECT id, secret_sealed, created_at FROM factors
			WHERE user_id = $1 AND kind = 'TOTP' AND confirmed_at IS NULL AND created_at > $2`, v.UserID, now.Add(-enrolmentAge)).
			Scan(&f.ID, &sealed, &f.CreatedAt)
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.New(apperr.Conflict, "No app is being enrolled. Begin again.")
		}
		if err != nil {
			return err
		}
		step, err := s.matchingStep(f.ID, sealed, code, 0)
		if err != nil {
			return err
		}
		sealedName, err := s.vault.Seal(factorCell(f.ID, "name_sealed"), name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE factors SET name_sealed = $2, used_step = $3, confirmed_at = $4, used_at = $4 WHERE id = $1`, f.ID, sealedName, step, now); err != nil {
			return err
		}
		f.UsedAt = &now
		enrolled.Factor = f
		enrolled.RecoveryCodes, recalled, err = s.enrolledTx(ctx, tx, v, f, &row)
		return err
	})
	if err != nil {
		return Enrolled{}, fmt.Errorf("confirming an app: %w", err)
	}
	s.noteRecalled(recalled)
	enrolled.Tokens, err = s.sessionTokens(ctx, v.UserID, row)
	return enrolled, err
}

// EnrolTOTP gives an account that has no authenticator app one with a secret that is known already: for demo accounts,
// whose secrets are none. Nothing else may call it.
func (s *Service) EnrolTOTP(ctx context.Context, user uuid.UUID, name, secret string) error {
	now := s.now()
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := s.lockFactorsTx(ctx, tx, user); err != nil {
			return err
		}
		kinds, err := factorKindsTx(ctx, tx, user)
		if err != nil || slices.Contains(kinds, FactorTOTP) {
			return err
		}
		f := Factor{ID: typeid.New(), Kind: FactorTOTP}
		if err := s.insertTOTPTx(ctx, tx, f.ID, user, name, secret, now, sql.NullTime{Time: now, Valid: true}); err != nil {
			return err
		}
		return recordFactorTx(ctx, tx, uuid.Nil, user, f)
	})
	if err != nil {
		return fmt.Errorf("enrolling an app: %w", err)
	}
	return nil
}

// useTOTPTx uses the code of one of the account's apps up: ErrInvalidProof when it is none of theirs, or no longer.
// Whoever shows the same code at the same time waits here, and is refused.
func (s *Service) useTOTPTx(ctx context.Context, tx *sql.Tx, user uuid.UUID, code string) error {
	type app struct {
		id     uuid.UUID
		sealed []byte
		used   int64
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, secret_sealed, used_step FROM factors
		WHERE user_id = $1 AND kind = 'TOTP' AND confirmed_at IS NOT NULL ORDER BY id FOR UPDATE`, user)
	if err != nil {
		return err
	}
	apps, err := postgres.Collect(rows, func(rows *sql.Rows) (a app, err error) {
		err = rows.Scan(&a.id, &a.sealed, &a.used)
		return a, err
	})
	if err != nil {
		return err
	}
	for _, a := range apps {
		step, err := s.matchingStep(a.id, a.sealed, code, a.used)
		if errors.Is(err, ErrInvalidProof) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE factors SET used_step = $2, used_at = $3 WHERE id = $1`, a.id, step, s.now())
		return err
	}
	return ErrInvalidProof
}

// matchingStep returns the step after used, among those that count at this moment, of which the app shows the code.
func (s *Service) matchingStep(factor uuid.UUID, sealed []byte, code string, used int64) (int64, error) {
	secret, err := s.vault.Open(factorCell(factor, "secret_sealed"), sealed)
	if err != nil {
		return 0, err
	}
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	present := s.clock.Now().Unix() / totpPeriod
	for step := max(present-totpWindow, used+1); step <= present+totpWindow; step++ {
		right, err := hotp.ValidateCustom(code, uint64(step), secret, totpOptions)
		if err != nil && !errors.Is(err, otp.ErrValidateInputInvalidLength) {
			return 0, fmt.Errorf("checking a code: %w", err)
		}
		if right {
			return step, nil
		}
	}
	return 0, ErrInvalidProof
}
