package jobs

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river/rivertype"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// CursorName names the ordering of the list of jobs, the latest first.
const CursorName = "jobs"

// State is where a job stands.
type State string

// The states of a job.
const (
	Waiting   State = "WAITING"   // to be done now, or at its next run
	Running   State = "RUNNING"   // a node is at it
	Retrying  State = "RETRYING"  // it failed, and is tried again at its next run
	Completed State = "COMPLETED" // done
	Stopped   State = "CANCELLED" // by an administrator
	Discarded State = "DISCARDED" // given up after its last attempt
)

// states are River's states for each of ours.
var states = map[State][]rivertype.JobState{
	Waiting:   {rivertype.JobStateAvailable, rivertype.JobStateScheduled, rivertype.JobStatePending},
	Running:   {rivertype.JobStateRunning},
	Retrying:  {rivertype.JobStateRetryable},
	Completed: {rivertype.JobStateCompleted},
	Stopped:   {rivertype.JobStateCancelled},
	Discarded: {rivertype.JobStateDiscarded},
}

// Job is one piece of work.
type Job struct {
	Number      int64
	Kind        string
	State       State
	Attempts    int // made, the present one included
	MaxAttempts int
	CreatedAt   time.Time
	NextRunAt   *time.Time // set while it waits or is tried again
	StartedAt   *time.Time // the latest attempt
	FinishedAt  *time.Time
	Failures    []Failure // in the order of the attempts
}

// Failure is an attempt that failed.
type Failure struct {
	Attempt int
	At      time.Time
	Reason  Reason
}

// NodeID is the job's public id.
func (j Job) NodeID() string {
	var key uuid.UUID
	binary.BigEndian.PutUint64(key[half:], uint64(j.Number))
	return typeid.Encode(typeid.Job, key)
}

// half of a key is the number of a job, the other empty.
const half = len(uuid.UUID{}) / 2

// Number returns the number of a job by its key; of what is none it is 0, which no job has.
func Number(key uuid.UUID) int64 {
	number := binary.BigEndian.Uint64(key[half:])
	if uuid.UUID(append(make([]byte, half), key[half:]...)) != key || number > math.MaxInt64 {
		return 0
	}
	return int64(number)
}

// IsNode marks what clients can read again by its id.
func (Job) IsNode() {}

// CursorKey is where the job stands in the list.
func (j Job) CursorKey() []string { return []string{strconv.FormatInt(j.Number, 10)} }

// Filter restricts the list; nil conditions hold for every job.
type Filter struct {
	State *State
	Kind  *string
}

// List returns a page of jobs, the latest first. Those that are over are kept for a day, or a month where they came to nothing. For
// administrators. One statement.
func (q *Queue) List(ctx context.Context, filter Filter, request page.Request) (page.Page[Job], error) {
	if _, err := auth.Require(ctx, auth.RoleAdmin); err != nil {
		return page.Page[Job]{}, err
	}
	var wanted []string
	if filter.State != nil {
		for _, state := range states[*filter.State] {
			wanted = append(wanted, string(state))
		}
	}
	cursor := func(key []string) any {
		if key == nil {
			return nil
		}
		return key[0]
	}
	order := "DESC"
	if request.Backward {
		order = "ASC"
	}
	rows, err := q.cfg.DB.SQL().QueryContext(ctx, `SELECT `+jobColumns+` FROM river.river_job
		WHERE ($1 = '' OR state::text = ANY (string_to_array($1, ','))) AND ($2::text IS NULL OR kind = $2)
			AND ($3::bigint IS NULL OR id < $3) AND ($4::bigint IS NULL OR id > $4)
		ORDER BY id `+order+` LIMIT $5`, strings.Join(wanted, ","), filter.Kind, cursor(request.After), cursor(request.Before), request.Limit+1)
	if err != nil {
		return page.Page[Job]{}, fmt.Errorf("reading jobs: %w", err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (Job, error) {
		row, err := scanJob(rows)
		if err != nil {
			return Job{}, err
		}
		return shown(row), nil
	})
	return page.Cut(request, found), err
}

// Job returns a job: NOT_FOUND when there is none. For administrators.
func (q *Queue) Job(ctx context.Context, number int64) (Job, error) {
	if _, err := auth.Require(ctx, auth.RoleAdmin); err != nil {
		return Job{}, err
	}
	row, err := scanJob(q.cfg.DB.SQL().QueryRowContext(ctx, `SELECT `+jobColumns+` FROM river.river_job WHERE id = $1`, number))
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, apperr.Missing("job")
	}
	if err != nil {
		return Job{}, err
	}
	return shown(row), nil
}

