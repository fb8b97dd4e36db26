package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/ent/theater"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/clock"
	"marquee/internal/config"
	"marquee/internal/demo"
	"marquee/internal/identity"
	"marquee/internal/postgres"
)

// Command carries out what the command line asks for. Logs go to Log, what the operator asked to see to Out.
type Command struct {
	Config config.Config
	Log    *slog.Logger
	Out    io.Writer
}

// Serve runs the server until ctx ends. Where the configuration loads the demo world, an empty database gets it, unless
// empty is set, and an older demo world gets the showtimes of the days it lacks and what its accounts lack.
func (c Command) Serve(ctx context.Context, empty bool) (err error) {
	a, err := New(ctx, c.Config, c.Log, Seams{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	loaded := false
	if c.Config.LoadsDemo() {
		if loaded, err = c.prepareDemo(ctx, a, empty); err != nil {
			return err
		}
	}
	if c.Config.Env == config.Development {
		c.greet(a, loaded)
	}
	c.Log.InfoContext(ctx, "serving", "address", a.Address().String(), "ops", a.OpsAddress().String())
	return a.Run(ctx)
}

// prepareDemo reports whether the database holds the demo world afterwards.
func (c Command) prepareDemo(ctx context.Context, a *App, empty bool) (loaded bool, err error) {
	client := ent.Over(a.DB().SQL())
	filled, err := client.Theater.Query().Exist(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for theaters: %w", err)
	}
	if !filled {
		if movies, err := client.Movie.Query().Exist(ctx); err != nil || movies || empty {
			return false, err
		}
		return true, c.loadDemo(ctx, a.DB())
	}
	_, known, err := demo.TopUp(ctx, a.DB(), today(), c.Log)
	if err != nil || !known {
		return known, err
	}
	return true, c.loadDemoUsers(ctx, a.DB())
}

// demoSecret is that of the demo accounts' authenticator app.
const demoSecret = "MARQUEEMARQUEEMARQUEEMARQUEE2345"

// demoUsers are the accounts of the demo world. Their passwords are no secret.
var demoUsers = []demoUser{
	{identity.SignUpInput{Email: "customer@marquee.example", Name: "Casey Customer", Password: "customer at the movies"}, auth.RoleCustomer},
	{identity.SignUpInput{Email: "staff@marquee.example", Name: "Sam Staff", Password: "staff at the movies"}, auth.RoleTheaterStaff},
	{identity.SignUpInput{Email: "manager@marquee.example", Name: "Morgan Manager", Password: "manager at the movies"}, auth.RoleTheaterManager},
	{identity.SignUpInput{Email: "support@marquee.example", Name: "Sasha Support", Password: "support at the movies"}, auth.RoleSupport},
	{identity.SignUpInput{Email: "finance@marquee.example", Name: "Fran Finance", Password: "finance at the movies"}, auth.RoleFinance},
	{identity.SignUpInput{Email: "admin@marquee.example", Name: "Alex Admin", Password: "admin at the movies"}, auth.RoleAdmin},
}

// demoUser is an account of the demo world.
type demoUser struct {
	identity.SignUpInput
	role auth.Role // at the first theater of the demo world if it is a theater's, else on the platform
}

// grants returns what the user is granted in a demo world with that first theater.
func (u demoUser) grants(first uuid.UUID) []auth.Grant {
	switch {
	case u.role == auth.RoleCustomer:
		return nil
	case u.role.OfTheater():
		return []auth.Grant{{Role: u.role, Theater: first}}
	default:
		return []auth.Grant{{Role: u.role}}
	}
}

// loadDemoUsers completes the accounts of the demo world: it makes those that are missing, and gives those that are there
// the authenticator app and the role that they lack. Names, addresses and passwords stay as somebody has changed them. A load that ended midway, an
// older program's, and theaters that were replaced, with which the roles at them went, are made good by the next one.
func (c Command) loadDemoUsers(ctx context.Context, db *postgres.DB) error {
	accounts, err := c.accounts(db)
	if err != nil {
		return err
	}
	first, err := ent.Over(db.SQL()).Theater.Query().Where(theater.Name(demo.World()[0].Name)).FirstID(ctx)
	if err != nil {
		return fmt.Errorf("looking for a theater: %w", err)
	}
	for _, u := range demoUsers {
		if err := completeDemoUser(ctx, accounts, u, u.grants(first)); err != nil {
			return fmt.Errorf("completing the demo account %s: %w", u.Email, err)
		}
	}
	return nil
}

func completeDemoUser(ctx context.Context, accounts *identity.Service, u demoUser, grants []auth.Grant) error {
	there, err := accounts.FindUser(ctx, u.Email)
	if apperr.CodeOf(err) == apperr.NotFound {
		if there, err = accounts.CreateUser(ctx, u.SignUpInput, grants...); errors.Is(err, identity.ErrEmailTaken) {
			there, err = accounts.FindUser(ctx, u.Email) // another node was faster
		}
	}
	if err != nil {
		return err
	}
	for _, grant := range grants {
		in := identity.ChangeGrantInput{UserID: there.ID, Grant: grant, Reason: "an account of the demo world"}
		if _, err := accounts.GrantRole(ctx, accounts.Operator(), in); err != nil && !errors.Is(err, identity.ErrTooManyGrants) {
			return err
		}
	}
	if u.secret() == "" {
		return nil
	}
	return accounts.EnrolTOTP(ctx, there.ID, "Demo app", u.secret())
}

// secret returns the secret of the user's authenticator app: "" when they need none.
func (u demoUser) secret() string {
	if slices.ContainsFunc(u.grants(uuid.Max), auth.Grant.NeedsSecondFactor) {
		return demoSecret
	}
	return ""
}

func today() time.Time { return time.Now().UTC() }

// Demo replaces the catalogue, the theaters and all reservations by a fresh demo world. It refuses to do so in
// production, and while a server uses the database: what that keeps in memory, and whoever is buying, would be of a world that
// is gone.
func (c Command) Demo(ctx context.Context) error {
	if c.Config.Env == config.Production {
		return errors.New("the demo world replaces the catalogue and all reservations: it is not loaded with MARQUEE_ENV=production")
	}
	return c.withDatabase(ctx, func(db *postgres.DB) error {
		if err := refuseBesideServers(ctx, db); err != nil {
			return err
		}
		if err := c.migrate(ctx, db); err != nil {
			return err
		}
		return c.loadDemo(ctx, db)
	})
}

func (c Command) loadDemo(ctx context.Context, db *postgres.DB) error {
	start := time.Now()
	summary, err := demo.Load(ctx, db, today())
	if err != nil {
		return err
	}
	if err := c.loadDemoUsers(ctx, db); err != nil {
		return err
	}
	films := summary.Films
	fmt.Fprintf(c.Out, "Demo world: %d theaters, %d screens, %d seats, %d showtimes in %d days, loaded in %s.\n",
		summary.Theaters, summary.Screens, summary.Seats, summary.Showtimes, demo.Days, time.Since(start).Round(time.Millisecond))
	fmt.Fprintf(c.Out, "Films: %d read, %d imported, %d repaired, %d skipped.\n", films.Read, films.Imported, films.Repaired, films.Skipped)
	for _, line := range films.Lines() {
		fmt.Fprintf(c.Out, "  %s\n", line)
	}
	return nil
}

// accounts returns the accounts of the installation.
func (c Command) accounts(db *postgres.DB) (*identity.Service, error) {
	key, err := secretKey(c.Config)
	if err != nil {
		return nil, err
	}
	v, err := openVault(c.Config)
	if err != nil {
		return nil, err
	}
	return identity.NewService(db, ent.Over(db.SQL()), clock.System{}, key, v)
}

// greet tells a developer where everything is.
func (c Command) greet(a *App, demoLoaded bool) {
	_, port, err := net.SplitHostPort(a.Address().String())
	if err != nil {
		port = "8080"
	}
	fmt.Fprintf(c.Out, "\nMarquee is open.\n\n  Console    http://localhost:%s/\n  GraphQL    http://localhost:%s/graphql  (HTTP and websocket)\n"+
		"  Health     http://localhost:%s/readyz\n  Metrics    http://%s/metrics\n", port, port, port, a.OpsAddress())
	if a.mailbox != nil {
		fmt.Fprintf(c.Out, "  Mailbox    http://%s/mailbox\n", a.OpsAddress())
	}
	if demoLoaded {
		fmt.Fprint(c.Out, "\n  Demo sign-ins\n")
		table := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
		for _, u := range demoUsers {
			app := ""
			if u.secret() != "" {
				app = "and a code"
			}
			fmt.Fprintf(table, "    %s\t%s\t%s\t%s\n", strings.ToLower(strings.ReplaceAll(string(u.role), "_", " ")), u.Email, u.Password, app)
		}
		_ = table.Flush()
		fmt.Fprintf(c.Out, "  The console makes the codes itself; elsewhere an authenticator app does, from the secret %s.\n", demoSecret)
	}
	fmt.Fprintln(c.Out)
}

// Migrate brings the schema up to date.
func (c Command) Migrate(ctx context.Context) error {
	return c.withDatabase(ctx, func(db *postgres.DB) error { return c.migrate(ctx, db) })
}

// MigrateDown takes the newest migration back.
func (c Command) MigrateDown(ctx context.Context) error {
	v, err := openVault(c.Config)
	if err != nil {
		return err
	}
	return c.withDatabase(ctx, func(db *postgres.DB) error { return postgres.MigrateDown(ctx, db, c.Log, v) })
}

func (c Command) migrate(ctx context.Context, db *postgres.DB) error {
	v, err := openVault(c.Config)
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, db, c.Log, v)
}

// MigrateStatus lists the migrations and when each was applied.
func (c Command) MigrateStatus(ctx context.Context) error {
	return c.withDatabase(ctx, func(db *postgres.DB) error {
		migrations, err := postgres.MigrationStatus(ctx, db)
		if err != nil {
			return err
		}
		for _, m := range migrations {
			applied := "pending"
			if !m.AppliedAt.IsZero() {
				applied = m.AppliedAt.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(c.Out, "%05d  %-20s  %s\n", m.Version, applied, m.Name)
		}
		return nil
	})
}

// Healthcheck asks a running server on this machine whether it is ready.
func (c Command) Healthcheck(ctx context.Context) (err error) {
	host, port, err := net.SplitHostPort(c.Config.Listen)
	if err != nil {
		return fmt.Errorf("MARQUEE_LISTEN: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}

func (c Command) withDatabase(ctx context.Context, do func(*postgres.DB) error) (err error) {
	var opened closers
	defer func() { err = errors.Join(err, opened.close()) }()
	db, err := openDatabase(ctx, c.Config, commandName, c.Log, nil, &opened)
	if err != nil {
		return err
	}
	return do(db)
}
