package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/notify"
)

// RequestPasswordReset sends a link to choose another password to the address, if an account has it. Nothing in the answer
// or its time says whether one has: it is looked up later. BAD_USER_INPUT, THROTTLED.
func (s *Service) RequestPasswordReset(ctx context.Context, email string, device Device) error {
	return s.requestMail(ctx, notify.RecoveryRequested, email, device)
}

// ResetPassword sets another password with the token of a mail, ends all sessions of the account and tells its owner. It
// signs nobody in, so an account with a second factor asks for it as ever. ErrLinkExpired, BAD_USER_INPUT, THROTTLED.
func (s *Service) ResetPassword(ctx context.Context, token, password string) error {
	given, err := s.peek(ctx, s.db.SQL(), purposeReset, token)
	if err != nil {
		return err
	}
	u, err := s.User(ctx, given.user)
	if err != nil {
		return err
	}
	password = norm.NFKC.String(password)
	var bad apperr.Fields
	checkPassword(&bad, "input.newPassword", password, u.Email, u.Name)
	if err := bad.Err(); err != nil {
		return err
	}
	var hash string
	if err := s.hasher.do(ctx, func() { hash = hashPassword(password) }); err != nil {
		return err
	}
	var gone []uuid.UUID
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		spent, err := s.spendTx(ctx, tx, purposeReset, token)
		if err != nil {
			return err
		}
		if u, err = s.provedTx(ctx, tx, spent); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE users SET password_hash = $2 WHERE id = $1`, u.ID, hash); err != nil {
			return err
		}
		if err := s.voidResetsTx(ctx, tx, u.ID, uuid.Nil, endPassword); err != nil {
			return err
		}
		// A sign-in that waits for its second factor was begun with the password of before.
		if _, err := tx.ExecContext(ctx, `DELETE FROM ceremonies WHERE user_id = $1`, u.ID); err != nil {
			return err
		}
		if gone, err = s.endTx(ctx, tx, audit.Entry{Action: audit.SessionEnded}, endAll, u.ID); err != nil {
			return err
		}
		if err := audit.RecordTx(ctx, tx, audit.Entry{Action: audit.AccountRecovered, Subject: u.NodeID()}); err != nil {
			return err
		}
		return s.tellTx(ctx, tx, u, notify.PasswordReset, nil)
	})
	if err != nil {
		return fmt.Errorf("resetting a password: %w", err)
	}
	s.noteEnded(gone...)
	return nil
}

// voidResetsTx makes all links that could set another password for an account worthless, and withdraws a change of its
// address, since whoever asked for it may be the reason: that the actor chose another password, or disabled the account.
func (s *Service) voidResetsTx(ctx context.Context, tx *sql.Tx, userID, actor uuid.UUID, why ending) error {
	if err := s.endEmailChangeTx(ctx, tx, userID, actor, changeRecord{Ended: why}); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM mailed_tokens WHERE user_id = $1 AND purpose = 'RESET'`, userID)
	return err
}

// RequestVerification sends the viewer a link that proves the address of their account, and returns the address; none is
// sent when it is proved already. THROTTLED.
func (s *Service) RequestVerification(ctx context.Context, v auth.Viewer, device Device) (email string, err error) {
	u, err := s.User(ctx, v.UserID)
	if err != nil || u.EmailVerified {
		return u.Email, err
	}
	return u.Email, s.askByMail(ctx, notify.VerifyAddress, u.Email, device, func(tx *sql.Tx) (notify.Mail, error) {
		token, err := s.mintTx(ctx, tx, purposeVerify, mailed{user: u.ID, email: u.Email})
		if err != nil {
			return notify.Mail{}, err
		}
		locale, err := localeOf(ctx, tx, u.ID)
		data := notify.Data{"link": linkTo("/verify", token)}
		return notify.Mail{To: u.Email, Locale: locale, Kind: notify.VerifyAddress, Data: data}, err
	})
}

// VerifyEmail proves with the token of a mail that its reader owns the account's address, and returns the address:
// ErrLinkExpired, also when the account has another address by then.
func (s *Service) VerifyEmail(ctx context.Context, token string) (email string, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		spent, err := s.spendTx(ctx, tx, purposeVerify, token)
		if err != nil {
			return err
		}
		u, err := s.provedTx(ctx, tx, spent)
		email = u.Email
		return err
	})
	if err != nil {
		return "", fmt.Errorf("verifying an address: %w", err)
	}
	return email, nil
}

// provedTx returns the account whose address was proved by a token, and notes that it was: ErrLinkExpired when it has
// another address by now, or is gone.
func (s *Service) provedTx(ctx context.Context, tx *sql.Tx, m mailed) (User, error) {
	u, err := s.userTx(ctx, tx, m.user)
	if errors.Is(err, sql.ErrNoRows) || err == nil && u.Email != m.email {
		return User{}, ErrLinkExpired
	}
	if err != nil || u.EmailVerified {
		return u, err
	}
	u.EmailVerified = true
	if _, err := tx.ExecContext(ctx, `UPDATE users SET email_verified_at = $2 WHERE id = $1`, u.ID, s.now()); err != nil {
		return User{}, err
	}
	return u, audit.RecordTx(ctx, tx, audit.Entry{Action: audit.AddressVerified, Actor: u.ID, Subject: u.NodeID()})
}

// userTx returns an account, which does not change until the transaction ends: sql.ErrNoRows.
func (s *Service) userTx(ctx context.Context, tx *sql.Tx, id uuid.UUID) (User, error) {
	if err := tx.QueryRowContext(ctx, `SELECT id FROM users WHERE id = $1 FOR UPDATE`, id).Scan(&id); err != nil {
		return User{}, err
	}
	row, err := ent.OverTx(tx).User.Get(ctx, id)
	if err != nil {
		return User{}, err
	}
	return s.fromEnt(row)
}
