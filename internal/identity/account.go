package identity

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	entsql "entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"marquee/ent"
	"marquee/ent/predicate"
	"marquee/ent/user"
	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/notify"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/words"
)

// Account is a user as those see it who look after accounts.
type Account struct {
	User

	DisabledAt     *time.Time // nil: the account can be used
	DisabledReason *string
	Grants         []RoleGrant // the oldest first
}

// NodeID returns the account's id.
func (a Account) NodeID() string { return typeid.Encode(typeid.Account, a.ID) }

// UserID returns the user's id.
func (a Account) UserID() string { return a.User.NodeID() }

// AccountCursor is what cursors of the list of accounts are signed for.
const AccountCursor = "accounts:created"

// CursorKey returns where a stands in the list of accounts.
func (a Account) CursorKey() []string { return []string{a.ID.String()} }

// AccountFilter restricts the list of accounts; every given condition must hold.
type AccountFilter struct {
	UserID    *uuid.UUID
	Email     *string // the whole address
	Role      *auth.Role
	TheaterID *uuid.UUID // where a role is held
	InOffice  bool       // a role is held, whichever and wherever
	Disabled  *bool
}

// Accounts returns a page of the accounts, the one made last first: FORBIDDEN unless the viewer helps customers. Three
// statements at most.
func (s *Service) Accounts(ctx context.Context, v auth.Viewer, filter AccountFilter, request page.Request) (page.Page[Account], error) {
	if !v.Has(auth.RoleSupport, auth.Platform) {
		return page.Page[Account]{}, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	where, err := s.accountPredicates(ctx, filter)
	if err != nil {
		return page.Page[Account]{}, err
	}
	// Keys of users sort by the time they were made.
	rows, err := s.ent.User.Query().Where(where...).Where(func(sel *entsql.Selector) {
		id := sel.C(user.FieldID)
		if request.After != nil {
			sel.Where(entsql.LT(id, request.After[0]))
		}
		if request.Before != nil {
			sel.Where(entsql.GT(id, request.Before[0]))
		}
		direction := entsql.Desc
		if request.Backward {
			direction = entsql.Asc
		}
		sel.OrderBy(direction(id))
	}).Limit(request.Limit + 1).All(ctx)
	if err != nil {
		return page.Page[Account]{}, fmt.Errorf("reading accounts: %w", err)
	}
	accounts, err := s.accountsOf(ctx, rows...)
	return page.Cut(request, accounts), err
}

func (s *Service) accountPredicates(ctx context.Context, filter AccountFilter) ([]predicate.User, error) {
	var where []predicate.User
	if filter.UserID != nil {
		where = append(where, user.ID(*filter.UserID))
	}
	if filter.Email != nil {
		found, err := s.KeyByEmail(ctx, *filter.Email)
		if err != nil {
			return nil, err
		}
		where = append(where, user.ID(found))
	}
	if filter.Role != nil || filter.TheaterID != nil || filter.InOffice {
		where = append(where, func(sel *entsql.Selector) {
			grants := entsql.Table("role_grants")
			held := entsql.Select(grants.C("user_id")).From(grants)
			if filter.Role != nil {
				held.Where(entsql.EQ(grants.C("role"), string(*filter.Role)))
			}
			if filter.TheaterID != nil {
				held.Where(entsql.EQ(grants.C("theater_id"), *filter.TheaterID))
			}
			sel.Where(entsql.In(sel.C(user.FieldID), held))
		})
	}
	if filter.Disabled != nil {
		if *filter.Disabled {
			where = append(where, user.DisabledAtNotNil())
		} else {
			where = append(where, user.DisabledAtIsNil())
		}
	}
	return where, nil
}

// accountsOf returns the accounts of rows, in their order.
func (s *Service) accountsOf(ctx context.Context, rows ...*ent.User) ([]Account, error) {
	accounts := make([]Account, len(rows))
	at := make(map[uuid.UUID]*Account, len(rows))
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		u, err := s.fromEnt(row)
		if err != nil {
			return nil, err
		}
		accounts[i] = Account{User: u, DisabledAt: row.DisabledAt, DisabledReason: row.DisabledReason}
		at[row.ID], ids[i] = &accounts[i], row.ID
	}
	grants, err := roleGrantsTx(ctx, s.db.SQL(), ids...)
	if err != nil {
		return nil, fmt.Errorf("reading grants: %w", err)
	}
	for _, g := range grants {
		at[g.UserID].Grants = append(at[g.UserID].Grants, g)
	}
	return accounts, nil
}

