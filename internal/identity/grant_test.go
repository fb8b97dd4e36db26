package identity_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/notify"
)

// grant gives a role as the operator would.
func (b bundle) grant(t *testing.T, user uuid.UUID, g auth.Grant) error {
	t.Helper()
	_, err := b.GrantRole(t.Context(), b.Operator(), identity.ChangeGrantInput{UserID: user, Grant: g, Reason: "as agreed"})
	return err
}

// theater adds a theater and returns its key.
func (b bundle) theater(t *testing.T) uuid.UUID {
	t.Helper()
	key := uuid.New()
	b.exec(t, `INSERT INTO theaters (id, name, address, city, country_code, latitude, longitude, time_zone, currency, opens_minute, closes_minute)
		VALUES ($1::uuid, $1::text, '1 Lumen Street', 'Berlin', 'DE', 1, 2, 'Europe/Berlin', 'EUR', 600, 1500)`, key)
	return key
}

// root makes the account of an administrator whom nobody touches.
func (b bundle) root(t *testing.T) uuid.UUID {
	t.Helper()
	in := identity.SignUpInput{Email: "root@example.com", Password: passphrase, Name: "Root"}
	u, err := b.CreateUser(t.Context(), in, auth.Grant{Role: auth.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

// holding returns who makes viewers that hold roles and have just proved a second factor.
func (b bundle) holding(user uuid.UUID) func(grants ...auth.Grant) auth.Viewer {
	return func(grants ...auth.Grant) auth.Viewer {
		return auth.Viewer{UserID: user, SessionID: uuid.New(), Grants: auth.NewGrants(grants...), Strong: true, ProvedAt: b.clock.Now()}
	}
}

// TestAZ3_who_may_appoint_whom asks for every grant as every kind of viewer, to give it and to take it away: managers
// appoint the staff of their own theaters, administrators everybody, nobody else anybody.
func TestAZ3_who_may_appoint_whom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ours, theirs := b.theater(t), b.theater(t)
	user := b.signUp(t, "someone@example.com", passphrase).User
	holding := b.holding(b.root(t))
	viewers := map[string]auth.Viewer{
		"a_customer":                    holding(),
		"staff_of_ours":                 holding(auth.Grant{Role: auth.RoleTheaterStaff, Theater: ours}),
		"staff_of_all_theaters":         holding(auth.Grant{Role: auth.RoleTheaterStaff}),
		"support_and_finance":           holding(auth.Grant{Role: auth.RoleSupport}, auth.Grant{Role: auth.RoleFinance}),
		"a_manager_of_ours":             holding(auth.Grant{Role: auth.RoleTheaterManager, Theater: ours}),
		"a_manager_of_all":              holding(auth.Grant{Role: auth.RoleTheaterManager}),
		"an_administrator":              holding(auth.Grant{Role: auth.RoleAdmin}),
		"a_manager_of_ours_and_support": holding(auth.Grant{Role: auth.RoleTheaterManager, Theater: ours}, auth.Grant{Role: auth.RoleSupport}),
	}
	staffOf := func(at uuid.UUID) auth.Grant { return auth.Grant{Role: auth.RoleTheaterStaff, Theater: at} }
	may := map[string][]auth.Grant{
		"a_manager_of_ours":             {staffOf(ours)},
		"a_manager_of_ours_and_support": {staffOf(ours)},
		"a_manager_of_all":              {staffOf(ours), staffOf(theirs), staffOf(auth.Platform)},
	}
	for _, role := range auth.Roles()[1:] {
		for _, at := range []uuid.UUID{ours, theirs, auth.Platform} {
			g := auth.Grant{Role: role, Theater: at}
			if !g.Valid() {
				continue
			}
			may["an_administrator"] = append(may["an_administrator"], g)
			for name, viewer := range viewers {
				in := identity.ChangeGrantInput{UserID: user.ID, Grant: g, Reason: "to see who may"}
				allowed := false
				for _, mine := range may[name] {
					allowed = allowed || mine == g
				}
				want := apperr.Code("")
				if !allowed {
					want = apperr.Forbidden
				}
				if _, err := b.GrantRole(t.Context(), viewer, in); apperr.CodeOf(err) != want {
					t.Errorf("%s grants %s: %v", name, g, err)
				}
				if n := b.value(t, `SELECT count(*) FROM role_grants WHERE user_id = $1`, user.ID); (n == "1") != allowed {
					t.Errorf("%s grants %s: there are %s grants", name, g, n)
				}
				if !allowed {
					if err := b.grant(t, user.ID, g); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.RevokeRole(t.Context(), viewer, in); apperr.CodeOf(err) != want {
					t.Errorf("%s revokes %s: %v", name, g, err)
				}
				if n := b.value(t, `SELECT count(*) FROM role_grants WHERE user_id = $1`, user.ID); (n == "0") != allowed {
					t.Errorf("%s revokes %s: there are %s grants", name, g, n)
				}
				b.exec(t, `DELETE FROM role_grants WHERE user_id = $1`, user.ID)
			}
		}
	}
}

// TestService_DisableUser_is_for_administrators lets support see accounts, and nobody but administrators shut one.
func TestService_DisableUser_is_for_administrators(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ours, theirs := b.theater(t), b.theater(t)
	user, holding := b.signUp(t, "someone@example.com", passphrase).User, b.holding(uuid.New())
	for name, test := range map[string]struct {
		viewer      auth.Viewer
		sees, shuts bool
	}{
		"a_customer":              {viewer: holding()},
		"the_account_itself":      {viewer: auth.Viewer{UserID: user.ID, Strong: true}},
		"staff_of_all":            {viewer: holding(auth.Grant{Role: auth.RoleTheaterStaff})},
		"finance":                 {viewer: holding(auth.Grant{Role: auth.RoleFinance})},
		"support":                 {viewer: holding(auth.Grant{Role: auth.RoleSupport}), sees: true},
		"a_manager_of_the_other":  {viewer: holding(auth.Grant{Role: auth.RoleTheaterManager, Theater: theirs})},
		"a_manager_of_this":       {viewer: holding(auth.Grant{Role: auth.RoleTheaterManager, Theater: ours})},
		"a_manager_of_all":        {viewer: holding(auth.Grant{Role: auth.RoleTheaterManager})},
		"an_administrator":        {viewer: holding(auth.Grant{Role: auth.RoleAdmin}), sees: true, shuts: true},
		"staff_of_this_and_other": {viewer: holding(auth.Grant{Role: auth.RoleTheaterStaff, Theater: ours}, auth.Grant{Role: auth.RoleTheaterManager, Theater: theirs})},
	} {
		allowed := func(what string, may bool, err error) {
			t.Helper()
			want := apperr.Code("")
			if !may {
				want = apperr.Forbidden
			}
			if apperr.CodeOf(err) != want {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		_, err := b.Account(t.Context(), test.viewer, user.ID)
		allowed("reading an account", test.sees, err)
		_, err = b.Account(t.Context(), test.viewer, uuid.New())
		if test.sees != (apperr.CodeOf(err) == apperr.NotFound) || !test.sees && apperr.CodeOf(err) != apperr.Forbidden {
			t.Errorf("%s, reading an account that does not exist: %v", name, err)
		}
		_, err = b.DisableUser(t.Context(), test.viewer, user.ID, "to see who may")
		allowed("disabling", test.shuts, err)
		_, err = b.EnableUser(t.Context(), test.viewer, user.ID, "to see who may")
		allowed("enabling", test.shuts, err)
	}
}

// TestService_GrantRole is what a grant may be, and how many somebody may have.
func TestService_GrantRole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	user := b.signUp(t, "someone@example.com", passphrase).User
	first := auth.Grant{Role: auth.RoleTheaterStaff, Theater: b.theater(t)}
	if err := b.grant(t, user.ID, first); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(time.Hour)
	again, err := b.GrantRole(t.Context(), b.Operator(), identity.ChangeGrantInput{UserID: user.ID, Grant: first, Reason: "once more"})
	if err != nil || again.Reason != "as agreed" || !again.CreatedAt.Before(b.clock.Now()) {
		t.Errorf("granted again: %+v, %v", again, err)
	}
	for name, test := range map[string]struct {
		user  uuid.UUID
		grant auth.Grant
		code  apperr.Code
	}{
		"an_unknown_theater":  {user.ID, auth.Grant{Role: auth.RoleTheaterStaff, Theater: uuid.New()}, apperr.NotFound},
		"an_unknown_user":     {uuid.New(), first, apperr.NotFound},
		"a_role_for_everyone": {user.ID, auth.Grant{Role: auth.RoleCustomer}, apperr.BadUserInput},
		"no_role":             {user.ID, auth.Grant{Role: "OWNER"}, apperr.BadUserInput},
		"support_at_a_house":  {user.ID, auth.Grant{Role: auth.RoleSupport, Theater: first.Theater}, apperr.BadUserInput},
	} {
		if err := b.grant(t, test.user, test.grant); apperr.CodeOf(err) != test.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	var wait sync.WaitGroup
	errs := make([]error, auth.MaxGrants+4)
	for i := range errs {
		g := auth.Grant{Role: auth.RoleTheaterStaff, Theater: b.theater(t)}
		wait.Go(func() { errs[i] = b.grant(t, user.ID, g) })
	}
	wait.Wait()
	refused := 0
	for _, err := range errs {
		if errors.Is(err, identity.ErrTooManyGrants) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if n := b.value(t, `SELECT count(*) FROM role_grants`); n != fmt.Sprint(auth.MaxGrants) || refused != 5 {
		t.Errorf("there are %s grants, want %d; %d were refused", n, auth.MaxGrants, refused)
	}
	if n := b.value(t, `SELECT count(*) FROM audit_entries WHERE action = 'role.granted'`); n != fmt.Sprint(auth.MaxGrants) {
		t.Errorf("the log has %s of them", n)
	}
}

// TestService_last_admin has two administrators remove each other at once, by every pair of ways: one of them stays.
func TestService_last_admin(t *testing.T) {
	t.Parallel()
	admin := auth.Grant{Role: auth.RoleAdmin}
	ways := map[string]func(b bundle, by, of uuid.UUID) error{
		"revoke": func(b bundle, by, of uuid.UUID) error {
			v := b.holding(by)(admin)
			return b.RevokeRole(t.Context(), v, identity.ChangeGrantInput{UserID: of, Grant: admin, Reason: "a quarrel"})
		},
		"disable": func(b bundle, by, of uuid.UUID) error {
			v := b.holding(by)(admin)
			_, err := b.DisableUser(t.Context(), v, of, "a quarrel")
			return err
		},
		"delete": func(b bundle, _, of uuid.UUID) error {
			_, err := b.db.SQL().ExecContext(t.Context(), `DELETE FROM users WHERE id = $1`, of)
			return err
		},
	}
	const left = `SELECT count(*) FROM role_grants g JOIN users u ON u.id = g.user_id WHERE g.role = 'ADMIN' AND u.disabled_at IS NULL`
	for one, first := range ways {
		for other, second := range ways {
			if one > other {
				continue
			}
			t.Run(one+"_and_"+other, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				const rounds = 10
				for round := range rounds {
					var ids [2]uuid.UUID
					for i := range ids {
						in := identity.SignUpInput{Email: fmt.Sprintf("admin%d-%d@example.com", round, i), Password: passphrase, Name: "Admin"}
						u, err := b.CreateUser(t.Context(), in, admin)
						if err != nil {
							t.Fatal(err)
						}
						ids[i] = u.ID
					}
					b.exec(t, `DELETE FROM users WHERE id <> $1 AND id <> $2`, ids[0], ids[1])
					var errs [2]error
					var wait sync.WaitGroup
					wait.Go(func() { errs[0] = first(b, ids[0], ids[1]) })
					wait.Go(func() { errs[1] = second(b, ids[1], ids[0]) })
					wait.Wait()
					if n := b.value(t, left); n != "1" {
						t.Fatalf("%s administrators are left: %v", n, errs)
					}
					if (errs[0] == nil) == (errs[1] == nil) {
						t.Fatalf("they were answered %v", errs)
					}
					for i, way := range []string{one, other} {
						if way != "delete" && errs[i] != nil && !errors.Is(errs[i], identity.ErrLastAdmin) {
							t.Errorf("the one who came too late was told: %v", errs[i])
						}
					}
				}
			})
		}
	}
}

// TestA3_a_disabled_account_has_no_way_in tries every way that leads to a session, those that were begun before among
// them, on an account that is disabled. All of them work before and after.
func TestA3_a_disabled_account_has_no_way_in(t *testing.T) {
	t.Parallel()
	f := federate(t)
	b := f.withPasskeys(t)
	admin := b.holding(uuid.New())(auth.Grant{Role: auth.RoleAdmin})
	box := &notify.Mailbox{}

	// One with a password and an authenticator app, one with a passkey, one who comes by a provider, one with a password alone.
	app := b.enrolled(t, "app@example.com")
	key := b.signUp(t, "key@example.com", passphrase)
	device, enrolled := b.passkey(t, b.viewer(t, key), key.User)
	federated := f.signInBy(t, ada)
	plain := b.signUp(t, "plain@example.com", passphrase)
	sessions := map[string]identity.Tokens{"app": app.tokens, "key": enrolled.Tokens, "federated": federated, "plain": plain}

	ways := map[string]func() func() error{ // begins, and returns what completes it
		"password": func() func() error {
			return func() error { _, err := b.SignIn(t.Context(), "plain@example.com", passphrase, phone); return err }
		},
		"second_factor": func() func() error {
			pending := app.pending(t)
			code := app.code(t, 0)
			return func() error { return app.prove(t.Context(), pending.PendingToken, code) }
		},
		"recovery_code": func() func() error {
			pending := app.pending(t)
			code := app.codes[0]
			app.codes = app.codes[1:]
			return func() error {
				_, err := b.ProveSecondFactor(t.Context(), pending.PendingToken, identity.FactorProof{RecoveryCode: &code}, phone)
				return err
			}
		},
		"passkey": func() func() error {
			answer := device.sign(t, site, b.passkeySignIn(t))
			return func() error { _, err := b.SignInWithPasskey(t.Context(), answer, phone); return err }
		},
		"provider": func() func() error {
			back := f.away(t, ada)
			return func() error { _, err := b.SignInByProvider(t.Context(), back, phone); return err }
		},
		"recovery_mail": func() func() error {
			b.request(t, "plain@example.com")
			token := b.token(t, box, "plain@example.com", notify.ResetPassword)
			return func() error {
				if err := b.ResetPassword(t.Context(), token, passphrase); err != nil {
					return err
				}
				_, err := b.SignIn(t.Context(), "plain@example.com", passphrase, phone)
				return err
			}
		},
	}
	sweep := func(when string, begun map[string]func() error, want error) {
		t.Helper()
		for way, complete := range begun {
			if err := complete(); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s, by %s: %v, want %v", when, way, err, want)
			}
		}
		b.clock.Advance(2 * step) // so that a code is another one
	}
	begin := func() map[string]func() error {
		begun := map[string]func() error{}
		for way, begins := range ways {
			begun[way] = begins()
		}
		return begun
	}
	sweep("before", begin(), nil)
	early := begin()
	later := map[string]func() error{"second_factor": ways["second_factor"](), "recovery_code": ways["recovery_code"]()}
	if _, err := b.BeginTOTP(t.Context(), b.viewer(t, b.signIn(t, "plain@example.com", phone))); err != nil {
		t.Fatal(err)
	}
	for name, tokens := range sessions {
		if account, err := b.DisableUser(t.Context(), admin, tokens.User.ID, "chargebacks"); err != nil || account.DisabledAt == nil {
			t.Fatalf("%s: %+v, %v", name, account, err)
		}
		if again, err := b.DisableUser(t.Context(), admin, tokens.User.ID, "once more"); err != nil || *again.DisabledReason != "chargebacks" {
			t.Errorf("%s, again: %+v, %v", name, again, err)
		}
	}
	if err := early["recovery_mail"](); !errors.Is(err, identity.ErrLinkExpired) {
		t.Errorf("by a link of before: %v", err)
	}
	delete(early, "recovery_mail")
	for _, way := range []string{"second_factor", "recovery_code"} {
		if err := early[way](); !errors.Is(err, identity.ErrSessionEnded) {
			t.Errorf("%s, begun before: %v", way, err)
		}
		delete(early, way)
	}
	sweep("begun before", early, identity.ErrDisabled)
	for name, tokens := range sessions {
		if _, err := b.Authenticate(t.Context(), tokens.Access); apperr.CodeOf(err) != apperr.Unauthenticated {
			t.Errorf("%s, with its access token: %v", name, err)
		}
		if _, err := b.Refresh(t.Context(), tokens.Refresh); !errors.Is(err, identity.ErrSessionEnded) {
			t.Errorf("%s, renewing: %v", name, err)
		}
	}
	for way, first := range map[string]func() error{
		"password":        func() error { _, err := b.SignIn(t.Context(), "plain@example.com", passphrase, phone); return err },
		"password_of_two": func() error { _, err := b.SignIn(t.Context(), "app@example.com", passphrase, phone); return err },
		"passkey": func() error {
			_, err := b.SignInWithPasskey(t.Context(), device.sign(t, site, b.passkeySignIn(t)), phone)
			return err
		},
		"provider":      func() error { _, err := b.SignInByProvider(t.Context(), f.away(t, ada), phone); return err },
		"recovery_mail": ways["recovery_mail"](),
	} {
		if err := first(); !errors.Is(err, identity.ErrDisabled) {
			t.Errorf("begun after, by %s: %v", way, err)
		}
	}
	if _, err := b.SignIn(t.Context(), "plain@example.com", "a wrong password, so long", phone); !errors.Is(err, identity.ErrInvalidCredentials) {
		t.Errorf("who does not know the password learns that the account is disabled: %v", err)
	}
	if n := b.value(t, `SELECT count(*) FROM sessions`); n != "0" {
		t.Errorf("%s sessions", n)
	}
	for name, tokens := range sessions {
		if account, err := b.EnableUser(t.Context(), admin, tokens.User.ID, "paid"); err != nil || account.DisabledAt != nil || account.DisabledReason != nil {
			t.Fatalf("%s: %+v, %v", name, account, err)
		}
	}
	sweep("begun before, enabled again", later, identity.ErrSessionEnded)
	if n := b.value(t, `SELECT count(*) FROM factors WHERE confirmed_at IS NULL`); n != "0" {
		t.Errorf("%s factors wait for a code, from before", n)
	}
	b.clock.Advance(20 * time.Minute) // the mails and guesses of before are forgotten
	sweep("enabled again", begin(), nil)
}
