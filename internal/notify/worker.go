package notify

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"marquee/internal/postgres"
)

const (
	// batch is how many mails a node takes, and sends side by side, at once.
	batch = 8
	// sending bounds one attempt.
	sending = 30 * time.Second
	// lease is how long a mail belongs to the node that took it: an attempt and the statements around it. Past it, the
	// node is taken for gone and another tries.
	lease = 2 * time.Minute
	// settling bounds the statement after an attempt, also when the node goes away.
	settling = 5 * time.Second

	// The pause after the first failure, doubled with each up to the longest, and spread: some 90 minutes in all.
	firstPause   = 10 * time.Second
	longestPause = time.Hour
	maxAttempts  = 10

	// kept is how long the record of a settled mail is kept.
	kept = 30 * 24 * time.Hour
)

// Courier takes letters to their readers. Send returns a *SendError when it knows why it could not; it is safe for concurrent
// use.
type Courier interface {
	Send(ctx context.Context, l Letter) error
}

// SendError is a failure to send of which the log may know.
type SendError struct {
	Reason  string // without an address or a content
	Forever bool   // trying again is of no use
}

// Error returns the reason.
func (f *SendError) Error() string { return "notify: " + f.Reason }

// Resolver decides what becomes of a request: the letter to send instead, or ok false for none. A letter without a locale
// is written in that of the request.
type Resolver func(ctx context.Context, request Mail) (letter Mail, ok bool, err error)

// Outcome is what became of an attempt.
type Outcome string

// The outcomes. All but RETRIED are final.
const (
	Sent    Outcome = "SENT"
	Dropped Outcome = "DROPPED" // a request that nothing came of
	Failed  Outcome = "FAILED"
	Retried Outcome = "RETRIED"
)

// Worker sends what waits in an Outbox.
type Worker struct {
	Outbox  *Outbox
	Courier Courier
	Words   *Words
	Resolve Resolver
	Observe func(Kind, Outcome) // may be nil
	Log     *slog.Logger
}

// taken is a mail that belongs to this node for the time of a lease.
type taken struct {
	id       uuid.UUID
	kind     Kind
	sealed   []byte
	attempts int
}

// Deliver sends the mails that are due, a batch of them, and reports whether there may be more. Every node calls it every
// second or so; nodes never take the same mail unless one of them is lost. One statement when nothing is due.
func (w *Worker) Deliver(ctx context.Context) (more bool, err error) {
	due, err := w.take(ctx)
	if err != nil {
		return false, err
	}
	faults := make([]error, len(due))
	var wait sync.WaitGroup
	for i, t := range due {
		wait.Go(func() { faults[i] = w.deliver(ctx, t) })
	}
	wait.Wait()
	return len(due) == batch, errors.Join(faults...)
}

func (w *Worker) take(ctx context.Context) ([]taken, error) {
	now := w.Outbox.clock.Now()
	rows, err := w.Outbox.db.SQL().QueryContext(ctx, `UPDATE mails SET attempts = attempts + 1, due_at = $2
		WHERE id IN (SELECT id FROM mails WHERE state = 'QUEUED' AND due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING id, kind, payload_sealed, attempts`, now, now.Add(lease), batch)
	if err != nil {
		return nil, fmt.Errorf("take mails: %w", err)
	}
	return postgres.Collect(rows, func(rows *sql.Rows) (t taken, err error) {
		err = rows.Scan(&t.id, &t.kind, &t.sealed, &t.attempts)
		return t, err
	})
}

// deliver tries to send a mail and records the outcome. The error is that of the database.
func (w *Worker) deliver(ctx context.Context, t taken) error {
	outcome, fault := Sent, ""
	sent, err := w.send(ctx, t)
	if err == nil && !sent {
		outcome = Dropped
	}
	if err != nil {
		outcome, fault = Retried, "internal"
		known, ok := errors.AsType[*SendError](err)
		if ok {
			fault = known.Reason
		}
		if t.attempts >= maxAttempts || ok && known.Forever {
			outcome = Failed
		}
		w.Log.WarnContext(ctx, "a mail was not sent", "mail", t.id.String(), "kind", string(t.kind), "attempt", t.attempts,
			"given_up", outcome == Failed, "fault", fault)
		if !ok {
			w.Log.ErrorContext(ctx, "sending a mail failed inside", "mail", t.id.String(), "error", err)
		}
	}
	if w.Observe != nil {
		w.Observe(t.kind, outcome)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
	defer cancel()
	now := w.Outbox.clock.Now()
	if outcome == Retried {
		_, err = w.Outbox.db.SQL().ExecContext(ctx, `UPDATE mails SET due_at = $3, fault = $4 WHERE id = $1 AND attempts = $2 AND state = 'QUEUED'`,
			t.id, t.attempts, now.Add(pause(t.attempts)), fault)
	} else {
		// Whoever took it after this node's lease may be sending it too; that it was sent stays true.
		_, err = w.Outbox.db.SQL().ExecContext(ctx, `UPDATE mails SET state = $2, settled_at = $3, fault = $4, payload_sealed = NULL WHERE id = $1 AND state = 'QUEUED'`,
			t.id, string(outcome), now, fault)
	}
	if err != nil {
		return fmt.Errorf("record what became of a mail: %w", err)
	}
	return nil
}

// send reports whether there was a letter to send.
func (w *Worker) send(ctx context.Context, t taken) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, sending)
	defer cancel()
	text, err := w.Outbox.vault.Open(cell(t.id), t.sealed)
	if err != nil {
		return false, err
	}
	var p payload
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return false, errors.New("notify: the contents of a mail cannot be read")
	}
	m := Mail{To: p.To, Locale: p.Locale, Kind: t.kind, Data: p.Data}
	if t.kind.isRequest() {
		var ok bool
		asked := m.Locale
		if m, ok, err = w.Resolve(ctx, m); err != nil || !ok {
			return false, err
		}
		m.Locale = cmp.Or(m.Locale, asked)
		if err := m.validate(); err != nil {
			return false, err
		}
	}
	letter, err := w.Words.Write(t.id, m)
	if err != nil {
		return false, err
	}
	return true, w.Courier.Send(ctx, letter)
}

// pause is how long to wait after so many failures.
func pause(attempts int) time.Duration {
	longest := min(firstPause<<min(attempts-1, 20), longestPause)
	return longest/2 + rand.N(longest/2)
}

// Forget deletes the records of mails that were settled a month ago, and returns how many.
func (o *Outbox) Forget(ctx context.Context) (int, error) {
	done, err := o.db.SQL().ExecContext(ctx, `DELETE FROM mails WHERE settled_at < $1`, o.clock.Now().Add(-kept))
	if err != nil {
		return 0, fmt.Errorf("forget mails: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}
