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
	"marquee/internal/words"
)

// ErrLastAdmin is returned for what would leave the platform without an administrator who can sign in.
var ErrLastAdmin = errors.New("identity: this is the last administrator")

// ErrTooManyGrants is returned when a user has auth.MaxGrants already.
var ErrTooManyGrants = errors.New("identity: this user has as many grants as one can have")

// ErrDisabled is returned, to who has proved to be its owner, for an account that was disabled.
var ErrDisabled = errors.New("identity: this account was disabled")

// RoleGrant is a grant with its history.
type RoleGrant struct {
	auth.Grant

	UserID    uuid.UUID
	Reason    string
	CreatedAt time.Time
}

// ChangeGrantInput names a grant that is given or taken away, and says why.
type ChangeGrantInput struct {
	UserID uuid.UUID
	Grant  auth.Grant
	Reason string
}

// Validate returns BAD_USER_INPUT and names each field that cannot be used.
func (in ChangeGrantInput) Validate() error {
	var bad apperr.Fields
	switch {
	case in.Grant.Role == auth.RoleCustomer:
		bad.Add("input.role", "Everybody with an account is a customer.")
	case !in.Grant.Role.Valid():
		bad.Add("input.role", "This is not a role.")
	case !in.Grant.Valid():
		bad.Add("input.theaterId", "This role is held on the whole platform, not at a theater.")
	}
	checkReason(&bad, in.Reason)
	return bad.Err()
}

const maxReason = 500

// checkReason records what keeps a text from being the reason of an act.
func checkReason(bad *apperr.Fields, text string) {
	words.Check(bad, "input.reason", words.Clean(text), maxReason, "Say why, in 1 to %d printable characters.")
}

// Operator is who works at the command line of the installation at this moment: an administrator without an account, who
// proves by being there who they are.
func (s *Service) Operator() auth.Viewer {
	return auth.Viewer{Grants: auth.NewGrants(auth.Grant{Role: auth.RoleAdmin}), Strong: true, ProvedAt: s.now()}
}

// requireGranter returns FORBIDDEN unless the viewer may give and take a grant: administrators any, the managers of a
// theater that of its staff; and STEP_UP_REQUIRED. It looks at nothing but the viewer and the grant, so that it tells
// nothing of anybody else.
func (s *Service) requireGranter(v auth.Viewer, g auth.Grant) error {
	return s.requireProved(v, v.Has(auth.RoleAdmin, auth.Platform) || g.Role == auth.RoleTheaterStaff && v.Has(auth.RoleTheaterManager, g.Theater))
}

