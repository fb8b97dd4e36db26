package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/jobs"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// patience bounds every wait; nothing takes that long on a machine that works.
const patience = time.Minute

type greet struct {
	Name string `json:"name"`
}

func (greet) Kind() string { return "greet" }

type tick struct{}

func (tick) Kind() string { return "tick" }

func newQueue(t *testing.T, db *postgres.DB) *jobs.Queue {
	t.Helper()
	q, err := jobs.New(jobs.Config{DB: db, Patience: patience, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// run has a queue work until the test is over, or the function that it returns is called, which waits for its end.
func run(t *testing.T, q *jobs.Queue) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the queue did not end in order: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func enqueue(t *testing.T, db *postgres.DB, q *jobs.Queue, args jobs.Args) {
	t.Helper()
	if err := db.InTx(t.Context(), func(tx *sql.Tx) error { return q.EnqueueTx(t.Context(), tx, args) }); err != nil {
		t.Fatal(err)
	}
}

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// asAdmin is the context of an administrator.
func asAdmin(t *testing.T) context.Context {
	t.Helper()
	return auth.WithViewer(t.Context(), auth.Viewer{
		UserID: typeid.New(), Strong: true, ProvedAt: time.Now(), Grants: auth.NewGrants(auth.Grant{Role: auth.RoleAdmin}),
	})
}

func list(t *testing.T, q *jobs.Queue, filter jobs.Filter) []jobs.Job {
	t.Helper()
	found, err := q.List(asAdmin(t), filter, page.Request{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return found.Items
}

// await returns the only job once it is in a state.
func await(t *testing.T, q *jobs.Queue, state jobs.State) jobs.Job {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if found := list(t, q, jobs.Filter{State: &state}); len(found) == 1 {
			return found[0]
		}
	}
	t.Fatalf("no job is %s: %+v", state, list(t, q, jobs.Filter{}))
	panic("unreachable")
}

func TestQueue_does_what_was_committed_and_nothing_else(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	q := newQueue(t, db)
	greeted := make(chan string, 10)
	jobs.Handle(q, jobs.Options{}, func(_ context.Context, args greet) error { greeted <- args.Name; return nil })
	errBack := errors.New("back")
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		if err := q.EnqueueTx(t.Context(), tx, greet{"nobody"}); err != nil {
			return err
		}
		return errBack
	})
	if !errors.Is(err, errBack) {
		t.Fatal(err)
	}
	enqueue(t, db, q, greet{"Ada"})
	run(t, q)
	if got := next(t, greeted); got != "Ada" {
		t.Errorf("greeted %s", got)
	}
	enqueue(t, db, q, greet{"Bob"})
	if got := next(t, greeted); got != "Bob" {
		t.Errorf("greeted %s", got)
	}
	if err := db.InTx(t.Context(), func(tx *sql.Tx) error { return q.EnqueueTx(t.Context(), tx, tick{}) }); err == nil {
		t.Error("a job was queued that nobody does")
	}
}

func TestQueue_tries_again_and_tells_no_more_than_why(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail   func() error
		reason jobs.Reason
	}{
		"an_unexpected_error": {func() error { return errors.New("secret of Ada") }, jobs.Internal},
		"a_reason":            {func() error { return jobs.Because(jobs.GatewayUnavailable, errors.New("secret of Ada")) }, jobs.GatewayUnavailable},
		"a_panic":             {func() error { panic("secret of Ada") }, jobs.Internal},
		"a_timeout":           {func() error { return context.DeadlineExceeded }, jobs.TimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t)
			q := newQueue(t, db)
			attempts := 0
			jobs.Handle(q, jobs.Options{Attempts: 2, Pause: func(int) time.Duration { return 0 }}, func(context.Context, greet) error {
				attempts++
				return c.fail()
			})
			enqueue(t, db, q, greet{"Ada"})
			stop := run(t, q)
			job := await(t, q, jobs.Discarded)
			stop()
			if attempts != 2 || len(job.Failures) != 2 || job.Failures[1].Reason != c.reason || job.Failures[1].Attempt != 2 || job.FinishedAt == nil || job.NextRunAt != nil {
				t.Errorf("after %d attempts: %+v", attempts, job)
			}
			if stored := fixture.Get[string](t, db, `SELECT array_to_json(errors)::text FROM river.river_job`); strings.Contains(stored, "secret") {
				t.Errorf("stored: %s", stored)
			}
		})
	}
}

// TestQueue_Run_waits_for_jobs_under_way stops a node while it works.
func TestQueue_Run_waits_for_jobs_under_way(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	q := newQueue(t, db)
	begun, goOn := make(chan struct{}), make(chan struct{})
	jobs.Handle(q, jobs.Options{}, func(ctx context.Context, _ greet) error {
		close(begun)
		<-goOn
		return ctx.Err()
	})
	enqueue(t, db, q, greet{"Ada"})
	stop := run(t, q)
	next(t, begun)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	select {
	case <-stopped:
		t.Fatal("the queue did not wait")
	case <-time.After(100 * time.Millisecond): // it would have ended at once
	}
	close(goOn)
	next(t, stopped)
	await(t, q, jobs.Completed)
}

