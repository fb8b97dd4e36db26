package postgres

import (
	"context"
	"database/sql"
	"time"
)

// Migrations from any file system, for tests that need small ones.
var (
	MigrateFS         = migrateUp
	MigrateDownFS     = migrateDown
	MigrationStatusFS = migrationStatus
)

// Bounds that tests speak of.
const (
	StatementCacheSize = statementCacheSize
	MigrationLockID    = migrationLockID
)

// OpenImpatient is Open with connections that are cut this long after the end of a context.
func OpenImpatient(ctx context.Context, cfg Config, grace time.Duration) (*DB, error) {
	cfg = cfg.withDefaults()
	connector, err := newConnector(cfg)
	if err != nil {
		return nil, err
	}
	connector.grace = grace
	return open(ctx, connector, cfg.MaxConns)
}

// Age makes the connection as old as one may become.
func Age(c *sql.Conn) error {
	return c.Raw(func(connection any) error {
		connection.(*conn).retireAt = time.Now()
		return nil
	})
}

// Sentence returns what Open says of a failure to connect.
func Sentence(cfg Config, cause error) (string, error) {
	c, err := newConnector(cfg.withDefaults())
	if err != nil {
		return "", err
	}
	return c.explain(cause).Error(), nil
}
