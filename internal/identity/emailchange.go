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
)

const (
	// takeTime is how long the next address has to confirm a change.
	takeTime = 24 * time.Hour
	// leaveTime is how long the present address has to confirm or cancel it. Silence is consent.
	leaveTime = 7 * 24 * time.Hour
)

// EmailChange is another address that an account is to get, once both addresses have confirmed it.
type EmailChange struct {
	Email       string // the next address
	RequestedAt time.Time
	TakenAt     *time.Time // when the next address confirmed; nil: not yet
	LeftAt      *time.Time // when the present address confirmed; nil: not yet

	id      uuid.UUID
	session uuid.UUID
}

// ConsentAt returns when the silence of the present address counts as its consent.
func (c EmailChange) ConsentAt() time.Time { return c.RequestedAt.Add(leaveTime) }

func changeCell(id uuid.UUID) vault.Cell {
	return vault.Cell{Table: "email_changes", Column: "email_sealed", Row: id}
}

// ChangeEmail asks both addresses whether the viewer's account may get another one, instead of any that was asked for
// before. Nothing in the answer or its time says whether an account has that address: it is looked up later. An address
// that has got too many letters gets none of this, and nothing else differs, so that nobody can tell what others asked for;
// the viewer asks again later. STEP_UP_REQUIRED, BAD_USER_INPUT, THROTTLED.
func (s *Service) ChangeEmail(ctx context.Context, v auth.Viewer, email string, device Device) error {
	if err := v.Recent(s.now()); err != nil {
		return err
	}
	email = normaliseEmail(email)
	if !validEmail(email) {
		return apperr.Invalid("input.email", "This is not an e-mail address.")
	}
	u, err := s.User(ctx, v.UserID)
	if err != nil {
		return err
	}
	if u.Email == email {
		return apperr.Invalid("input.email", "This is the address of your account.")
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		wait, err := s.countTx(ctx, tx, s.subject("changes of address", v.UserID.String()), changesOf)
		if err != nil {
			return err
		}
		if wait > 0 {
			return apperr.Throttle(wait, "Another address was asked for too often.")
		}
		full, err := s.countMailTx(ctx, tx, notify.TakeRequested, email, device)
		if err != nil {
			return err
		}
		id, err := s.beginEmailChangeTx(ctx, tx, v, email)
		if err != nil || full {
			return err
		}
		return s.mails.EnqueueTx(ctx, tx, notify.Mail{To: email, Kind: notify.TakeRequested, Data: notify.Data{"change": id.String()}})
	})
	if err != nil {
		return fmt.Errorf("asking for a change of address: %w", err)
	}
	return nil
}

// beginEmailChangeTx keeps a change that the viewer asks for, in the place of any other, and tells the present address.
func (s *Service) beginEmailChangeTx(ctx context.Context, tx *sql.Tx, v auth.Viewer, email string) (id uuid.UUID, err error) {
	u, err := s.userTx(ctx, tx, v.UserID)
	if err != nil {
		return id, err
	}
	if err := s.endEmailChangeTx(ctx, tx, u.ID, v.UserID, changeRecord{Ended: endReplaced}); err != nil {
		return id, err
	}
	id = typeid.New()
	sealed, err := s.vault.Seal(changeCell(id), email)
	if err != nil {
		return id, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO email_changes (id, user_id, session_id, email_sealed, created_at) VALUES ($1, $2, $3, $4, $5)`,
		id, u.ID, v.SessionID, sealed, s.now()); err != nil {
		return id, err
	}
	token, err := s.mintTx(ctx, tx, purposeLeave, mailed{user: u.ID, email: u.Email})
	if err != nil {
		return id, err
	}
	if err := s.tellTx(ctx, tx, u, notify.LeaveAddress, notify.Data{"link": linkTo("/leave-address", token)}); err != nil {
		return id, err
	}
	return id, audit.RecordTx(ctx, tx, audit.Entry{Action: audit.EmailChangeAsked, Actor: u.ID, Subject: u.NodeID()})
}

// takeLetter is the letter to the address that an account is to get, unless the change is over by then.
func (s *Service) takeLetter(ctx context.Context, request notify.Mail) (letter notify.Mail, ok bool, err error) {
	id, err := uuid.Parse(request.Data["change"])
	if err != nil {
		return notify.Mail{}, false, fmt.Errorf("identity: the id of a change of address: %w", err)
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		ok = false
		var user uuid.UUID
		if err := tx.QueryRowContext(ctx, `SELECT user_id FROM email_changes WHERE id = $1`, id).Scan(&user); err != nil {
			return err
		}
		_, c, err := s.emailChangeTx(ctx, tx, user)
		if err != nil || c.id != id {
			return err
		}
		locale, err := localeOf(ctx, tx, user)
		if err != nil {
			return err
		}
		token, err := s.mintTx(ctx, tx, purposeTake, mailed{user: user, email: c.Email})
		letter = notify.Mail{To: c.Email, Locale: locale, Kind: notify.TakeAddress, Data: notify.Data{"link": linkTo("/take-address", token)}}
		ok = err == nil
		return err
	})
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, ErrLinkExpired) {
		return notify.Mail{}, false, nil
	}
	return letter, ok, err
}

// ConfirmEmailChange confirms a change with the token that came to one of its addresses, and reports whether the account
// has the next address by then: when both have confirmed. ErrLinkExpired, ErrEmailTaken when the address has got an
// account meanwhile, which ends the change. The next address confirms once; the present one may still cancel.
func (s *Service) ConfirmEmailChange(ctx context.Context, token string) (applied bool, err error) {
	var gone []uuid.UUID
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		applied, gone = false, nil
		u, c, by, err := s.changeOfTokenTx(ctx, tx, token)
		if err != nil {
			return err
		}
		now := s.now()
		switch {
		case by == purposeTake:
			if _, err := s.spendTx(ctx, tx, by, token); err != nil {
				return err
			}
			c.TakenAt = &now
		case c.LeftAt == nil:
			c.LeftAt = &now
		default:
			return nil // confirmed before
		}
		if err := recordChangeTx(ctx, tx, audit.EmailChangeConfirmed, actorOf(ctx, u.ID), u.ID, changeRecord{Address: by.side()}); err != nil {
			return err
		}
		if c.TakenAt != nil && c.LeftAt != nil {
			applied = true
			gone, err = s.applyEmailChangeTx(ctx, tx, u, c)
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE email_changes SET taken_at = $2, left_at = $3 WHERE id = $1`, c.id, c.TakenAt, c.LeftAt)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("confirming a change of address: %w", err)
	}
	s.noteEnded(gone...)
	return applied, nil
}

