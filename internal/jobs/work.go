package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

const (
	// conns are those of River's own: one listens, the others fetch jobs and record how they went.
	conns = 4
	// fetchPause bounds how soon a node looks for jobs that it was not told of.
	fetchPause = 2 * time.Second
	// rescueAfter is when a job that is worked on counts as left behind; longer than any may take.
	rescueAfter = 5 * time.Minute
	// startPause is how long to wait for a database that is away.
	startPause = time.Second

	keepDone      = 24 * time.Hour
	keepDiscarded = 30 * 24 * time.Hour
)

// Run does jobs until ctx ends, then waits as long as Config.Patience for those under way. It returns nil after an orderly end; a
// database that is away only makes it wait.
func (q *Queue) Run(ctx context.Context) error {
	pool, err := q.pool()
	if err != nil {
		return err
	}
	defer pool.Close()
	for {
		// A client that could not start is of no use any more.
		client, err := river.NewClient(riverpgxv5.New(pool), q.config())
		if err != nil {
			return fmt.Errorf("jobs: %w", err)
		}
		if err = client.Start(ctx); err == nil {
			<-client.Stopped()
			err = errors.New("it ended by itself")
		}
		if ctx.Err() != nil {
			return nil
		}
		q.cfg.Log.WarnContext(ctx, "no jobs are done at this moment", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(startPause):
		}
	}
}

func (q *Queue) config() *river.Config {
	return &river.Config{
		Schema: schema, Logger: q.cfg.Log, Workers: q.workers, PeriodicJobs: q.periodic,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: q.cfg.Workers}},
		FetchPollInterval: fetchPause, RescueStuckJobsAfter: rescueAfter, SoftStopTimeout: q.cfg.Patience,
		CompletedJobRetentionPeriod: keepDone, CancelledJobRetentionPeriod: keepDiscarded, DiscardedJobRetentionPeriod: keepDiscarded,
		// The tables are small, and rebuilding an index takes longer than a statement may.
		ReindexerIndexNames: []string{},
	}
}

// pool returns the connections, made as those of the program's own pool are, which are opened as they are needed.
func (q *Queue) pool() (*pgxpool.Pool, error) {
	session := q.cfg.DB.Session()
	config, err := pgxpool.ParseConfig(session.URL)
	if err != nil {
		return nil, errors.New("jobs: the database URL has a parameter that is not understood")
	}
	config.MaxConns, config.MaxConnLifetime = conns, session.MaxAge
	config.ConnConfig.ConnectTimeout = session.ConnectTimeout
	config.ConnConfig.RuntimeParams["application_name"] = session.ApplicationName
	maps.Copy(config.ConnConfig.RuntimeParams, session.Settings)
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, errors.New("jobs: cannot make a pool of connections")
	}
	return pool, nil
}