// requireProved returns FORBIDDEN to a viewer who may not do something, and STEP_UP_REQUIRED to one who may once they have
// proved again who they are. Who may not is not sent to prove anything first.
func (s *Service) requireProved(v auth.Viewer, may bool) error {
	if !may {
		return apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	return v.Recent(s.now())
}

// GrantRole gives a user a role: FORBIDDEN, STEP_UP_REQUIRED, BAD_USER_INPUT, NOT_FOUND when there is no such user or theater,
// ErrTooManyGrants. Who has the role there already keeps it as it was given. The user's access tokens are recalled; their
// sessions stay, and renew into the role.
func (s *Service) GrantRole(ctx context.Context, v auth.Viewer, in ChangeGrantInput) (RoleGrant, error) {
	if err := s.requireGranter(v, in.Grant); err != nil {
		return RoleGrant{}, err
	}
	if err := in.Validate(); err != nil {
		return RoleGrant{}, err
	}
	var given RoleGrant
	err := s.changeAccount(ctx, in.UserID, func(tx *sql.Tx) (change, error) {
		had, err := roleGrantsTx(ctx, tx, in.UserID)
		if err != nil {
			return unchanged, err
		}
		for _, g := range had {
			if g.Grant == in.Grant {
				given = g
				return unchanged, nil
			}
		}
		if len(had) >= auth.MaxGrants {
			return unchanged, ErrTooManyGrants
		}
		if given, err = s.insertGrantTx(ctx, tx, v.UserID, in); err != nil {
			return unchanged, err
		}
		if err := recordGrantTx(ctx, tx, audit.RoleGranted, v, in); err != nil {
			return unchanged, err
		}
		return recalled, s.tellOfGrantTx(ctx, tx, notify.RoleGranted, in)
	})
	if postgres.IsForeignKeyViolation(err, "role_grants_theater_fkey") {
		err = apperr.Missing("theater")
	}
	if err != nil {
		return RoleGrant{}, fmt.Errorf("granting a role: %w", err)
	}
	return given, nil
}

// RevokeRole takes a role away: FORBIDDEN, STEP_UP_REQUIRED, BAD_USER_INPUT, NOT_FOUND when the user was not granted it
// there, ErrLastAdmin. The user's access tokens are recalled; their sessions stay, and renew without the role.
func (s *Service) RevokeRole(ctx context.Context, v auth.Viewer, in ChangeGrantInput) error {
	if err := s.requireGranter(v, in.Grant); err != nil {
		return err
	}
	if err := in.Validate(); err != nil {
		return err
	}
	err := s.changeAccount(ctx, in.UserID, func(tx *sql.Tx) (change, error) {
		done, err := tx.ExecContext(ctx, `DELETE FROM role_grants WHERE user_id = $1 AND role = $2 AND theater_id IS NOT DISTINCT FROM $3`,
			in.UserID, in.Grant.Role, theaterOf(in.Grant))
		if err != nil {
			return unchanged, err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return unchanged, errors.Join(err, apperr.Missing("grant"))
		}
		if err := recordGrantTx(ctx, tx, audit.RoleRevoked, v, in); err != nil {
			return unchanged, err
		}
		return recalled, s.tellOfGrantTx(ctx, tx, notify.RoleRevoked, in)
	})
	if apperr.CodeOf(err) == apperr.NotFound {
		err = apperr.Missing("grant") // also when there is no such user, which is not for everybody to know
	}
	if err != nil {
		return fmt.Errorf("revoking a role: %w", err)
	}
	return nil
}

// recordGrantTx records that a grant was given, or taken away: what the log knows before or after is the grant itself.
func recordGrantTx(ctx context.Context, tx *sql.Tx, action audit.Action, v auth.Viewer, in ChangeGrantInput) error {
	entry := audit.Entry{
		Action: action, Actor: v.UserID, Subject: typeid.Encode(typeid.User, in.UserID), Theater: in.Grant.Theater, Reason: words.Clean(in.Reason),
	}
	if action == audit.RoleGranted {
		entry.After = granted(in.Grant)
	} else {
		entry.Before = granted(in.Grant)
	}
	return audit.RecordTx(ctx, tx, entry)
}

// tellOfGrantTx tells the owner of an account which role it was given, or lost.
func (s *Service) tellOfGrantTx(ctx context.Context, tx *sql.Tx, kind notify.Kind, in ChangeGrantInput) error {
	scope := "PLATFORM"
	if in.Grant.Theater != auth.Platform {
		scope = "THEATER"
	}
	return s.tellOwnerTx(ctx, tx, in.UserID, kind, notify.Data{"role": string(in.Grant.Role), "scope": scope})
}

// change says what becomes of the sessions of an account that is changed.
type change int

const (
	unchanged change = iota // they go on
	recalled                // their access tokens are recalled, they renew
	closed                  // they end
)

// changeAccount runs do in one transaction that has the account to itself, and does with its sessions what do says:
// NOT_FOUND when there is no such account, ErrLastAdmin. A session that starts meanwhile waits for it, see standingTx.
func (s *Service) changeAccount(ctx context.Context, userID uuid.UUID, do func(*sql.Tx) (change, error)) error {
	var (
		late []recall
		gone []uuid.UUID
	)
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		late, gone = nil, nil
		var found bool
		if err := tx.QueryRowContext(ctx, `SELECT true FROM users WHERE id = $1 FOR UPDATE`, userID).Scan(&found); err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				return apperr.Missing("user")
			}
			return err
		}
		changed, err := do(tx)
		if err != nil || changed == unchanged {
			return err
		}
		if changed == closed {
			gone, err = s.endTx(ctx, tx, audit.Entry{Action: audit.SessionEnded, Actor: actorOf(ctx, uuid.Nil)}, endAll, userID)
			return err
		}
		late, err = recallTx(ctx, tx, `UPDATE sessions SET generation = generation + 1 WHERE user_id = $1`, userID)
		return err
	})
	if postgres.IsCheckViolation(err, "role_grants_last_admin") {
		return ErrLastAdmin
	}
	if err != nil {
		return err
	}
	s.noteEnded(gone...)
	s.noteRecalled(late)
	return nil
}

