package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// CreateAdmin makes an administrator's account. An empty password is replaced by a random one, which is shown once.
func (c Command) CreateAdmin(ctx context.Context, email, name, password string) error {
	return c.withAccounts(ctx, func(office office) error {
		made := password == ""
		if made {
			password = rand.Text()
		}
		user, err := office.CreateUser(ctx, identity.SignUpInput{Email: email, Name: name, Password: password}, auth.Grant{Role: auth.RoleAdmin})
		if errors.Is(err, identity.ErrEmailTaken) {
			return fmt.Errorf("an account with the address %s exists already: marquee admin grant gives it the role", email)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "%s is an administrator.\n", user.Email)
		if made {
			fmt.Fprintf(c.Out, "Password, shown this once: %s\n", password)
		}
		return nil
	})
}

// RoleChange names a role that somebody shall have, or lose.
type RoleChange struct {
	Email   string  // of their account
	Role    string  // as auth.Role writes it
	Theater *string // id of the theater where it is held; nil: on the platform
	Reason  string  // kept in the audit log
}

// GrantRole gives a role to somebody who has an account. Who has it already keeps it as it was given.
func (c Command) GrantRole(ctx context.Context, change RoleChange) error {
	return c.withAccounts(ctx, func(office office) error {
		in, held, err := office.find(ctx, change)
		if err != nil {
			return err
		}
		_, err = office.GrantRole(ctx, office.Operator(), in)
		if errors.Is(err, identity.ErrTooManyGrants) {
			return fmt.Errorf("%s has %d roles, the most that anybody can have: revoke others, or grant the role on the whole platform", held.email, auth.MaxGrants)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "%s is %s %s.\n", held.email, held.role, held.where)
		return nil
	})
}

// RevokeRole takes a role away.
func (c Command) RevokeRole(ctx context.Context, change RoleChange) error {
	return c.withAccounts(ctx, func(office office) error {
		in, held, err := office.find(ctx, change)
		if err != nil {
			return err
		}
		err = office.RevokeRole(ctx, office.Operator(), in)
		switch {
		case errors.Is(err, identity.ErrLastAdmin):
			return fmt.Errorf("%s is the last administrator: make another one first", held.email)
		case apperr.CodeOf(err) == apperr.NotFound:
			return fmt.Errorf("%s is not %s %s", held.email, held.role, held.where)
		case err != nil:
			return err
		}
		fmt.Fprintf(c.Out, "%s is not %s %s any more.\n", held.email, held.role, held.where)
		return nil
	})
}

// ListRoles shows who holds which role, a line each, by role, place and address.
func (c Command) ListRoles(ctx context.Context) error {
	return c.withAccounts(ctx, func(office office) error {
		accounts, err := office.holders(ctx)
		if err != nil {
			return err
		}
		type line struct {
			grant   identity.RoleGrant
			account identity.Account
		}
		var lines []line
		for _, account := range accounts {
			for _, grant := range account.Grants {
				lines = append(lines, line{grant, account})
			}
		}
		if len(lines) == 0 {
			fmt.Fprintln(c.Out, "Nobody holds a role: marquee admin create makes the first administrator.")
			return nil
		}
		names, err := office.theaters(ctx)
		if err != nil {
			return err
		}
		slices.SortFunc(lines, func(a, b line) int {
			return cmp.Or(b.grant.Compare(a.grant.Grant), cmp.Compare(a.account.Email, b.account.Email))
		})
		table := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
		for _, l := range lines {
			email := l.account.Email
			if l.account.DisabledAt != nil {
				email += " (disabled)"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\tsince %s\t%s\n", l.grant.Role, where(l.grant.Theater, names), email, l.grant.CreatedAt.Format(time.DateOnly), l.grant.Reason)
		}
		return table.Flush()
	})
}

// office is where the operator looks after accounts and their roles.
type office struct {
	*identity.Service

	client *ent.Client
}

func (c Command) withAccounts(ctx context.Context, do func(office) error) error {
	return c.withDatabase(ctx, func(db *postgres.DB) error {
		if err := c.migrate(ctx, db); err != nil {
			return err
		}
		accounts, err := c.accounts(db)
		if err != nil {
			return err
		}
		return do(office{Service: accounts, client: ent.Over(db.SQL())})
	})
}

// held is a role of somebody in words.
type held struct {
	email, where string
	role         auth.Role
}

// find looks up whom and what a change means.
func (o office) find(ctx context.Context, change RoleChange) (in identity.ChangeGrantInput, words held, err error) {
	in = identity.ChangeGrantInput{Grant: auth.Grant{Role: auth.Role(change.Role)}, Reason: change.Reason}
	if change.Theater != nil {
		if in.Grant.Theater, err = typeid.Decode(typeid.Theater, *change.Theater); err != nil {
			return in, words, fmt.Errorf("%q is not the id of a theater", *change.Theater)
		}
	}
	if err := in.Validate(); err != nil {
		return in, words, err
	}
	user, err := o.FindUser(ctx, change.Email)
	if apperr.CodeOf(err) == apperr.NotFound {
		return in, words, fmt.Errorf("there is no account with the address %s", change.Email)
	}
	if err != nil {
		return in, words, err
	}
	names, err := o.theaters(ctx)
	if err != nil {
		return in, words, err
	}
	if at := in.Grant.Theater; at != auth.Platform && names[at] == "" {
		return in, words, fmt.Errorf("there is no theater %s", *change.Theater)
	}
	in.UserID = user.ID
	return in, held{email: user.Email, role: in.Grant.Role, where: where(in.Grant.Theater, names)}, nil
}

// theaters returns the names of all theaters.
func (o office) theaters(ctx context.Context) (map[uuid.UUID]string, error) {
	list, err := o.client.Theater.Query().All(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading theaters: %w", err)
	}
	names := make(map[uuid.UUID]string, len(list))
	for _, t := range list {
		names[t.ID] = t.Name
	}
	return names, nil
}

// where says where a role is held.
func where(at uuid.UUID, names map[uuid.UUID]string) string {
	if at == auth.Platform {
		return "on the platform"
	}
	return fmt.Sprintf("at %s (%s)", names[at], typeid.Encode(typeid.Theater, at))
}

// holders returns all accounts that hold a role.
func (o office) holders(ctx context.Context) ([]identity.Account, error) {
	var all []identity.Account
	request := page.Request{Limit: page.MaxSize}
	for {
		p, err := o.Accounts(ctx, o.Operator(), identity.AccountFilter{InOffice: true}, request)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if !p.HasNext {
			return all, nil
		}
		request.After = all[len(all)-1].CursorKey()
	}
}