// Account returns an account to those who help customers: FORBIDDEN, NOT_FOUND.
func (s *Service) Account(ctx context.Context, v auth.Viewer, id uuid.UUID) (Account, error) {
	if !v.Has(auth.RoleSupport, auth.Platform) {
		return Account{}, apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	return s.readAccount(ctx, id)
}

// readAccount returns an account to whoever may see it: NOT_FOUND.
func (s *Service) readAccount(ctx context.Context, id uuid.UUID) (Account, error) {
	row, err := s.ent.User.Get(ctx, id)
	if ent.IsNotFound(err) {
		return Account{}, apperr.Missing("user")
	}
	if err != nil {
		return Account{}, fmt.Errorf("reading an account: %w", err)
	}
	accounts, err := s.accountsOf(ctx, row)
	if err != nil {
		return Account{}, err
	}
	return accounts[0], nil
}

// StaffMember is a grant at a theater with who holds it, as the theater's managers see them.
type StaffMember struct {
	RoleGrant

	User User
}

// maxStaff bounds the list of a theater's staff.
const maxStaff = 500

// StaffByTheater returns who was granted a role at theaters, the first first, at most maxStaff of each. The caller has made
// sure that the viewer manages them. Two statements.
func (s *Service) StaffByTheater(ctx context.Context, theaterIDs []uuid.UUID) (map[uuid.UUID][]StaffMember, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT g.theater_id, g.user_id, g.role, g.reason, g.created_at
		FROM unnest($1::uuid[]) AS theater (id) CROSS JOIN LATERAL (SELECT id, theater_id, user_id, role, reason, created_at FROM role_grants
			WHERE theater_id = theater.id ORDER BY created_at, id LIMIT $2) g ORDER BY g.created_at, g.id`, postgres.UUIDs(theaterIDs), maxStaff)
	if err != nil {
		return nil, fmt.Errorf("reading staff: %w", err)
	}
	var ids []uuid.UUID
	staff, err := postgres.Collect(rows, func(rows *sql.Rows) (m StaffMember, err error) {
		err = rows.Scan(&m.Theater, &m.UserID, &m.Role, &m.Reason, &m.CreatedAt)
		m.CreatedAt = m.CreatedAt.UTC()
		ids = append(ids, m.UserID)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading staff: %w", err)
	}
	people, err := s.UsersByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID][]StaffMember, len(theaterIDs))
	for _, m := range staff {
		m.User = people[m.UserID]
		found[m.Theater] = append(found[m.Theater], m)
	}
	return found, nil
}

// UsersByID returns the users that exist among ids. The caller has made sure that the viewer may know them. One statement.
func (s *Service) UsersByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]User, error) {
	rows, err := s.ent.User.Query().Where(user.IDIn(ids...)).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading users: %w", err)
	}
	found := make(map[uuid.UUID]User, len(rows))
	for _, row := range rows {
		if found[row.ID], err = s.fromEnt(row); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// KeyByEmail returns the key of the account with an address, uuid.Nil for none: no account has it. The caller has made sure
// that the viewer may know. One statement.
func (s *Service) KeyByEmail(ctx context.Context, email string) (uuid.UUID, error) {
	row, err := s.userByEmail(ctx, normaliseEmail(email))
	if err != nil || row == nil {
		return uuid.Nil, err
	}
	return row.ID, nil
}

// DisableUser shuts an account: its sessions end at once and nobody can sign in to it: FORBIDDEN unless the viewer runs
// the platform, STEP_UP_REQUIRED, BAD_USER_INPUT, NOT_FOUND, ErrLastAdmin. An account that is disabled already keeps its reason.
func (s *Service) DisableUser(ctx context.Context, v auth.Viewer, userID uuid.UUID, reason string) (Account, error) {
	return s.setDisabled(ctx, v, userID, reason, `UPDATE users SET disabled_at = now(), disabled_reason = $2 WHERE id = $1 AND disabled_at IS NULL`,
		audit.Entry{Action: audit.AccountDisabled, Before: standing{"enabled"}, After: standing{"disabled"}}, notify.AccountDisabled)
}

// EnableUser opens a disabled account again, as DisableUser shuts it. Its owner signs in anew.
func (s *Service) EnableUser(ctx context.Context, v auth.Viewer, userID uuid.UUID, reason string) (Account, error) {
	return s.setDisabled(ctx, v, userID, reason, `UPDATE users SET disabled_at = NULL, disabled_reason = NULL WHERE id = $1 AND disabled_at IS NOT NULL AND $2 <> ''`,
		audit.Entry{Action: audit.AccountEnabled, Before: standing{"disabled"}, After: standing{"enabled"}}, notify.AccountEnabled)
}

// standing is what the log says of an account.
type standing struct {
	State string `json:"state"`
}

func (s *Service) setDisabled(ctx context.Context, v auth.Viewer, userID uuid.UUID, reason, statement string, entry audit.Entry, letter notify.Kind) (Account, error) {
	if err := s.requireProved(v, v.Has(auth.RoleAdmin, auth.Platform)); err != nil {
		return Account{}, err
	}
	var bad apperr.Fields
	checkReason(&bad, reason)
	if err := bad.Err(); err != nil {
		return Account{}, err
	}
	err := s.changeAccount(ctx, userID, func(tx *sql.Tx) (change, error) {
		done, err := tx.ExecContext(ctx, statement, userID, words.Clean(reason))
		if err != nil {
			return unchanged, err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return unchanged, err
		}
		if err := s.voidBegunTx(ctx, tx, userID, v.UserID); err != nil {
			return unchanged, err
		}
		entry.Actor, entry.Subject, entry.Reason = v.UserID, typeid.Encode(typeid.User, userID), words.Clean(reason)
		if err := audit.RecordTx(ctx, tx, entry); err != nil {
			return unchanged, err
		}
		return closed, s.tellOwnerTx(ctx, tx, userID, letter, nil)
	})
	if err != nil {
		return Account{}, fmt.Errorf("disabling or enabling an account: %w", err)
	}
	return s.readAccount(ctx, userID)
}

// voidBegunTx makes worthless what was begun for an account before an administrator shut it: it is not to be finished when
// the account opens again.
func (s *Service) voidBegunTx(ctx context.Context, tx *sql.Tx, userID, actor uuid.UUID) error {
	for _, statement := range []string{
		`DELETE FROM ceremonies WHERE user_id = $1`, `DELETE FROM factors WHERE user_id = $1 AND confirmed_at IS NULL`,
	} {
		if _, err := tx.ExecContext(ctx, statement, userID); err != nil {
			return err
		}
	}
	return s.voidResetsTx(ctx, tx, userID, actor, endDisabled)
}

// FindUser returns the account with an address: NOT_FOUND. It is for the command line, which may know everybody.
func (s *Service) FindUser(ctx context.Context, email string) (User, error) {
	row, err := s.userByEmail(ctx, normaliseEmail(email))
	if err != nil {
		return User{}, err
	}
	if row == nil {
		return User{}, apperr.Missing("account")
	}
	return s.fromEnt(row)
}
