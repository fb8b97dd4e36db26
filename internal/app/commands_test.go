package app_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/config"
	"marquee/internal/dbtest"
	"marquee/internal/gqlclient"
)

// serving is Command.Serve on its way.
type serving struct {
	out   *output
	url   string
	stop  context.CancelFunc
	ended chan error
}

// serve runs Command.Serve until it is open.
func serve(t *testing.T, cfg config.Config, empty bool) *serving {
	t.Helper()
	c, out := command(cfg)
	ctx, stop := context.WithCancel(context.Background())
	s := &serving{out: out, stop: stop, ended: make(chan error, 1)}
	go func() { s.ended <- c.Serve(ctx, empty) }()
	t.Cleanup(stop)
	address := regexp.MustCompile(`GraphQL +(http://localhost:\d+)/graphql`)
	eventually(t, "the program is open", func() bool {
		select {
		case err := <-s.ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
		found := address.FindStringSubmatch(out.String())
		if found != nil {
			s.url = strings.Replace(found[1], "localhost", "127.0.0.1", 1)
		}
		return found != nil && strings.HasSuffix(out.String(), "\n\n")
	})
	return s
}

func (s *serving) end(t *testing.T) {
	t.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		t.Errorf("the end: %v", err)
	}
}

func (s *serving) client(t *testing.T) gqlclient.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return gqlclient.Client{URL: s.url + "/graphql", HTTP: &http.Client{Transport: transport, Timeout: apitest.Patience}}
}

const countMovies = `SELECT count(*)::text FROM movies`

func TestCommand_Serve(t *testing.T) {
	t.Parallel()
	t.Run("an_empty_database_gets_the_demo_world_once", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		db := open(t, string(cfg.DatabaseURL))
		s := serve(t, cfg, false)
		first := texts(t, db, `SELECT id::text FROM theaters ORDER BY id`)
		if len(first) != 12 || !strings.Contains(s.out.String(), "Demo world: 12 theaters, 40 screens") {
			t.Errorf("%d theaters:\n%s", len(first), s.out)
		}
		accounts := regexp.MustCompile(`(?m)^ +(customer|theater staff|theater manager|support|finance|admin) +(\S+@\S+) +(.+?)( +and a code *)?$`).FindAllStringSubmatch(s.out.String(), -1)
		if len(accounts) != len(auth.Roles()) {
			t.Fatalf("no sign-in for each role in\n%s", s.out)
		}
		for _, account := range accounts {
			type session struct{ User struct{ Role string } }
			var out struct {
				SignIn struct {
					session

					PendingToken string
				}
				ProveSecondFactor session
			}
			err := s.client(t).Do(t.Context(), `mutation ($in: SignInInput!) { signIn(input: $in) {
				... on SessionPayload { user { role } } ... on SecondFactorRequired { pendingToken }
			} }`, apitest.Vars{"in": apitest.Vars{"email": account[2], "password": strings.TrimSpace(account[3])}}, &out)
			role := out.SignIn.User.Role
			if account[4] != "" && err == nil {
				secret := regexp.MustCompile(`secret ([A-Z2-7]{32})\.`).FindStringSubmatch(s.out.String())
				if secret == nil {
					t.Fatalf("no secret in\n%s", s.out)
				}
				code, wrong := totp.GenerateCode(secret[1], time.Now())
				if wrong != nil {
					t.Fatal(wrong)
				}
				err = s.client(t).Do(t.Context(), `mutation ($in: ProveSecondFactorInput!) { proveSecondFactor(input: $in) { ... on SessionPayload { user { role } } } }`,
					apitest.Vars{"in": apitest.Vars{"pendingToken": out.SignIn.PendingToken, "code": code}}, &out)
				role = out.ProveSecondFactor.User.Role
			}
			if want := strings.ToUpper(strings.ReplaceAll(account[1], " ", "_")); err != nil || role != want {
				t.Errorf("%s signs in as %q, %v", account[2], role, err)
			}
		}
		s.end(t)

		// As an older program left them, or one that ended midway: the next start completes them, and touches nothing else.
		for _, statement := range []string{
			`DELETE FROM factors WHERE user_id = (SELECT user_id FROM role_grants WHERE role = 'SUPPORT')`,
			`DELETE FROM users WHERE id = (SELECT user_id FROM role_grants WHERE role = 'FINANCE')`,
			`DELETE FROM role_grants WHERE role = 'THEATER_STAFF'`,
		} {
			if _, err := db.SQL().ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		const people = `SELECT coalesce(g.role, 'CUSTOMER') || ' ' || count(f.id) FILTER (WHERE f.kind = 'TOTP' AND f.confirmed_at IS NOT NULL)
			FROM users u LEFT JOIN role_grants g ON g.user_id = u.id LEFT JOIN factors f ON f.user_id = u.id GROUP BY u.id, g.role ORDER BY 1`
		const recorded = `SELECT action || ' ' || count(*) FROM audit_entries WHERE action IN ('account.created', 'factor.added', 'role.granted') GROUP BY action ORDER BY 1`
		if got := texts(t, db, recorded); !slices.Equal(got, []string{"account.created 6", "factor.added 3", "role.granted 5"}) {
			t.Errorf("the log of the first start: %q", got)
		}

		again := serve(t, cfg, false)
		for range 2 { // the third time changes nothing
			if got := texts(t, db, people); !slices.Equal(got, []string{"ADMIN 1", "CUSTOMER 0", "FINANCE 1", "SUPPORT 1", "THEATER_MANAGER 0", "THEATER_STAFF 0"}) {
				t.Errorf("the accounts after another start: %q", got)
			}
			if got := texts(t, db, recorded); !slices.Equal(got, []string{"account.created 7", "factor.added 5", "role.granted 7"}) {
				t.Errorf("the log after another start: %q", got)
			}
			again.end(t)
			again = serve(t, cfg, false)
		}
		if text := again.out.String(); strings.Contains(text, "Demo world:") || !strings.Contains(text, "Demo sign-ins") {
			t.Errorf("the second time:\n%s", text)
		}
		if second := texts(t, db, `SELECT id::text FROM theaters ORDER BY id`); !slices.Equal(first, second) {
			t.Error("the second start loaded it again")
		}
		again.end(t)
	})
	t.Run("empty_leaves_it_empty", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		s := serve(t, cfg, true)
		if n := texts(t, open(t, string(cfg.DatabaseURL)), countMovies)[0]; n != "0" || strings.Contains(s.out.String(), "sign-ins") {
			t.Errorf("%s movies:\n%s", n, s.out)
		}
		s.end(t)
	})
	t.Run("a_catalogue_of_ones_own_is_left_alone", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		db := open(t, string(cfg.DatabaseURL))
		if _, err := db.SQL().ExecContext(t.Context(), `INSERT INTO movies (id, title) VALUES (gen_random_uuid(), 'Ours')`); err != nil {
			t.Fatal(err)
		}
		s := serve(t, cfg, false)
		if n := texts(t, db, countMovies)[0]; n != "1" || strings.Contains(s.out.String(), "sign-ins") {
			t.Errorf("%s movies:\n%s", n, s.out)
		}
		s.end(t)
	})
}

