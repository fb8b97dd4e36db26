// Marquee is the backend of a movie-ticket box office: a GraphQL API over PostgreSQL.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"marquee/internal/app"
	"marquee/internal/config"
)

// version is stamped by the build.
var version = "development"

var cli struct {
	Serve struct {
		Empty bool `help:"Do not load the demo world into an empty database."`
	} `cmd:"" default:"withargs" help:"Serve the API (the default)."`
	Migrate struct {
		Up     struct{} `cmd:"" default:"withargs" help:"Bring the schema up to date (the default)."`
		Down   struct{} `cmd:"" help:"Take the newest migration back."`
		Status struct{} `cmd:"" help:"List the migrations."`
	} `cmd:"" help:"Change the database schema."`
	Demo  struct{} `cmd:"" help:"Replace the catalogue and all reservations by a fresh demo world."`
	Admin struct {
		Create struct {
			Email         string `required:"" help:"Address to sign in with."`
			Name          string `default:"Administrator" help:"How to call them."`
			PasswordStdin bool   `help:"Read the password from the first line of standard input; without it one is made."`
		} `cmd:"" help:"Make an administrator's account: the first one, and others."`
		Grant  roleFlags `cmd:"" help:"Give a role to somebody who has an account."`
		Revoke roleFlags `cmd:"" help:"Take a role away."`
		List   struct{}  `cmd:"" help:"Show who holds which role, where, and why."`
	} `cmd:"" help:"Make administrators; give, take away and list roles."`
	VerifyAudit struct {
		Heads []string `help:"Files of signed heads, or of log lines that hold some; the configured one unless given." type:"existingfile" sep:"none"`
		JSON  bool     `help:"Print the report as JSON."`
	} `cmd:"" help:"Verify the audit log against its chain of hashes and its signed heads."`
	Keys struct {
		New       struct{} `cmd:"" help:"Print a fresh keyset, for MARQUEE_KEYSET_FILE or MARQUEE_KEYSET."`
		List      struct{} `cmd:"" default:"withargs" help:"Show the keys and how many cells need each (the default)."`
		Add       struct{} `cmd:"" help:"Add a key, to be read with."`
		Promote   struct{} `cmd:"" help:"Write with the added key."`
		Reencrypt struct{} `cmd:"" help:"Move everything to the primary key, online; may be ended and started again."`
		Retire    struct{} `cmd:"" help:"Disable the keys before the primary one, once nothing needs them."`
	} `cmd:"" help:"Change the keys that personal data is sealed with."`
	ListErasures   struct{} `cmd:"" help:"List the ids of erased accounts, to keep beside a backup."`
	ReplayErasures struct{} `cmd:"" help:"After a restore: erase again whom the backup has brought back, those listed on standard input too."`
	Reconcile      struct {
		Gateway  string    `help:"One gateway; all of them unless given."`
		From     time.Time `placeholder:"TIME" help:"Compare what was begun from then on, 2026-01-31T00:00:00Z; three days unless given."`
		To       time.Time `placeholder:"TIME" help:"Until then; now unless given."`
		Restored time.Time `placeholder:"TIME" help:"The database was restored to what it was then: give back what customers have paid since that is not in it."`
	} `cmd:"" help:"Hold the books of the gateways against ours, and heal what can be healed."`
	SandboxGateway app.SandboxGateway `cmd:"" help:"Serve a payment gateway that moves no money, and does wrong what it is told to."`
	Healthcheck    struct{}           `cmd:"" help:"Ask the server on this machine whether it is ready."`
	Version        kong.VersionFlag   `help:"Print the version."`
}

// roleFlags name a role of somebody.
type roleFlags struct {
	Email   string  `arg:"" help:"Address of their account."`
	Role    string  `arg:"" enum:"THEATER_STAFF,THEATER_MANAGER,SUPPORT,FINANCE,ADMIN" help:"One of ${enum}."`
	Theater *string `placeholder:"ID" help:"Theater at which the role is held, the_…; without it, on the whole platform."`
	Reason  string  `required:"" help:"Why; it is kept in the audit log."`
}

func (f roleFlags) change() app.RoleChange {
	return app.RoleChange{Email: f.Email, Role: f.Role, Theater: f.Theater, Reason: f.Reason}
}

// garbagePercent lets the heap grow before it is searched for garbage. The program's live heap is small, so this costs some
// tens of megabytes and saves a tenth of its processor time under load. GOGC in the environment overrules it.
const garbagePercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	command := kong.Parse(&cli, kong.Name("marquee"), kong.Vars{"version": version},
		kong.Description("The backend of a movie-ticket box office. Configuration: environment variables, see README.md."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, command.Command())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "marquee:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string) error {
	if command == "keys new" { // it needs no configuration, being a part of one
		return app.NewKeyset(os.Stdout)
	}
	if command == "sandbox-gateway" { // nor does it: it is no part of an installation
		return action(app.Command{Log: slog.New(app.LogHandler(os.Stderr, slog.LevelInfo))}, command)(ctx)
	}
	if action(app.Command{}, command) == nil {
		return fmt.Errorf("there is no command %q: marquee --help lists them", command)
	}
	cfg, err := config.Load()
	if err != nil {
		return err
	}
	log := slog.New(app.LogHandler(os.Stderr, cfg.LogLevel))
	return action(app.Command{Config: cfg, Log: log, Out: os.Stdout}, command)(ctx)
}

// action returns what carries out a command by its name, as kong writes it; nil when there is none of that name.
func action(c app.Command, command string) func(context.Context) error {
	switch command {
	case "serve":
		return func(ctx context.Context) error { return c.Serve(ctx, cli.Serve.Empty) }
	case "migrate up":
		return c.Migrate
	case "migrate down":
		return c.MigrateDown
	case "migrate status":
		return c.MigrateStatus
	case "demo":
		return c.Demo
	case "admin create":
		return func(ctx context.Context) error { return createAdmin(ctx, c) }
	case "admin grant <email> <role>":
		return func(ctx context.Context) error { return c.GrantRole(ctx, cli.Admin.Grant.change()) }
	case "admin revoke <email> <role>":
		return func(ctx context.Context) error { return c.RevokeRole(ctx, cli.Admin.Revoke.change()) }
	case "admin list":
		return c.ListRoles
	case "list-erasures":
		return c.ListErasures
	case "replay-erasures":
		return func(ctx context.Context) error { return c.ReplayErasures(ctx, os.Stdin) }
	case "verify-audit":
		return func(ctx context.Context) error {
			return c.VerifyAudit(ctx, cli.VerifyAudit.Heads, cli.VerifyAudit.JSON)
		}
	case "keys list":
		return c.KeysList
	case "keys add":
		return func(context.Context) error { return c.KeysAdd() }
	case "keys promote":
		return func(context.Context) error { return c.KeysPromote() }
	case "keys reencrypt":
		return c.KeysReencrypt
	case "keys retire":
		return c.KeysRetire
	case "reconcile":
		return func(ctx context.Context) error {
			return c.Reconcile(ctx, app.Books(cli.Reconcile))
		}
	case "sandbox-gateway":
		return func(ctx context.Context) error { return cli.SandboxGateway.Run(ctx, c.Log) }
	case "healthcheck":
		return c.Healthcheck
	default:
		return nil
	}
}

func createAdmin(ctx context.Context, c app.Command) error {
	password := ""
	if cli.Admin.Create.PasswordStdin {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		if password = strings.TrimRight(line, "\r\n"); password == "" {
			return errors.New("no password on standard input")
		}
	}
	return c.CreateAdmin(ctx, cli.Admin.Create.Email, cli.Admin.Create.Name, password)
}
