package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"marquee/internal/apitest"
	"marquee/internal/app"
	"marquee/internal/config"
	"marquee/internal/dbtest"
	"marquee/internal/identity"
	"marquee/internal/notify"
)

// TestD2_keys_commands changes the key of a database with the commands, in the order of the handbook and out of it.
func TestD2_keys_commands(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, dbtest.NewURL(t))
	c, out := command(cfg)
	if err := c.CreateAdmin(timeLimit(t), "boss@example.com", "The Boss", "the boss knows best"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.DataDir, "keyset")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the keyset's file: %v, %v", info, err)
	}
	sentence(t, c.KeysPromote(), "no key was added")
	if err := c.KeysAdd(); err != nil {
		t.Fatal(err)
	}
	sentence(t, c.KeysAdd(), "not the primary one yet")
	if err := c.KeysPromote(); err != nil {
		t.Fatal(err)
	}
	sentence(t, c.KeysRetire(timeLimit(t)), "try again at")
	before := len(out.String())
	if err := c.KeysReencrypt(timeLimit(t)); err != nil {
		t.Fatal(err)
	}
	text := out.String()[before:]
	if !strings.HasPrefix(text, "2 rows were re-encrypted") || strings.Count(text, "in use") != 1 || strings.Count(text, "primary") != 4 || strings.Contains(text, "MISSING") {
		t.Errorf("%s", text)
	}
	s := serve(t, cfg, true)
	s.end(t)

	other := cfg
	other.DataDir = t.TempDir()
	_, err := app.New(timeLimit(t), other, quiet, app.Seams{})
	sentence(t, err, "use the keyset that belongs to the database")
}

func TestNewKeyset(t *testing.T) {
	t.Parallel()
	out := &output{}
	if err := app.NewKeyset(out); err != nil {
		t.Fatal(err)
	}
	cfg := production(t, dbtest.NewURL(t))
	cfg.Keyset = config.Secret(strings.TrimSpace(out.String()))
	c, shown := command(cfg)
	if err := c.KeysAdd(); err != nil || strings.Count(shown.String(), "\n") != 3 {
		t.Errorf("%v", err)
	}
	cfg.Keyset = "nonsense"
	c, _ = command(cfg)
	sentence(t, c.KeysList(timeLimit(t)), "MARQUEE_KEYSET", "nonsense")
	cfg.Keyset = ""
	c, _ = command(cfg)
	sentence(t, c.KeysList(timeLimit(t)), "needed in production")
	if entries, err := os.ReadDir(cfg.DataDir); err != nil || len(entries) > 0 {
		t.Errorf("production made %v, %v", entries, err)
	}
}

// TestD1_canary signs up and in, changes and lists, and then looks for what was typed in every file of the database and
// in what it has written since.
func TestD1_canary(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Bare())
	// The checkpoints of other tests, which share the server, would throw away what it has written.
	a.Exec(`ALTER SYSTEM SET wal_keep_size = '1GB'`)
	a.Exec(`SELECT pg_reload_conf()`)
	eventually(t, "the server keeps its log", func() bool { return apitest.Value[string](a, `SELECT current_setting('wal_keep_size')`) == "1GB" })
	since := apitest.Value[string](a, `SELECT pg_walfile_name(pg_current_wal_insert_lsn())`)
	c := a.Anonymous()
	const email = "kanarienvogel@example.com"
	c.Get(`mutation ($email: String!) { signUp(input: {email: $email}) { email } }`, apitest.Vars{"email": email}, nil)
	in := apitest.Vars{"token": a.Mailed(email, notify.ConfirmSignUp), "password": "kanarienvogel password of some length", "name": "Kanarienvogel Gelb"}
	c.Get(`mutation ($in: ConfirmSignUpInput!) { confirmSignUp(input: $in) { ... on SessionPayload { token } } }`, apitest.Vars{"in": in}, nil)
	tokens, err := a.Identity.SignIn(timeLimit(t), "Kanarienvogel@example.com", "kanarienvogel password of some length", identity.Device{Name: "kanarienvogel phone"})
	if err != nil {
		t.Fatal(err)
	}
	c.Token = tokens.Access
	c.Get(`mutation ($in: ChangePasswordInput!) { changePassword(input: $in) { __typename } }`,
		apitest.Vars{"in": apitest.Vars{"currentPassword": in["password"], "newPassword": "kanarienvogel password of more length"}}, nil)
	var me struct {
		Me struct {
			Email, Name string
			Sessions    []struct{ Device string }
		}
	}
	c.Get(`{ me { email name sessions { device } } }`, nil, &me)
	if me.Me.Email != "kanarienvogel@example.com" || me.Me.Name != "Kanarienvogel Gelb" || len(me.Me.Sessions) != 1 || me.Me.Sessions[0].Device != "kanarienvogel phone" {
		t.Fatalf("%+v", me)
	}
	c.Get(`mutation { updateProfile(input: {username: "kanarienvogel", preferredCity: "Kanarienvogelstadt", phone: "+4930901820177"}) { __typename } }`, nil, nil)
	var begun struct {
		BeginTotp struct{ Secret string }
	}
	c.Get(`mutation { beginTotp { secret } }`, nil, &begun)
	code, err := totp.GenerateCode(begun.BeginTotp.Secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.Get(`mutation ($code: String!) { confirmTotp(input: {name: "Kanarienvogel app", code: $code}) { __typename } }`, apitest.Vars{"code": code}, nil)
	// Many, since a page of the log may begin in the middle of one.
	a.Exec(`INSERT INTO movies (id, title) SELECT gen_random_uuid(), 'control bird' FROM generate_series(1, 50)`)
	a.Exec(`CHECKPOINT`)
	const find = `SELECT coalesce(string_agg(name, ' '), '') FROM (
			SELECT relname::text AS name, pg_read_binary_file(pg_relation_filepath(oid)) AS content FROM pg_class
				WHERE relkind IN ('r', 't', 'i', 'm') AND relnamespace <> 'pg_catalog'::regnamespace AND pg_relation_size(oid) > 0
			UNION ALL SELECT 'wal', pg_read_binary_file('pg_wal/' || name, 0, 16777216, true) FROM pg_ls_waldir()
				WHERE name BETWEEN $2 AND pg_walfile_name(pg_current_wal_insert_lsn())
		) files WHERE position(convert_to($1, 'UTF8') IN content) > 0`
	for _, marker := range []string{"kanarienvogel", "Kanarienvogel", "901820177", begun.BeginTotp.Secret} {
		if found := apitest.Value[string](a, find, marker, since); found != "" {
			t.Errorf("%q is in the open in: %s", marker, found)
		}
	}
	if found := apitest.Value[string](a, find, "control bird", since); !strings.Contains(found, "movies") || !strings.Contains(found, "wal") {
		t.Errorf("what is in the open is only found in %q", found)
	}
	if strings.Contains(strings.ToLower(a.Logged()), "kanarienvogel") {
		t.Error("the log has it")
	}
}
