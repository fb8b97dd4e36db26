package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"marquee/internal/postgres/migrations"
	"marquee/internal/vault"
)

const (
	// migrationLockID is the advisory lock held while the schema changes. Any other advisory lock of the program
	// whose key is one 64-bit number must have another number.
	migrationLockID int64 = 0x6d61727175656501

	// How long a migration may wait for the lock of a table that others are using.
	migrationLockTimeout = 10 * time.Second

	// How often a node looks whether another one has finished migrating. It asks again and again instead of waiting
	// inside the server, because CREATE INDEX CONCURRENTLY waits for every statement that is under way.
	migrationPoll = 100 * time.Millisecond
)

// ErrNewerDatabase means that the database was migrated by a later version of the program than this one.
var ErrNewerDatabase = errors.New("the database schema is newer than this program")

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string    // of its file; its number when it is not only SQL
	AppliedAt time.Time // zero when it has not been applied
}

// Migrate brings the schema to the newest version that this program has. It may be called by any number of processes
// at once: one works and the others wait until their context ends. Every step is a transaction of its own, so after a
// failure the schema stands at the last step that succeeded. ErrNewerDatabase: nothing was done.
//
// The vault seals what an earlier version has left in the open. A database without accounts can do without: nil.
func Migrate(ctx context.Context, db *DB, log *slog.Logger, v *vault.Vault) error {
	return migrateUp(ctx, db, log, migrations.FS, sealing(v)...)
}

// MigrateDown takes back the newest step that was applied. It does nothing when there is none. The vault is as for Migrate.
func MigrateDown(ctx context.Context, db *DB, log *slog.Logger, v *vault.Vault) error {
	return migrateDown(ctx, db, log, migrations.FS, sealing(v)...)
}

// MigrationStatus lists every migration that this program has, oldest first.
func MigrationStatus(ctx context.Context, db *DB) ([]Migration, error) {
	return migrationStatus(ctx, db, migrations.FS, sealing(nil)...)
}

// sealing returns the steps that are not only SQL.
func sealing(v *vault.Vault) []*goose.Migration {
	type step func(context.Context, *sql.Tx, *vault.Vault) error
	with := func(do step) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return do(ctx, tx, v) }}
	}
	return []*goose.Migration{
		goose.NewGoMigration(migrations.SealedPeople, with(migrations.SealPeople), with(migrations.OpenPeople)),
		goose.NewGoMigration(migrations.SealedProofs, with(migrations.SealProofs), with(migrations.OpenProofs)),
	}
}

// nameOf returns what a step is called: its file, or the number of one that is not only SQL.
func nameOf(source *goose.Source) string {
	if source.Path == "" {
		return fmt.Sprintf("%05d", source.Version)
	}
	return path.Base(source.Path)
}

func migrateUp(ctx context.Context, db *DB, log *slog.Logger, steps fs.FS, more ...*goose.Migration) error {
	return withMigrator(db, steps, more, func(m *goose.Provider) error {
		// Asking for the version takes the lock and creates the version table under it.
		before, err := currentVersion(ctx, m)
		if err != nil {
			return err
		}
		results, err := m.Up(ctx)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			results = partial.Applied
			err = fmt.Errorf("migration %s: %w", nameOf(partial.Failed.Source), partial.Err)
		}
		for _, r := range results {
			log.InfoContext(ctx, "database migrated", "migration", nameOf(r.Source), "took", r.Duration)
		}
		if err != nil {
			return fmt.Errorf("migrate the database from version %d: %w", before, err)
		}
		// Another program may have gone beyond while this one waited.
		_, err = currentVersion(ctx, m)
		return err
	})
}

func migrateDown(ctx context.Context, db *DB, log *slog.Logger, steps fs.FS, more ...*goose.Migration) error {
	return withMigrator(db, steps, more, func(m *goose.Provider) error {
		if _, err := currentVersion(ctx, m); err != nil {
			return err
		}
		result, err := m.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			log.InfoContext(ctx, "the database has no migration to take back")
			return nil
		}
		if err != nil {
			return fmt.Errorf("take back a migration: %w", err)
		}
		log.InfoContext(ctx, "migration taken back", "migration", nameOf(result.Source), "took", result.Duration)
		return nil
	})
}

func migrationStatus(ctx context.Context, db *DB, steps fs.FS, more ...*goose.Migration) ([]Migration, error) {
	var list []Migration
	err := withMigrator(db, steps, more, func(m *goose.Provider) error {
		statuses, err := m.Status(ctx)
		if err != nil {
			return fmt.Errorf("read the state of the migrations: %w", err)
		}
		for _, s := range statuses {
			list = append(list, Migration{
				Version: s.Source.Version, Name: nameOf(s.Source), AppliedAt: s.AppliedAt,
			})
		}
		return nil
	})
	return list, err
}

// currentVersion returns the version of the database, and ErrNewerDatabase when this program does not know it.
func currentVersion(ctx context.Context, m *goose.Provider) (int64, error) {
	version, err := m.GetDBVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the version of the database schema: %w", err)
	}
	sources := m.ListSources()
	if newest := sources[len(sources)-1].Version; version > newest {
		return 0, fmt.Errorf("%w: it is at version %d and the program knows %d; run the later version of the program",
			ErrNewerDatabase, version, newest)
	}
	return version, nil
}

// withMigrator calls fn with a provider that has connections of its own, free of the limits of the pool.
func withMigrator(db *DB, steps fs.FS, more []*goose.Migration, fn func(*goose.Provider) error) error {
	pool := sql.OpenDB(db.connector.forMigrations())
	defer pool.Close()
	m, err := goose.NewProvider(goose.DialectPostgres, pool, steps,
		goose.WithSessionLocker(migrationLock{}),
		goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(more...),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	return fn(m)
}

// migrationLock lets one session at a time change the schema. The server frees it when the session ends.
type migrationLock struct{}

var _ lock.SessionLocker = migrationLock{}

func (migrationLock) SessionLock(ctx context.Context, session *sql.Conn) error {
	ticker := time.NewTicker(migrationPoll)
	defer ticker.Stop()
	for {
		var locked bool
		err := session.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", migrationLockID).Scan(&locked)
		if err != nil {
			return fmt.Errorf("lock the database schema: %w", err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process is migrating the database: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

func (migrationLock) SessionUnlock(ctx context.Context, session *sql.Conn) error {
	if _, err := session.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", migrationLockID); err != nil {
		return fmt.Errorf("unlock the database schema: %w", err)
	}
	return nil
}