// insertGrantTx records a grant; nobody, uuid.Nil, granted it at the command line.
func (s *Service) insertGrantTx(ctx context.Context, tx *sql.Tx, by uuid.UUID, in ChangeGrantInput) (RoleGrant, error) {
	given := RoleGrant{Grant: in.Grant, UserID: in.UserID, Reason: words.Clean(in.Reason), CreatedAt: s.now().UTC()}
	_, err := tx.ExecContext(ctx, `INSERT INTO role_grants (id, user_id, role, theater_id, granted_by, reason, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		typeid.New(), in.UserID, in.Grant.Role, theaterOf(in.Grant), uuid.NullUUID{UUID: by, Valid: by != uuid.Nil}, given.Reason, given.CreatedAt)
	return given, err
}

func theaterOf(g auth.Grant) uuid.NullUUID {
	return uuid.NullUUID{UUID: g.Theater, Valid: g.Theater != auth.Platform}
}

// grantsTx returns what a user was granted.
func grantsTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID) (auth.Grants, error) {
	list, err := roleGrantsTx(ctx, tx, userID)
	if err != nil {
		return auth.Grants{}, err
	}
	grants := make([]auth.Grant, len(list))
	for i, g := range list {
		grants[i] = g.Grant
	}
	return auth.NewGrants(grants...), nil
}

func roleGrantsTx(ctx context.Context, db querier, users ...uuid.UUID) ([]RoleGrant, error) {
	rows, err := db.QueryContext(ctx, `SELECT user_id, role, theater_id, reason, created_at FROM role_grants
		WHERE user_id = ANY ($1::uuid[]) ORDER BY created_at, id`, postgres.UUIDs(users))
	if err != nil {
		return nil, err
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (g RoleGrant, err error) {
		var theater uuid.NullUUID
		err = rows.Scan(&g.UserID, &g.Role, &theater, &g.Reason, &g.CreatedAt)
		g.Theater, g.CreatedAt = theater.UUID, g.CreatedAt.UTC()
		return g, err
	})
}

// InOfficeTx reports whether a user was granted a role.
func (s *Service) InOfficeTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID) (inOffice bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM role_grants WHERE user_id = $1)`, userID).Scan(&inOffice)
	return inOffice, err
}

// HighestRole returns the role that stands for all that a user was granted. One statement.
func (s *Service) HighestRole(ctx context.Context, userID uuid.UUID) (auth.Role, error) {
	list, err := s.RoleGrants(ctx, userID)
	grants := make([]auth.Grant, len(list))
	for i, g := range list {
		grants[i] = g.Grant
	}
	return auth.NewGrants(grants...).Highest(), err
}

// RoleGrants returns what a user was granted, the first grant first. The caller has made sure that the viewer may know
// it. One statement.
func (s *Service) RoleGrants(ctx context.Context, userID uuid.UUID) ([]RoleGrant, error) {
	list, err := roleGrantsTx(ctx, s.db.SQL(), userID)
	if err != nil {
		return nil, fmt.Errorf("reading grants: %w", err)
	}
	return list, nil
}
