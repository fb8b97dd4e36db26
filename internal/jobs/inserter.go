package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// inserter is as much of a driver of River as a client needs that queues, retries and cancels jobs in transactions of
// database/sql. River calls nothing else of it; its tests compare what it does with what River's own driver does.
type inserter struct {
	riverdriver.Driver[*sql.Tx]
}

func (inserter) ArgPlaceholder() string { return "$" }

func (inserter) DatabaseName() string { return riverdriver.DatabaseNamePostgres }

func (inserter) PoolIsSet() bool { return false }

func (inserter) SupportsListener() bool { return false }

func (inserter) SupportsListenNotify() bool { return true }

func (inserter) TimePrecision() time.Duration { return time.Microsecond }

func (inserter) GetExecutor() riverdriver.Executor { return nil }

func (inserter) UnwrapExecutor(tx *sql.Tx) riverdriver.ExecutorTx { return insertion{tx: tx} }

// insertion is what is done in one transaction.
type insertion struct {
	riverdriver.ExecutorTx
	tx *sql.Tx
}

// JobInsertFastMany inserts jobs. One whose unique key is taken is reported as it stands.
func (i insertion) JobInsertFastMany(ctx context.Context, params *riverdriver.JobInsertFastManyParams) ([]*riverdriver.JobInsertFastResult, error) {
	results := make([]*riverdriver.JobInsertFastResult, len(params.Jobs))
	for n, job := range params.Jobs {
		var result riverdriver.JobInsertFastResult
		row := i.tx.QueryRowContext(ctx, `INSERT INTO river.river_job
				(id, args, created_at, kind, max_attempts, metadata, priority, queue, scheduled_at, state, tags, unique_key, unique_states)
			VALUES (coalesce($1::bigint, nextval('river.river_job_id_seq')), $2::jsonb, coalesce($3::timestamptz, now()), $4, $5, $6::jsonb, $7, $8,
				coalesce($9::timestamptz, now()), $10::river.river_job_state, string_to_array($11, ',')::varchar(255)[], $12::bytea,
				nullif($13::integer, 0)::bit(8))
			ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND unique_states IS NOT NULL AND river.river_job_state_in_bitmask(unique_states, state)
				DO UPDATE SET kind = river_job.kind
			RETURNING `+jobColumns+`, xmax <> 0`,
			job.ID, object(job.EncodedArgs), job.CreatedAt, job.Kind, min(job.MaxAttempts, math.MaxInt16), object(job.Metadata), job.Priority, job.Queue,
			job.ScheduledAt, string(job.State), strings.Join(job.Tags, ","), orNull(job.UniqueKey), int32(job.UniqueStates))
		var err error
		if result.Job, err = scanJob(row, &result.UniqueSkippedAsDuplicate); err != nil {
			return nil, err
		}
		results[n] = &result
	}
	return results, nil
}

// NotifyMany tells the nodes at the commit.
func (i insertion) NotifyMany(ctx context.Context, params *riverdriver.NotifyManyParams) error {
	for _, payload := range params.Payload {
		if _, err := i.tx.ExecContext(ctx, `SELECT pg_notify($1, $2)`, params.Schema+"."+params.Topic, payload); err != nil {
			return fmt.Errorf("telling of jobs: %w", err)
		}
	}
	return nil
}

// JobRetry makes a job that nobody works on available at once.
func (i insertion) JobRetry(ctx context.Context, params *riverdriver.JobRetryParams) (*rivertype.JobRow, error) {
	return scanJob(i.tx.QueryRowContext(ctx, `UPDATE river.river_job SET state = 'available',
			max_attempts = CASE WHEN attempt = max_attempts THEN max_attempts + 1 ELSE max_attempts END,
			finalized_at = NULL, metadata = metadata - 'cancel_attempted_at', scheduled_at = now()
		WHERE id = $1 AND state <> 'running' RETURNING `+jobColumns, params.ID))
}

// JobCancel ends a job that is not over; whoever works on it is told to stop.
func (i insertion) JobCancel(ctx context.Context, params *riverdriver.JobCancelParams) (*rivertype.JobRow, error) {
	at, err := params.CancelAttemptedAt.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("cancelling a job: %w", err)
	}
	job, err := scanJob(i.tx.QueryRowContext(ctx, `UPDATE river.river_job SET
			state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END,
			finalized_at = CASE WHEN state = 'running' THEN NULL ELSE now() END,
			metadata = jsonb_set(metadata, '{cancel_attempted_at}', $2::jsonb, true)
		WHERE id = $1 AND finalized_at IS NULL RETURNING `+jobColumns, params.ID, string(at)))
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(map[string]any{"action": "cancel", "job_id": job.ID, "queue": job.Queue})
	if err != nil {
		return nil, fmt.Errorf("cancelling a job: %w", err)
	}
	return job, i.NotifyMany(ctx, &riverdriver.NotifyManyParams{Schema: params.Schema, Topic: params.ControlTopic, Payload: []string{string(payload)}})
}

// jobColumns are what is read of a job.
const jobColumns = `id, kind, state::text, attempt, max_attempts, priority, queue, args, metadata, created_at, scheduled_at, attempted_at, finalized_at,
	array_to_json(errors)`

func scanJob(row interface{ Scan(...any) error }, more ...any) (*rivertype.JobRow, error) {
	var (
		job    rivertype.JobRow
		errors []byte
	)
	err := row.Scan(append([]any{
		&job.ID, &job.Kind, &job.State, &job.Attempt, &job.MaxAttempts, &job.Priority, &job.Queue, &job.EncodedArgs, &job.Metadata, &job.CreatedAt,
		&job.ScheduledAt, &job.AttemptedAt, &job.FinalizedAt, &errors,
	}, more...)...)
	if err == nil && errors != nil {
		err = json.Unmarshal(errors, &job.Errors)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a job: %w", err)
	}
	return &job, nil
}

// object is a JSON object as text, the empty one for none.
func object(text []byte) string {
	if len(text) == 0 {
		return "{}"
	}
	return string(text)
}

func orNull(key []byte) any {
	if len(key) == 0 {
		return nil
	}
	return key
}
