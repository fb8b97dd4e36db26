package jobs

import (
	"database/sql"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
)

// Inserts is how clients are set up that queue; they tell the nodes of each queue once.
func Inserts() *river.Config {
	return &river.Config{Schema: schema, FetchCooldown: time.Hour, FetchPollInterval: time.Hour, Logger: slog.New(slog.DiscardHandler)}
}

// Inserting is the client by which jobs are queued.
func Inserting() (*river.Client[*sql.Tx], error) { return river.NewClient(inserter{}, Inserts()) }
