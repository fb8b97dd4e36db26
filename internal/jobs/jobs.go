// Package jobs owns work that is done later: queued in the transaction that has the reason for it, and done at least once, by
// whichever node comes to it first.
//
// The queue is River's. It is written to through database/sql, so that a job and what it is about are committed together, and
// worked on over connections of its own, which are told of new jobs. What a job needs to know is stored as JSON that names
// things by their ids, nothing personal; what is kept of a failure is a word of a fixed list.
//
// Invariants:
//   - a job exists if and only if the transaction that queued it was committed;
//   - whoever does a job may find it done: a job that its node did not finish is done again;
//   - a database that is away stops the work and nothing else; it goes on by itself.
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"marquee/internal/postgres"
)

// schema is where River's tables are.
const schema = "river"

// Args are what a job needs to know. Kind names what is done, also for a zero value; it and the JSON form are stored: do not
// rename.
type Args interface{ Kind() string }

// Options say how jobs of a kind are done.
type Options struct {
	Attempts int           // before a job is given up; 0: 10
	Timeout  time.Duration // of one attempt; 0: a minute
	// Pause returns how long to wait after so many failed attempts; nil: seconds, the number of attempts to the power of 4.
	Pause func(attempts int) time.Duration
}

const (
	defaultAttempts = 10
	defaultTimeout  = time.Minute
)

// Config is what a Queue needs.
type Config struct {
	DB       *postgres.DB
	Workers  int                                // jobs that this node does at once; 0: 8
	Patience time.Duration                      // for jobs under way when Run is told to end; 0: 10 s
	Observe  func(kind string, outcome Outcome) // told of every attempt; may be nil
	Log      *slog.Logger
}

const (
	defaultWorkers  = 8
	defaultPatience = 10 * time.Second
)

// Outcome is how an attempt went.
type Outcome string

// The outcomes.
const (
	Done   Outcome = "done"
	Failed Outcome = "failed"
)

// Queue queues jobs and does them. Handle and Every come first; after that it is safe for concurrent use.
type Queue struct {
	cfg      Config
	insert   *river.Client[*sql.Tx]
	workers  *river.Workers
	kinds    map[string]Options
	periodic []*river.PeriodicJob
}

// New returns a Queue that knows no kind of job.
func New(cfg Config) (*Queue, error) {
	if cfg.Workers == 0 {
		cfg.Workers = defaultWorkers
	}
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	insert, err := river.NewClient(inserter{}, &river.Config{Schema: schema, Logger: cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &Queue{cfg: cfg, insert: insert, workers: river.NewWorkers(), kinds: map[string]Options{}}, nil
}

// Handle says how jobs with such arguments are done. do gets a context that ends with Options.Timeout, and may be called again
// with the same arguments, also while an earlier call has not returned on a node that was taken for dead.
func Handle[T Args](q *Queue, o Options, do func(ctx context.Context, args T) error) {
	if o.Attempts == 0 {
		o.Attempts = defaultAttempts
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	var args T
	q.kinds[args.Kind()] = o
	river.AddWorker(q.workers, &worker[T]{queue: q, options: o, do: do})
}

// Every has something done about as often as said, on one node at a time: at once when none has done it for that long, and then
// by the clock of UTC. A turn that was missed is not made up for.
func Every[T Args](q *Queue, often time.Duration, o Options, do func(ctx context.Context) error) {
	Handle(q, o, func(ctx context.Context, _ T) error { return do(ctx) })
	var args T
	q.periodic = append(q.periodic, river.NewPeriodicJob(river.PeriodicInterval(often), func() (river.JobArgs, *river.InsertOpts) {
		return args, &river.InsertOpts{MaxAttempts: q.kinds[args.Kind()].Attempts, UniqueOpts: river.UniqueOpts{ByPeriod: often}}
	}, &river.PeriodicJobOpts{ID: args.Kind(), RunOnStart: true}))
}

// EnqueueTx queues a job in the caller's transaction. Two statements, one while many are queued.
func (q *Queue) EnqueueTx(ctx context.Context, tx *sql.Tx, args Args) error {
	o, ok := q.kinds[args.Kind()]
	if !ok {
		return fmt.Errorf("jobs: nobody does %q", args.Kind())
	}
	if _, err := q.insert.InsertTx(ctx, tx, args, &river.InsertOpts{MaxAttempts: o.Attempts}); err != nil {
		return fmt.Errorf("queueing %s: %w", args.Kind(), err)
	}
	return nil
}

// worker does the jobs of a kind.
type worker[T Args] struct {
	river.WorkerDefaults[T]
	queue   *Queue
	options Options
	do      func(context.Context, T) error
}

// Timeout is that of the kind.
func (w *worker[T]) Timeout(*river.Job[T]) time.Duration { return w.options.Timeout }

// NextRetry says when a failed job is tried again; zero: by River's own rule.
func (w *worker[T]) NextRetry(job *river.Job[T]) time.Time {
	if w.options.Pause == nil {
		return time.Time{}
	}
	return time.Now().Add(w.options.Pause(job.Attempt))
}

// Work makes one attempt. River stores the text of the error, so it is the reason and no more; the log has all of it.
func (w *worker[T]) Work(ctx context.Context, job *river.Job[T]) (failure error) {
	err := w.attempt(ctx, job.Args)
	if err == nil {
		w.queue.observe(job.Kind, Done)
		return nil
	}
	w.queue.observe(job.Kind, Failed)
	if errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely) {
		return river.JobCancel(errors.New(string(Cancelled)))
	}
	reason := reasonOf(err)
	w.queue.cfg.Log.WarnContext(ctx, "job failed", "kind", job.Kind, "job", job.ID, "attempt", job.Attempt, "reason", reason, "error", err)
	return errors.New(string(reason))
}

// attempt turns a panic into an error, which River would store with whatever it says.
func (w *worker[T]) attempt(ctx context.Context, args T) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	return w.do(ctx, args)
}

func (q *Queue) observe(kind string, outcome Outcome) {
	if q.cfg.Observe != nil {
		q.cfg.Observe(kind, outcome)
	}
}