// Retry has a job done at once that waits, failed for good or was cancelled, whatever attempts it has had: NOT_FOUND when there is
// none, CONFLICT when it is worked on or done. For administrators; recorded in the audit log.
func (q *Queue) Retry(ctx context.Context, number int64) (Job, error) {
	return q.change(ctx, number, audit.JobRetried, "The job is being worked on, or is done.", []State{Waiting, Retrying, Stopped, Discarded},
		func(tx *sql.Tx) (*rivertype.JobRow, error) { return q.insert.JobRetryTx(ctx, tx, number) })
}

// Cancel ends a job that is not over; one that is worked on ends as soon as whoever does it hears of it. NOT_FOUND when there is
// none, CONFLICT when it is over. For administrators; recorded in the audit log.
func (q *Queue) Cancel(ctx context.Context, number int64) (Job, error) {
	return q.change(ctx, number, audit.JobCancelled, "The job is over.", []State{Waiting, Retrying, Running},
		func(tx *sql.Tx) (*rivertype.JobRow, error) { return q.insert.JobCancelTx(ctx, tx, number) })
}

func (q *Queue) change(ctx context.Context, number int64, action audit.Action, otherwise string, from []State,
	step func(tx *sql.Tx) (*rivertype.JobRow, error),
) (job Job, err error) {
	admin, err := auth.Require(ctx, auth.RoleAdmin)
	if err != nil {
		return Job{}, err
	}
	err = q.cfg.DB.InTx(ctx, func(tx *sql.Tx) error {
		row, err := scanJob(tx.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM river.river_job WHERE id = $1 FOR UPDATE`, number))
		if errors.Is(err, sql.ErrNoRows) {
			return apperr.Missing("job")
		}
		if err != nil {
			return err
		}
		before := shown(row)
		for _, state := range from {
			if before.State == state {
				if row, err = step(tx); err != nil {
					return err
				}
				job = shown(row)
				return audit.RecordTx(ctx, tx, audit.Entry{
					Action: action, Actor: admin.UserID, Subject: job.NodeID(),
					Before: map[string]any{"kind": job.Kind, "state": before.State, "attempts": before.Attempts}, After: map[string]any{"state": job.State},
				})
			}
		}
		return apperr.New(apperr.Conflict, "%s", otherwise)
	})
	return job, err
}

// shown is a job as administrators see it.
func shown(row *rivertype.JobRow) Job {
	job := Job{
		Number: row.ID, Kind: row.Kind, Attempts: row.Attempt, MaxAttempts: row.MaxAttempts, CreatedAt: row.CreatedAt.UTC(),
		StartedAt: utc(row.AttemptedAt), FinishedAt: utc(row.FinalizedAt),
	}
	for ours, theirs := range states {
		for _, state := range theirs {
			if state == row.State {
				job.State = ours
			}
		}
	}
	if job.State == Waiting || job.State == Retrying {
		job.NextRunAt = new(row.ScheduledAt.UTC())
	}
	for _, failure := range row.Errors {
		job.Failures = append(job.Failures, Failure{Attempt: failure.Attempt, At: failure.At.UTC(), Reason: stored(failure.Error)})
	}
	return job
}

func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	return new(at.UTC())
}
