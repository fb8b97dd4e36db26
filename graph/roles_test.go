package graph_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/gqlclient"
	"marquee/internal/identity"
)

// TestAZ4_fields_below_the_roots asks for the guarded staff of a theater on every way that leads to a theater, in every
// form that a document can ask in, as everybody who may not: whatever stands around it, nothing of it is told.
func TestAZ4_fields_below_the_roots(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	show := a.World.Showtimes[0]
	ours, elsewhere := show.Theater.Key, a.World.Theaters[1].Key
	if show.Theater.Key == elsewhere {
		elsewhere = a.World.Theaters[0].Key
	}
	secret := a.As(auth.Grant{Role: auth.RoleTheaterStaff, Theater: ours})
	const staff = `staff { name email userId role reason }`
	ways := map[string]string{
		"directly":           `query ($theater: ID!) { theater(id: $theater) { ` + staff + ` } }`,
		"a_list":             `{ theaters(first: 3) { nodes { ` + staff + ` } } }`,
		"edges":              `{ theaters(first: 3) { edges { node { ` + staff + ` } } } }`,
		"movies":             `{ movies(first: 3, filter: {playing: true}) { nodes { showtimes(first: 3) { nodes { theater { ` + staff + ` } } } } } }`,
		"screens":            `query ($show: ID!) { showtime(id: $show) { screen { theater { ` + staff + ` } } } }`,
		"a_seat_map":         `query ($show: ID!) { seatMap(showtimeId: $show) { showtime { theater { ` + staff + ` } } } }`,
		"node":               `query ($theater: ID!) { node(id: $theater) { ... on Theater { ` + staff + ` } } }`,
		"nodes":              `query ($theater: ID!, $show: ID!) { nodes(ids: [$theater, $show]) { ... on Theater { ` + staff + ` } ... on Showtime { theater { ` + staff + ` } } } }`,
		"an_alias":           `query ($theater: ID!) { theater(id: $theater) { name: staff { id: email } } }`,
		"a_fragment":         `query ($theater: ID!) { theater(id: $theater) { ...a } } fragment a on Theater { ...b } fragment b on Theater { ` + staff + ` }`,
		"an_inline_fragment": `query ($theater: ID!) { theater(id: $theater) { ... { ... on Node { ... on Theater { ` + staff + ` } } } } }`,
		"a_directive":        `query ($theater: ID!) { theater(id: $theater) { staff @include(if: true) { email @skip(if: false) } } }`,
		"only_the_typename":  `query ($theater: ID!) { theater(id: $theater) { staff { __typename } } }`,
		"beside_open_fields": `query ($theater: ID!) { theater(id: $theater) { name } again: theater(id: $theater) { name ` + staff + ` } }`,
	}
	for name, who := range map[string]apitest.Client{
		"nobody":                    a.Anonymous(),
		"a_customer":                a.Customer(),
		"the_staff_itself":          secret,
		"staff_of_all":              a.As(auth.Grant{Role: auth.RoleTheaterStaff}),
		"support":                   a.As(auth.Grant{Role: auth.RoleSupport}),
		"finance":                   a.As(auth.Grant{Role: auth.RoleFinance}),
		"a_manager_of_another":      a.As(auth.Grant{Role: auth.RoleTheaterManager, Theater: elsewhere}),
		"manager_there_staff_here":  a.As(auth.Grant{Role: auth.RoleTheaterManager, Theater: elsewhere}, auth.Grant{Role: auth.RoleTheaterStaff, Theater: ours}),
		"a_manager_of_none_support": a.As(auth.Grant{Role: auth.RoleSupport}, auth.Grant{Role: auth.RoleFinance}),
	} {
		code := apperr.Forbidden
		if name == "nobody" {
			code = apperr.Unauthenticated
		}
		variables := vars{"theater": show.Theater.ID(), "show": show.ID()}
		for way, query := range ways {
			t.Run(way+"_as_"+name, func(t *testing.T) {
				answer := who.With(t).Raw(query, only(query, variables))
				text := string(answer.Body)
				if !strings.Contains(text, `"`+string(code)+`"`) || strings.Contains(text, secret.User.Email) || strings.Contains(text, "StaffMember") {
					t.Errorf("%s", answer)
				}
			})
		}
		t.Run("an_event_as_"+name, func(t *testing.T) {
			w := who.With(t).Watch(`subscription ($show: ID!) { seatMapChanged(showtimeId: $show) { ... on SeatMapSnapshot { seatMap { showtime { theater { `+staff+` } } } } } }`,
				vars{"show": show.ID()})
			if err := w.Try(nil); gqlclient.CodeOf(err) != code {
				t.Errorf("%v", err)
			}
		})
	}
	for name, who := range map[string]apitest.Client{
		"its_manager": a.As(auth.Grant{Role: auth.RoleTheaterManager, Theater: ours}), "a_manager_of_all": a.Manager(), "an_administrator": a.Admin(),
	} {
		for way, query := range ways {
			if strings.HasSuffix(query, "theaters(first: 3)") || way == "a_list" || way == "edges" || way == "movies" {
				continue // of other theaters, too
			}
			text := string(who.Raw(query, only(query, vars{"theater": show.Theater.ID(), "show": show.ID()})).Body)
			if strings.Contains(text, `"errors"`) || way != "only_the_typename" && !strings.Contains(text, secret.User.Email) {
				t.Errorf("%s, %s: %s", name, way, text)
			}
		}
	}
}