// production is a configuration that is complete for production.
func production(t *testing.T, database string) config.Config {
	t.Helper()
	cfg := configuration(t, database)
	cfg.Env = config.Production
	cfg.SecretKey = config.Secret(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	cfg.Keyset = config.Secret(dbtest.Keyset())
	return cfg
}

func TestCommand_Demo(t *testing.T) {
	t.Parallel()
	t.Run("it_can_be_loaded_again", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t, dbtest.Empty()))
		db := open(t, string(cfg.DatabaseURL))
		var loads [][]string
		for range 2 {
			c, out := command(cfg)
			if err := c.Demo(timeLimit(t)); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), "Films: 3201 read, ") {
				t.Errorf("%s", out)
			}
			loads = append(loads, texts(t, db, `SELECT (SELECT count(*) FROM showtimes) || ' ' || (SELECT count(*) FROM users) || ' ' || (SELECT string_agg(role || ' ' || (theater_id IS NULL), ' ' ORDER BY role) FROM role_grants) || ' ' || (SELECT count(*) FROM seats)`),
				texts(t, db, `SELECT id::text FROM theaters ORDER BY id`))
		}
		if want := "ADMIN true FINANCE true SUPPORT true THEATER_MANAGER false THEATER_STAFF false"; !strings.Contains(loads[2][0], want) {
			t.Errorf("after the second load the roles are %s, want %s", loads[2][0], want)
		}
		if !slices.Equal(loads[0], loads[2]) || slices.Equal(loads[1], loads[3]) {
			t.Errorf("the first load %v, the second %v", loads[0], loads[2])
		}
		nobody(t, string(cfg.DatabaseURL))
	})
	t.Run("production_refuses", func(t *testing.T) {
		t.Parallel()
		cfg := production(t, dbtest.NewURL(t))
		db := open(t, string(cfg.DatabaseURL))
		if _, err := db.SQL().ExecContext(t.Context(), `INSERT INTO movies (id, title) VALUES (gen_random_uuid(), 'Ours')`); err != nil {
			t.Fatal(err)
		}
		c, _ := command(cfg)
		sentence(t, c.Demo(timeLimit(t)), "MARQUEE_ENV=production")
		if n := texts(t, db, countMovies)[0]; n != "1" {
			t.Errorf("%s movies", n)
		}
	})
	t.Run("not_beside_a_server", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		db := open(t, string(cfg.DatabaseURL))
		s := serve(t, cfg, true)
		if _, err := db.SQL().ExecContext(t.Context(), `INSERT INTO movies (id, title) VALUES (gen_random_uuid(), 'Ours')`); err != nil {
			t.Fatal(err)
		}
		c, _ := command(cfg)
		sentence(t, c.Demo(timeLimit(t)), "a server is using this database")
		if n := texts(t, db, countMovies)[0]; n != "1" {
			t.Errorf("%s movies", n)
		}
		s.end(t)
		if err := c.Demo(timeLimit(t)); err != nil {
			t.Errorf("when the server has ended: %v", err)
		}
	})
}

