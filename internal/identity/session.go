package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"marquee/ent"
	"marquee/ent/session"
	"marquee/ent/user"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/notify"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

const (
	// sessionAge is how long a session lasts, however often it is renewed.
	sessionAge = 90 * 24 * time.Hour
	// idleAge is how long a session lasts without being renewed.
	idleAge = 30 * 24 * time.Hour
	// renewalGrace is how long the refresh token before the present one is still answered: with the present one, for a
	// device whose answer was lost on the way. Later it is a sign that somebody copied a token.
	renewalGrace = 30 * time.Second
	// maxSessions is how many devices one account may have signed in; beyond it the one renewed longest ago is ended.
	maxSessions = 50

	maxDeviceName = 200
)

// openTx starts a session of u in the caller's transaction. Whoever commits calls noteEnded with the sessions that made
// room for it. Only admit and what completes it call this.
func (s *Service) openTx(ctx context.Context, tx *sql.Tx, u User, device Device, proofs []Proof) (row sessionRow, crowded []uuid.UUID, err error) {
	now := s.now()
	row = sessionRow{id: typeid.New(), salt: make([]byte, saltOfSession), generation: 1, expiresAt: now.Add(sessionAge), strong: isStrong(proofs)}
	row.provedAt = sql.NullTime{Time: now, Valid: true}
	_, _ = rand.Read(row.salt) // never fails: crypto/rand ends the program instead
	if row.grants, err = grantsTx(ctx, tx, u.ID); err != nil {
		return row, nil, err
	}
	name, err := s.sealDevice(row.id, deviceName(device.Name))
	if err != nil {
		return row, nil, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO sessions (id, user_id, device_sealed, salt, renewed_at, created_at, proved_at, strong, expires_at)
		VALUES ($1, $2, $3, $4, $5, $5, $5, $6, $7)`, row.id, u.ID, name, row.salt, now, row.strong, row.expiresAt); err != nil {
		return row, nil, err
	}
	if err := s.noteDeviceTx(ctx, tx, u.ID, device); err != nil {
		return row, nil, err
	}
	if crowded, err = s.endTx(ctx, tx, audit.Entry{Action: audit.SessionEnded, Actor: u.ID}, endCrowded, u.ID, maxSessions); err != nil {
		return row, nil, err
	}
	return row, crowded, audit.RecordTx(ctx, tx, audit.Entry{
		Action: audit.SessionStarted, Actor: u.ID, Subject: typeid.Encode(typeid.Session, row.id), After: sessionKind{Proofs: proofs},
	})
}

// sessionRow is what tokens are made of.
type sessionRow struct {
	id         uuid.UUID
	salt       []byte
	renewals   int64
	generation int32
	provedAt   sql.NullTime
	strong     bool
	expiresAt  time.Time
	grants     auth.Grants
}

func (s *Service) tokensOf(u User, row sessionRow, now time.Time) (Tokens, error) {
	viewer := auth.Viewer{UserID: u.ID, SessionID: row.id, Grants: row.grants, Generation: row.generation, ProvedAt: row.provedAt.Time, Strong: row.strong}
	access, err := s.tokens.make(&viewer)
	if err != nil {
		return Tokens{}, err
	}
	idle := now.Add(idleAge)
	if idle.After(row.expiresAt) {
		idle = row.expiresAt
	}
	return Tokens{
		Access: access, AccessExpiresAt: viewer.ExpiresAt,
		Refresh: s.makeRefreshToken(row.id, row.salt, uint32(row.renewals)), RefreshExpiresAt: idle,
		User: u, SecondFactorDue: viewer.SecondFactorDue(),
	}, nil
}

// Refresh renews a session and gives its next tokens: ErrSessionEnded when the token is not the session's present one.
// Renewing again within 30 s, with the same token or with the one it gave, gives the same next token, however many ask at
// once. A token that was renewed before that is in two hands: the session ends.
func (s *Service) Refresh(ctx context.Context, token string) (Tokens, error) {
	given, ok := readRefreshToken(token)
	if !ok {
		return Tokens{}, ErrSessionEnded
	}
	var (
		u      User
		row    sessionRow
		now    time.Time
		reused bool
	)
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		reused = false
		now = s.now()
		row = sessionRow{id: given.session}
		var renewedAt time.Time
		var userID uuid.UUID
		err := tx.QueryRowContext(ctx, `SELECT user_id, salt, renewals, generation, proved_at, strong, renewed_at, expires_at
			FROM sessions WHERE id = $1 FOR UPDATE`, given.session).
			Scan(&userID, &row.salt, &row.renewals, &row.generation, &row.provedAt, &row.strong, &renewedAt, &row.expiresAt)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrSessionEnded
		}
		if err != nil {
			return err
		}
		switch {
		case !s.sealed(given, row.salt) || int64(given.count) > row.renewals,
			!now.Before(row.expiresAt), !now.Before(renewedAt.Add(idleAge)):
			return ErrSessionEnded
		case int64(given.count) == row.renewals && row.renewals > 0 && !now.After(renewedAt.Add(renewalGrace)):
			// Of tabs that renew at once some have the next token already. Were it spent, those that still have the
			// one before would look like a thief.
		case int64(given.count) == row.renewals:
			row.renewals++
			if _, err := tx.ExecContext(ctx, `UPDATE sessions SET renewals = $2, renewed_at = $3 WHERE id = $1`, row.id, row.renewals, now); err != nil {
				return err
			}
		case int64(given.count) < row.renewals-1 || now.After(renewedAt.Add(renewalGrace)):
			reused = true
			_, err := s.endTx(ctx, tx, audit.Entry{Action: audit.SessionTokenReused}, endOne, row.id, userID)
			return err
		}
		found, err := ent.OverTx(tx).User.Query().Where(user.ID(userID)).Only(ctx)
		if err != nil {
			return err
		}
		if u, err = s.fromEnt(found); err != nil {
			return err
		}
		row.grants, err = grantsTx(ctx, tx, userID)
		return err
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("renewing a session: %w", err)
	}
	if reused {
		s.noteEnded(row.id)
		return Tokens{}, ErrSessionEnded
	}
	return s.tokensOf(u, row, now)
}

// Authenticate returns the viewer behind an access token: UNAUTHENTICATED when it is not one, its time is over, or its
// session was ended or changed. No statement while the node hears from its database.
func (s *Service) Authenticate(ctx context.Context, token string) (auth.Viewer, error) {
	hash := sha256.Sum256([]byte(token))
	v, verified := s.verified.Get(hash)
	if !verified {
		var err error
		if v, err = s.tokens.read(token); err != nil {
			return auth.Viewer{}, err
		}
		s.verified.Add(hash, v)
	}
	if err := s.stands(ctx, v); err != nil {
		return auth.Viewer{}, err
	}
	return v, nil
}

// Recheck returns nil while the viewer's access token still counts: UNAUTHENTICATED when it does not.
func (s *Service) Recheck(ctx context.Context, v auth.Viewer) error { return s.stands(ctx, v) }

// Sessions returns the devices that are signed in to the viewer's account, the one used last first. One statement.
func (s *Service) Sessions(ctx context.Context, v auth.Viewer) ([]Session, error) {
	now := s.clock.Now()
	rows, err := s.ent.Session.Query().
		Where(session.UserID(v.UserID), session.ExpiresAtGT(now), session.RenewedAtGT(now.Add(-idleAge))).
		Order(ent.Desc(session.FieldRenewedAt), ent.Desc(session.FieldID)).
		Limit(maxSessions).
		All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading sessions: %w", err)
	}
	sessions := make([]Session, len(rows))
	for i, row := range rows {
		device, err := s.openDevice(row.ID, row.DeviceSealed)
		if err != nil {
			return nil, fmt.Errorf("reading sessions: %w", err)
		}
		sessions[i] = Session{
			ID: row.ID, UserID: row.UserID, Device: device,
			CreatedAt: row.CreatedAt.UTC(), RenewedAt: row.RenewedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(),
		}
	}
	return sessions, nil
}

// SignOut ends the viewer's session; a session that has ended already is fine.
func (s *Service) SignOut(ctx context.Context, v auth.Viewer) error {
	_, err := s.end(ctx, v, endOne, v.SessionID, v.UserID)
	return err
}

// EndSession ends one of the viewer's sessions: NOT_FOUND when it is missing or someone else's.
func (s *Service) EndSession(ctx context.Context, v auth.Viewer, id uuid.UUID) error {
	n, err := s.end(ctx, v, endOne, id, v.UserID)
	if err == nil && n == 0 {
		return apperr.Missing("session")
	}
	return err
}

// EndOtherSessions ends all of the viewer's sessions but the one that asks, and returns how many.
func (s *Service) EndOtherSessions(ctx context.Context, v auth.Viewer) (int, error) {
	return s.end(ctx, v, endOthers, v.SessionID, v.UserID)
}

// ChangePasswordInput proves who asks by the present password.
type ChangePasswordInput struct{ Current, New string }

// validate returns BAD_USER_INPUT when the new password cannot be used for the account.
func (in ChangePasswordInput) validate(u User) error {
	var bad apperr.Fields
	checkPassword(&bad, "input.newPassword", norm.NFKC.String(in.New), u.Email, u.Name)
	return bad.Err()
}

// ChangePassword gives the viewer's account another password and ends all its other sessions: ErrInvalidCredentials
// when the present one is wrong, ErrNoPassword, BAD_USER_INPUT, STEP_UP_REQUIRED, THROTTLED.
func (s *Service) ChangePassword(ctx context.Context, v auth.Viewer, in ChangePasswordInput, device Device) error {
	if err := v.Recent(s.now()); err != nil {
		return err
	}
	row, err := s.ent.User.Get(ctx, v.UserID)
	if err != nil {
		return fmt.Errorf("reading an account: %w", err)
	}
	if row.PasswordHash == "" {
		return ErrNoPassword
	}
	u, err := s.fromEnt(row)
	if err != nil {
		return err
	}
	if err := in.validate(u); err != nil {
		return err
	}
	if err := s.prove(ctx, row, u.Email, in.Current, device); err != nil {
		return err
	}
	var hash string
	if err := s.hasher.do(ctx, func() { hash = hashPassword(norm.NFKC.String(in.New)) }); err != nil {
		return err
	}
	var others []uuid.UUID
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		// Whoever changed it since has proved more recently who they are.
		done, err := tx.ExecContext(ctx, `UPDATE users SET password_hash = $2 WHERE id = $1 AND password_hash = $3`, v.UserID, hash, row.PasswordHash)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, apperr.New(apperr.Conflict, "The password was changed at the same time. Look again."))
		}
		if err := endPendingTx(ctx, tx, v.UserID); err != nil {
			return err
		}
		others, err = s.endTx(ctx, tx, audit.Entry{Action: audit.SessionEnded, Actor: v.UserID}, endOthers, v.SessionID, v.UserID)
		if err != nil {
			return err
		}
		if err := audit.RecordTx(ctx, tx, audit.Entry{Action: audit.PasswordChanged, Actor: v.UserID, Subject: u.NodeID()}); err != nil {
			return err
		}
		if err := s.voidResetsTx(ctx, tx, u.ID, v.UserID, endPassword); err != nil {
			return err
		}
		return s.tellTx(ctx, tx, u, notify.PasswordChanged, nil)
	})
	if err != nil {
		return fmt.Errorf("changing a password: %w", err)
	}
	s.noteEnded(others...)
	return nil
}

// Which sessions endTx deletes; the access tokens of what is deleted are recalled.
const (
	endOne     = `WITH gone AS (DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING id)` + recallGone
	endOthers  = `WITH gone AS (DELETE FROM sessions WHERE id <> $1 AND user_id = $2 RETURNING id)` + recallGone
	endAll     = `WITH gone AS (DELETE FROM sessions WHERE user_id = $1 RETURNING id)` + recallGone
	endCrowded = `WITH gone AS (DELETE FROM sessions WHERE user_id = $1 AND id IN
		(SELECT id FROM sessions WHERE user_id = $1 ORDER BY renewed_at DESC, id DESC OFFSET $2) RETURNING id)` + recallGone

	// 2147483647 is the generation ended.
	recallGone = ` INSERT INTO session_revocations (session_id, generation, noted_at) SELECT id, 2147483647, clock_timestamp() FROM gone
		ON CONFLICT (session_id) DO UPDATE SET generation = excluded.generation, noted_at = excluded.noted_at
		RETURNING session_id`
)

// end ends sessions of the viewer and returns how many.
func (s *Service) end(ctx context.Context, v auth.Viewer, which string, args ...any) (int, error) {
	var gone []uuid.UUID
	err := s.db.InTx(ctx, func(tx *sql.Tx) (err error) {
		gone, err = s.endTx(ctx, tx, audit.Entry{Action: audit.SessionEnded, Actor: v.UserID}, which, args...)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", err)
	}
	s.noteEnded(gone...)
	return len(gone), nil
}

// endTx ends sessions in the caller's transaction and records of each that the act was done to it. Whoever commits calls
// noteEnded with what it returns.
func (s *Service) endTx(ctx context.Context, tx *sql.Tx, act audit.Entry, which string, args ...any) ([]uuid.UUID, error) {
	rows, err := tx.QueryContext(ctx, which, args...)
	if err != nil {
		return nil, err
	}
	gone, err := postgres.Collect(rows, func(rows *sql.Rows) (id uuid.UUID, err error) {
		err = rows.Scan(&id)
		return id, err
	})
	if err != nil {
		return nil, err
	}
	for _, id := range gone {
		act.Subject = typeid.Encode(typeid.Session, id)
		if err := audit.RecordTx(ctx, tx, act); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// noteEnded makes this node feel at once what the others learn in a second.
func (s *Service) noteEnded(sessions ...uuid.UUID) {
	for _, id := range sessions {
		s.revoked.note(id, ended, time.Now())
	}
}

// ForgetSessions deletes sessions that are over and revocations that no token can need, and returns how many sessions.
func (s *Service) ForgetSessions(ctx context.Context) (int, error) {
	now := s.clock.Now()
	n, err := s.ent.Session.Delete().Where(session.Or(session.ExpiresAtLTE(now), session.RenewedAtLTE(now.Add(-idleAge)))).Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("forgetting sessions: %w", err)
	}
	_, err = s.db.SQL().ExecContext(ctx, `DELETE FROM session_revocations WHERE noted_at < now() - $1::float8 * interval '1 second'`,
		(revocationAge + overlap).Seconds())
	if err != nil {
		return n, fmt.Errorf("forgetting revocations: %w", err)
	}
	return n, nil
}

// deviceName is fit to be shown to the account's owner: printable, and not too long.
func deviceName(text string) string {
	name := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if runes := []rune(name); len(runes) > maxDeviceName {
		name = string(runes[:maxDeviceName])
	}
	return strings.TrimSpace(name)
}