// only returns those of the variables that a document declares: others are refused.
func only(query string, all vars) vars {
	declared := vars{}
	for name, value := range all {
		if strings.Contains(query, "$"+name+":") {
			declared[name] = value
		}
	}
	return declared
}

// TestAZ4_a_user_is_reached_only_as_oneself asks for the guarded fields of users in all ways that lead to one.
func TestAZ4_a_user_is_reached_only_as_oneself(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare(), apitest.Still())
	owner := a.Customer()
	const secrets = `{ ... on User { email grants { reason } sessions { id } factors { id } linkedProviders { id } profile { phone } } }`
	for name, who := range map[string]apitest.Client{"nobody": a.Anonymous(), "a_customer": a.Customer(), "support": a.As(auth.Grant{Role: auth.RoleSupport}), "an_administrator": a.Admin()} {
		for way, query := range map[string]string{
			"node":  `query ($id: ID!) { node(id: $id) ` + secrets + ` }`,
			"nodes": `query ($id: ID!) { nodes(ids: [$id]) ` + secrets + ` }`,
		} {
			if answer := string(who.Raw(query, vars{"id": owner.User.NodeID()}).Body); strings.Contains(answer, owner.User.Email) || !strings.Contains(answer, "null") {
				t.Errorf("%s, by %s: %s", name, way, answer)
			}
			// Nor is it told whether there is such a user.
			bare := string(who.Raw(strings.Replace(query, secrets, `{ __typename }`, 1), vars{"id": owner.User.NodeID()}).Body)
			if strings.Contains(bare, `"User"`) || !strings.Contains(bare, "null") {
				t.Errorf("%s, by %s: %s", name, way, bare)
			}
		}
	}
	if answer := string(owner.Raw(`query ($id: ID!) { node(id: $id) `+secrets+` }`, vars{"id": owner.User.NodeID()}).Body); !strings.Contains(answer, owner.User.Email) || strings.Contains(answer, `"errors"`) {
		t.Errorf("the owner: %s", answer)
	}
	// Who just signed in has no session in the operation that gives it.
	signed := string(a.Anonymous().Raw(`mutation ($in: SignInInput!) { signIn(input: $in) { ... on SessionPayload { user { email grants { reason } } } } }`,
		vars{"in": vars{"email": owner.User.Email, "password": apitest.Password}}).Body)
	if !strings.Contains(signed, `"UNAUTHENTICATED"`) {
		t.Errorf("beside a sign-in: %s", signed)
	}
}