func TestCommand_migrations(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, dbtest.NewURL(t, dbtest.Empty()))
	c, out := command(cfg)
	status := func() string {
		t.Helper()
		before := len(out.String())
		if err := c.MigrateStatus(timeLimit(t)); err != nil {
			t.Fatal(err)
		}
		return out.String()[before:]
	}
	if text := status(); !strings.Contains(text, "00001  pending ") || strings.Count(text, "pending") < 3 {
		t.Errorf("before:\n%s", text)
	}
	for range 2 {
		if err := c.Migrate(timeLimit(t)); err != nil {
			t.Fatal(err)
		}
	}
	if text := status(); strings.Contains(text, "pending") {
		t.Errorf("after:\n%s", text)
	}
	if err := c.MigrateDown(timeLimit(t)); err != nil {
		t.Fatal(err)
	}
	if text := status(); strings.Count(text, "pending") != 1 {
		t.Errorf("after one was taken back:\n%s", text)
	}
	nobody(t, string(cfg.DatabaseURL))
}

func TestCommand_CreateAdmin(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, dbtest.NewURL(t, dbtest.Empty()))
	c, out := command(cfg)
	if err := c.CreateAdmin(timeLimit(t), "Boss@Example.com", "The Boss", "the boss knows best"); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); text != "boss@example.com is an administrator.\n" {
		t.Errorf("%s", text)
	}
	if err := c.CreateAdmin(timeLimit(t), "second@example.com", "Second", ""); err != nil {
		t.Fatal(err)
	}
	password := regexp.MustCompile(`shown this once: (\S{20,})\n`).FindStringSubmatch(out.String())
	if password == nil {
		t.Fatalf("no password in %s", out)
	}
	sentence(t, c.CreateAdmin(timeLimit(t), "boss@example.com", "Twin", "the twin knows better"), "boss@example.com exists already")
	sentence(t, c.CreateAdmin(timeLimit(t), "third@example.com", "Third", "short"), "at least 15 characters")
	if roles := texts(t, open(t, string(cfg.DatabaseURL)), `SELECT role FROM role_grants`); !slices.Equal(roles, []string{"ADMIN", "ADMIN"}) {
		t.Errorf("%v", roles)
	}
	s := serve(t, cfg, true)
	var signedIn struct {
		SignIn struct{ User struct{ Role string } }
	}
	err := s.client(t).Do(t.Context(), `mutation ($in: SignInInput!) { signIn(input: $in) { ... on SessionPayload { user { role } } } }`,
		apitest.Vars{"in": apitest.Vars{"email": "second@example.com", "password": password[1]}}, &signedIn)
	if err != nil || signedIn.SignIn.User.Role != "ADMIN" {
		t.Errorf("%+v, %v", signedIn, err)
	}
	s.end(t)
}

func TestCommand_Healthcheck(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Cuttable(), apitest.Still())
	_, port, _ := strings.Cut(strings.TrimPrefix(a.URL, "http://"), ":")
	for _, listen := range []string{":" + port, "0.0.0.0:" + port, "127.0.0.1:" + port} {
		c, _ := command(config.Config{Listen: listen})
		if err := c.Healthcheck(timeLimit(t)); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
	c, _ := command(config.Config{Listen: ":" + port})
	a.CutDatabase()
	sentence(t, c.Healthcheck(timeLimit(t)), "not ready")
	a.MendDatabase()
	a.Stop()
	sentence(t, c.Healthcheck(timeLimit(t)), "no answer")
	c.Config.Listen = "nonsense"
	sentence(t, c.Healthcheck(timeLimit(t)), "MARQUEE_LISTEN")
}