// TestQueue_goes_on_after_the_database_was_away breaks every connection of the workers, listening one included.
func TestQueue_goes_on_after_the_database_was_away(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	q := newQueue(t, db)
	greeted := make(chan string, 10)
	jobs.Handle(q, jobs.Options{}, func(_ context.Context, args greet) error { greeted <- args.Name; return nil })
	run(t, q)
	enqueue(t, db, q, greet{"before"})
	next(t, greeted)
	if broken := fixture.Get[int](t, db, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`); broken == 0 {
		t.Fatal("no connection was broken")
	}
	enqueue(t, db, q, greet{"after"})
	for got := ""; got != "after"; { // what was done may be done again
		got = next(t, greeted)
	}
}

func TestEvery_happens_on_one_node_at_a_time(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	ticks := make(chan string, 10)
	for _, node := range []string{"one", "two"} {
		q := newQueue(t, db)
		jobs.Handle(q, jobs.Options{}, func(_ context.Context, args greet) error { ticks <- args.Name; return nil })
		jobs.Every[tick](q, 24*time.Hour, jobs.Options{}, func(context.Context) error { ticks <- node; return nil })
		run(t, q)
		if node == "two" {
			enqueue(t, db, q, greet{"last"})
		}
	}
	seen := []string{next(t, ticks), next(t, ticks)}
	if !slices.Contains(seen, "last") {
		t.Errorf("both nodes had their turn: %v", seen)
	}
	if n := fixture.Get[int](t, db, `SELECT count(*) FROM river.river_job WHERE kind = 'tick'`); n != 1 {
		t.Errorf("queued %d times", n)
	}
}

func TestQueue_List(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	q := newQueue(t, db)
	jobs.Handle(q, jobs.Options{}, func(context.Context, greet) error { return nil })
	jobs.Handle(q, jobs.Options{}, func(context.Context, tick) error { return nil })
	for range 3 {
		enqueue(t, db, q, greet{"Ada"})
	}
	enqueue(t, db, q, tick{})
	all := list(t, q, jobs.Filter{})
	if len(all) != 4 || all[0].Kind != "tick" || all[0].State != jobs.Waiting || all[0].NextRunAt == nil || all[0].MaxAttempts != 10 {
		t.Fatalf("%+v", all)
	}
	key, err := typeid.Decode(typeid.Job, all[0].NodeID())
	if err != nil || jobs.Number(key) != all[0].Number {
		t.Errorf("%s is read as %s, %v", all[0].NodeID(), key, err)
	}
	for _, wrong := range []uuid.UUID{{}, typeid.New(), {0: 1, 15: 1}, {8: 0x80}} {
		if n := jobs.Number(wrong); n != 0 {
			t.Errorf("%s is read as %d", wrong, n)
		}
	}
	if got := list(t, q, jobs.Filter{Kind: new("greet"), State: new(jobs.Waiting)}); len(got) != 3 {
		t.Errorf("%+v", got)
	}
	if got := list(t, q, jobs.Filter{State: new(jobs.Discarded)}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	second, err := q.List(asAdmin(t), jobs.Filter{}, page.Request{Limit: 2, After: all[0].CursorKey()})
	if err != nil || len(second.Items) != 2 || second.Items[0].Number != all[1].Number || !second.HasNext {
		t.Errorf("%+v, %v", second, err)
	}
	back, err := q.List(asAdmin(t), jobs.Filter{}, page.Request{Limit: 2, Backward: true, Before: all[3].CursorKey()})
	if err != nil || len(back.Items) != 2 || back.Items[1].Number != all[2].Number || !back.HasPrevious {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestQueue_Retry_and_Cancel(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	q := newQueue(t, db)
	fail := make(chan error, 10)
	begun := make(chan struct{}, 10)
	jobs.Handle(q, jobs.Options{Attempts: 1}, func(ctx context.Context, _ greet) error {
		begun <- struct{}{}
		select {
		case err := <-fail:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	admin := asAdmin(t)
	enqueue(t, db, q, greet{"Ada"})
	run(t, q)
	fail <- errors.New("no")
	job := await(t, q, jobs.Discarded)
	<-begun

	if _, err := q.Retry(t.Context(), job.Number); apperr.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("nobody retries: %v", err)
	}
	if _, err := q.List(t.Context(), jobs.Filter{}, page.Request{Limit: 2}); apperr.CodeOf(err) != apperr.Unauthenticated {
		t.Errorf("nobody lists: %v", err)
	}
	if _, err := q.Retry(admin, job.Number+1); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("a missing job is retried: %v", err)
	}
	if _, err := q.Cancel(admin, job.Number); apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("a job that is over is cancelled: %v", err)
	}
	if got, err := q.Retry(admin, job.Number); err != nil || got.State != jobs.Waiting || got.MaxAttempts != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	next(t, begun)
	if _, err := q.Retry(admin, job.Number); apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("a job that is worked on is retried: %v", err)
	}
	if got, err := q.Cancel(admin, job.Number); err != nil || got.State != jobs.Running {
		t.Fatalf("%+v, %v", got, err)
	}
	await(t, q, jobs.Stopped)
	recorded := `SELECT string_agg(action || ' ' || subject || ' ' || (before ->> 'state') || ' ' || (after ->> 'state'), ', ' ORDER BY id) FROM audit_entries`
	want := "job.retried " + job.NodeID() + " DISCARDED WAITING, job.cancelled " + job.NodeID() + " RUNNING RUNNING"
	if got := fixture.Get[string](t, db, recorded); got != want {
		t.Errorf("recorded is %q", got)
	}
}