// TestStatements_of_accounts counts what lists of accounts and staff cost: it must not depend on how long they are.
func TestStatements_of_accounts(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still(), apitest.Batched())
	const few, many = 3, 30
	small, large := a.World.Theaters[0], a.World.Theaters[1]
	for i := range many {
		grants := []auth.Grant{{Role: auth.RoleTheaterStaff, Theater: large.Key}}
		if i < few {
			grants = append(grants, auth.Grant{Role: auth.RoleTheaterStaff, Theater: small.Key}, auth.Grant{Role: auth.RoleFinance})
		}
		in := identity.SignUpInput{Email: fmt.Sprintf("staff-%02d@example.com", i), Name: "Someone", Password: apitest.Password}
		if _, err := a.Identity.CreateUser(t.Context(), in, grants...); err != nil {
			t.Fatal(err)
		}
	}
	admin := a.Admin()
	const staff = `query ($id: ID!) { theater(id: $id) { staff { userId name email role reason grantedAt } } }`
	const users = `query ($n: Int!) { users(first: $n) { nodes { id email disabledAt grants { role theater { name } } } pageInfo { hasNextPage } } }`
	for name, test := range map[string]struct {
		query     string
		few, many vars
		most      int
	}{
		"Theater.staff":        {staff, vars{"id": small.ID()}, vars{"id": large.ID()}, 4}, // session; theater; grants, users
		"users":                {users, vars{"n": few}, vars{"n": many}, 4},                // session; users, grants; theaters
		"users_of_one_theater": {strings.Replace(users, "first: $n", `first: $n, filter: {theaterId: "`+large.ID()+`"}`, 1), vars{"n": few}, vars{"n": many}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			measure := func(with vars) []string {
				return a.Statements(func() { admin.With(t).Get(test.query, with, nil) })
			}
			forFew, forMany := measure(test.few), measure(test.many)
			t.Logf("%d statements for %d, %d for %d", len(forFew), few, len(forMany), many)
			if len(forFew) != len(forMany) || len(forMany) > test.most {
				t.Errorf("%d statements for %d, want at most %d:\n%s\n\n%d for %d:\n%s", len(forFew), few, test.most, strings.Join(forFew, "\n"),
					len(forMany), many, strings.Join(forMany, "\n"))
			}
		})
	}
}

// TestA3_roles_and_accounts is A3 for what administrators do, on two nodes: it is felt on the one that was not asked, by
// requests and by an open socket, and an account that is enabled again is let in again.
func TestA3_roles_and_accounts(t *testing.T) {
	t.Parallel()
	here := apitest.New(t)
	there := apitest.New(t, apitest.Beside(here))
	at := here.World.Theaters[0]
	admin := here.Admin()
	manager := auth.Grant{Role: auth.RoleTheaterManager, Theater: at.Key}
	const staff = `query ($id: ID!) { theater(id: $id) { staff { email } } }`
	for name, test := range map[string]struct {
		act, back string
		in        vars
	}{
		"disabling": {
			`mutation ($in: DisableUserInput!) { disableUser(input: $in) { __typename ... on DisableUserPayload { account { disabledAt disabledReason } } } }`,
			`mutation ($in: EnableUserInput!) { enableUser(input: $in) { account { disabledAt } } }`,
			vars{"reason": "chargebacks"},
		},
		"a_role_revoked": {
			`mutation ($in: RevokeRoleInput!) { revokeRole(input: $in) { __typename ... on RevokeRolePayload { userId } } }`,
			`mutation ($in: GrantRoleInput!) { grantRole(input: $in) { __typename ... on GrantRolePayload { grant { role } } } }`,
			vars{"reason": "on leave", "role": "THEATER_MANAGER", "theaterId": at.ID()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, by := here.As(manager).With(t), admin.With(t)
			in := vars{"userId": c.User.NodeID()}
			maps.Copy(in, test.in)
			bites(t, c, there, here.World.Showtimes[0].ID(), staff, vars{"id": at.ID()}, func() { by.Get(test.act, vars{"in": in}, nil) })
			if name == "disabling" {
				if got := openSession(there.Anonymous().With(t), c.User.Email, apitest.Password); got.Code != "ACCOUNT_DISABLED" {
					t.Errorf("signing in meanwhile: %+v", got)
				}
			}
			by.Get(test.back, vars{"in": in}, nil)
			if got := openSession(there.Anonymous().With(t), c.User.Email, apitest.Password); got.Code == "ACCOUNT_DISABLED" || got.Code == "INVALID_CREDENTIALS" {
				t.Errorf("signing in afterwards: %+v", got)
			}
		})
	}
}