// CancelEmailChange ends a change with the token that came to one of its addresses: ErrLinkExpired.
func (s *Service) CancelEmailChange(ctx context.Context, token string) error {
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		u, _, by, err := s.changeOfTokenTx(ctx, tx, token)
		if err != nil {
			return err
		}
		return s.endEmailChangeTx(ctx, tx, u.ID, actorOf(ctx, u.ID), changeRecord{Ended: endCancelled, Address: by.side()})
	})
	if err != nil {
		return fmt.Errorf("cancelling a change of address: %w", err)
	}
	return nil
}

// WithdrawEmailChange ends the change that waits for the viewer's account, and reports whether there was one.
func (s *Service) WithdrawEmailChange(ctx context.Context, v auth.Viewer) (withdrawn bool, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		withdrawn = false
		u, _, err := s.emailChangeTx(ctx, tx, v.UserID)
		if errors.Is(err, ErrLinkExpired) {
			return nil
		}
		if err != nil {
			return err
		}
		withdrawn = true
		return s.endEmailChangeTx(ctx, tx, u.ID, v.UserID, changeRecord{Ended: endWithdrawn})
	})
	if err != nil {
		return false, fmt.Errorf("withdrawing a change of address: %w", err)
	}
	return withdrawn, nil
}

// PendingEmailChange returns the change that waits for the viewer's account, nil when there is none. One statement.
func (s *Service) PendingEmailChange(ctx context.Context, v auth.Viewer) (*EmailChange, error) {
	c, err := s.readEmailChange(ctx, s.db.SQL(), v.UserID, "")
	if errors.Is(err, ErrLinkExpired) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("reading a change of address: %w", err)
	}
	return &c, nil
}

