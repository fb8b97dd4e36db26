package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"marquee/internal/config"
	"marquee/internal/postgres"
	"marquee/internal/postgres/local"
)

// databaseName is the database in a private cluster.
const databaseName = "marquee"

// What the program calls its sessions at the database.
const (
	serverName  = "marquee server"
	commandName = "marquee"
)

// refuseBesideServers returns an error when a server is using the database. PostgreSQL takes a moment to end the sessions of one
// that has just ended, so it looks a few times.
func refuseBesideServers(ctx context.Context, db *postgres.DB) error {
	const looks, pause = 10, 100 * time.Millisecond
	for look := 1; ; look++ {
		var servers int
		err := db.SQL().QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = $1`, serverName).Scan(&servers)
		switch {
		case err != nil:
			return fmt.Errorf("looking for servers: %w", err)
		case servers == 0:
			return nil
		case look == looks:
			return errors.New("a server is using this database, and would lose it under its hands: stop it first")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// openDatabase connects to the configured database, under a name for its sessions, or to the private cluster in the data
// folder, which it starts when nobody has.
func openDatabase(ctx context.Context, cfg config.Config, name string, log *slog.Logger, onStatement func(string), c *closers) (*postgres.DB, error) {
	address := string(cfg.DatabaseURL)
	if address == "" {
		cluster, err := local.Start(ctx, local.Options{Dir: filepath.Join(cfg.DataDir, "postgres"), BinDir: cfg.PostgresBin, Log: log})
		if err != nil {
			return nil, err
		}
		c.add(cluster.Close)
		if err := cluster.EnsureDatabase(ctx, databaseName); err != nil {
			return nil, err
		}
		address = cluster.URL(databaseName)
	}
	db, err := postgres.Open(ctx, postgres.Config{
		URL: address, MaxConns: cfg.DatabaseConns, ApplicationName: name, OnStatement: onStatement,
	})
	if err != nil {
		return nil, err
	}
	c.add(db.Close)
	return db, nil
}

// secretKey returns the configured key, or one that is made once and kept in the data folder; in production none that was
// kept there.
func secretKey(cfg config.Config) ([]byte, error) {
	if err := refuseDevelopmentSecrets(cfg); err != nil {
		return nil, err
	}
	key, err := cfg.Key()
	if err != nil || key != nil {
		return key, err
	}
	const size = 32
	path := filepath.Join(cfg.DataDir, "secret.key")
	key, err = os.ReadFile(path)
	if err == nil && len(key) == size {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the secret key in the data folder: %w", err)
	}
	key = make([]byte, size)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	if err := os.MkdirAll(cfg.DataDir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	if err := os.WriteFile(path, key, 0o600); err != nil {
		return nil, fmt.Errorf("cannot keep a secret key in the data folder: %w", err)
	}
	return key, nil
}