// applyEmailChangeTx gives an account its next address: ErrEmailTaken. Whoever commits calls noteEnded with the sessions
// that it ended: all but the one that asked.
func (s *Service) applyEmailChangeTx(ctx context.Context, tx *sql.Tx, u User, c EmailChange) (gone []uuid.UUID, err error) {
	sealed, err := s.vault.Seal(emailCell(u.ID), c.Email)
	if err != nil {
		return nil, err
	}
	if err := s.claimEmailTx(ctx, tx, c.Email); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE users SET email_sealed = $2, email_index = $3, email_verified_at = $4 WHERE id = $1`,
		u.ID, sealed, s.vault.Index(emailIndex, c.Email), s.now())
	if postgres.IsUniqueViolation(err, "users_email_index_key") {
		return nil, ErrEmailTaken
	}
	if err != nil {
		return nil, err
	}
	// Whatever was sent to the address of before, or begun with it, counts no more.
	for _, statement := range []string{
		`DELETE FROM email_changes WHERE user_id = $1`, `DELETE FROM mailed_tokens WHERE user_id = $1`, `DELETE FROM ceremonies WHERE user_id = $1`,
	} {
		if _, err := tx.ExecContext(ctx, statement, u.ID); err != nil {
			return nil, err
		}
	}
	actor := actorOf(ctx, u.ID)
	if gone, err = s.endTx(ctx, tx, audit.Entry{Action: audit.SessionEnded, Actor: actor}, endOthers, c.session, u.ID); err != nil {
		return nil, err
	}
	if err := audit.RecordTx(ctx, tx, audit.Entry{Action: audit.EmailChanged, Actor: actor, Subject: u.NodeID()}); err != nil {
		return nil, err
	}
	if err := s.tellTx(ctx, tx, u, notify.AddressChanged, nil); err != nil {
		return nil, err
	}
	u.Email = c.Email
	return gone, s.tellTx(ctx, tx, u, notify.AddressChanged, nil)
}

// changeOfTokenTx returns the account and the change that a token was mailed for, and which address it came to:
// ErrLinkExpired. Neither changes until the transaction ends.
func (s *Service) changeOfTokenTx(ctx context.Context, tx *sql.Tx, token string) (u User, c EmailChange, by purpose, err error) {
	for _, by = range []purpose{purposeTake, purposeLeave} {
		var given mailed
		if given, err = s.peek(ctx, tx, by, token); errors.Is(err, ErrLinkExpired) {
			continue
		}
		if err != nil {
			return User{}, EmailChange{}, "", err
		}
		if u, c, err = s.emailChangeTx(ctx, tx, given.user); err != nil {
			return User{}, EmailChange{}, "", err
		}
		// The change may have been replaced while this waited for the account, and its links with it.
		if _, err = s.peek(ctx, tx, by, token); err != nil {
			return User{}, EmailChange{}, "", err
		}
		if by == purposeTake && c.Email != given.email || by == purposeLeave && u.Email != given.email {
			return User{}, EmailChange{}, "", ErrLinkExpired
		}
		return u, c, by, nil
	}
	return User{}, EmailChange{}, "", ErrLinkExpired
}

// emailChangeTx returns an account and the change that waits for it: ErrLinkExpired when there is none. Neither changes
// until the transaction ends.
func (s *Service) emailChangeTx(ctx context.Context, tx *sql.Tx, user uuid.UUID) (User, EmailChange, error) {
	u, err := s.userTx(ctx, tx, user)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, EmailChange{}, ErrLinkExpired
	}
	if err != nil {
		return User{}, EmailChange{}, err
	}
	c, err := s.readEmailChange(ctx, tx, user, ` FOR UPDATE`)
	return u, c, err
}

// readEmailChange returns the change that waits for an account, with a lock or "": ErrLinkExpired when there is none.
func (s *Service) readEmailChange(ctx context.Context, db rowQuerier, user uuid.UUID, lock string) (c EmailChange, err error) {
	var sealed []byte
	err = db.QueryRowContext(ctx, `SELECT id, session_id, email_sealed, created_at, taken_at, left_at FROM email_changes
		WHERE user_id = $1 AND (taken_at IS NOT NULL OR created_at > $2)`+lock, user, s.now().Add(-takeTime)).
		Scan(&c.id, &c.session, &sealed, &c.RequestedAt, &c.TakenAt, &c.LeftAt)
	if errors.Is(err, sql.ErrNoRows) {
		return c, ErrLinkExpired
	}
	if err != nil {
		return c, err
	}
	c.RequestedAt = c.RequestedAt.UTC()
	for _, at := range []*time.Time{c.TakenAt, c.LeftAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
	c.Email, err = s.vault.Open(changeCell(c.id), sealed)
	return c, err
}

// ending is how a change of an address came to nothing.
type ending string

const (
	endCancelled ending = "CANCELLED"        // from one of its addresses
	endWithdrawn ending = "WITHDRAWN"        // by the account's owner
	endReplaced  ending = "REPLACED"         // by another request
	endPassword  ending = "PASSWORD_CHANGED" // which the next password may have been chosen against
	endDisabled  ending = "ACCOUNT_DISABLED"
	endLapsed    ending = "LAPSED" // the next address did not confirm in time
	endTaken     ending = "TAKEN"  // the next address has got an account of its own
)

// changeRecord is what the audit log keeps of a change: how it ended, and which of its addresses had the word.
type changeRecord struct {
	Ended   ending `json:"ended,omitempty"`
	Address string `json:"address,omitempty"`
}

// side names the address that a token for the purpose is mailed to.
func (p purpose) side() string {
	if p == purposeTake {
		return "NEXT"
	}
	return "PRESENT"
}

// endEmailChangeTx forgets the change that waits for an account, if there is one, and makes its links worthless, and those
// of any before. One whose time was over has lapsed by itself, whatever ends it.
func (s *Service) endEmailChangeTx(ctx context.Context, tx *sql.Tx, user, actor uuid.UUID, as changeRecord) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM mailed_tokens WHERE user_id = $1 AND purpose IN ('TAKE', 'LEAVE')`, user); err != nil {
		return err
	}
	var lapsed bool
	err := tx.QueryRowContext(ctx, `DELETE FROM email_changes WHERE user_id = $1 RETURNING taken_at IS NULL AND created_at <= $2`,
		user, s.now().Add(-takeTime)).Scan(&lapsed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if lapsed {
		actor, as = uuid.Nil, changeRecord{Ended: endLapsed}
	}
	return recordChangeTx(ctx, tx, audit.EmailChangeEnded, actor, user, as)
}

func recordChangeTx(ctx context.Context, tx *sql.Tx, action audit.Action, actor, user uuid.UUID, as changeRecord) error {
	return audit.RecordTx(ctx, tx, audit.Entry{Action: action, Actor: actor, Subject: typeid.Encode(typeid.User, user), After: as})
}
