package notify_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/notify"
	"marquee/internal/postgres"
)

// office is a queue with a worker.
type office struct {
	db     *postgres.DB
	clock  *clock.Fake
	outbox *notify.Outbox
	worker *notify.Worker
	log    *strings.Builder
}

func open(t *testing.T, courier notify.Courier) office {
	t.Helper()
	words, err := notify.NewWords(base)
	if err != nil {
		t.Fatal(err)
	}
	o := office{db: dbtest.New(t), clock: clock.NewFake(time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)), log: &strings.Builder{}}
	o.outbox = notify.NewOutbox(o.db, dbtest.Vault(), o.clock)
	o.worker = &notify.Worker{Outbox: o.outbox, Courier: courier, Words: words, Log: slog.New(slog.NewTextHandler(o.log, nil))}
	return o
}

func (o office) enqueue(t *testing.T, m notify.Mail) {
	t.Helper()
	if err := o.db.InTx(t.Context(), func(tx *sql.Tx) error { return o.outbox.EnqueueTx(t.Context(), tx, m) }); err != nil {
		t.Fatal(err)
	}
}

func (o office) deliver(t *testing.T) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = o.worker.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// states counts the mails by state, and says whether anything of them can still be read.
func (o office) states(t *testing.T) string {
	t.Helper()
	var text sql.NullString
	if err := o.db.SQL().QueryRowContext(t.Context(), `SELECT string_agg(one, ' ' ORDER BY one) FROM (SELECT state || ':' || count(*) || CASE WHEN count(payload_sealed) > 0 THEN '*' ELSE '' END AS one
		FROM mails GROUP BY state) s`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text.String
}

const (
	base   = "https://tickets.example"
	path   = "/recover#token=hunter2hunter2"
	secret = base + path
)

func reset(to string) notify.Mail {
	return notify.Mail{To: to, Kind: notify.ResetPassword, Data: notify.Data{"name": "Nóra", "link": path}}
}

func TestOutbox_EnqueueTx(t *testing.T) {
	t.Parallel()
	t.Run("only_what_commits_is_sent_and_nothing_is_left_of_it", func(t *testing.T) {
		t.Parallel()
		var box notify.Mailbox
		o := open(t, &box)
		regret := errors.New("rolled back")
		if err := o.db.InTx(t.Context(), func(tx *sql.Tx) error {
			return errors.Join(o.outbox.EnqueueTx(t.Context(), tx, reset("gone@example.com")), regret)
		}); !errors.Is(err, regret) {
			t.Fatal(err)
		}
		o.enqueue(t, reset("nora@example.com"))
		var dump string
		if err := o.db.SQL().QueryRowContext(t.Context(), `SELECT string_agg(m::text || encode(payload_sealed, 'escape'), '') FROM mails m`).Scan(&dump); err != nil {
			t.Fatal(err)
		}
		for _, personal := range []string{"nora@example.com", "hunter2", "Nóra"} {
			if strings.Contains(dump, personal) {
				t.Errorf("the table says %q", personal)
			}
		}
		o.deliver(t)
		o.deliver(t)
		if got := box.Letters(""); len(got) != 1 || got[0].To != "nora@example.com" || got[0].Link != secret || !strings.Contains(got[0].Text, "Hello Nóra,") {
			t.Errorf("letters: %+v", got)
		}
		if got := o.states(t); got != "SENT:1" {
			t.Errorf("states: %s", got)
		}
		o.clock.Advance(31 * 24 * time.Hour)
		if n, err := o.outbox.Forget(t.Context()); n != 1 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
	})
	t.Run("written_in_what_its_reader_reads", func(t *testing.T) {
		t.Parallel()
		var box notify.Mailbox
		o := open(t, &box)
		o.worker.Resolve = func(_ context.Context, asked notify.Mail) (notify.Mail, bool, error) {
			letter := reset(asked.To)
			if asked.To == "known@example.com" {
				letter.Locale = "en"
			}
			return letter, true, nil
		}
		german := notify.WithLanguages(t.Context(), "de-DE,de;q=0.9")
		for _, m := range []notify.Mail{
			{To: "request@example.com", Kind: notify.PasswordChanged, Data: notify.Data{"name": "A"}},
			{To: "reader@example.com", Locale: "en-GB", Kind: notify.PasswordChanged, Data: notify.Data{"name": "A"}},
			{To: "stranger@example.com", Kind: notify.RecoveryRequested},
			{To: "known@example.com", Kind: notify.RecoveryRequested},
		} {
			if err := o.db.InTx(german, func(tx *sql.Tx) error { return o.outbox.EnqueueTx(german, tx, m) }); err != nil {
				t.Fatal(err)
			}
		}
		o.deliver(t)
		for to, subject := range map[string]string{
			"request@example.com": "Ihr Passwort wurde geändert", "reader@example.com": "Your password was changed",
			"stranger@example.com": "Wählen Sie ein anderes Passwort", "known@example.com": "Choose another password",
		} {
			if got := box.Letters(to); len(got) != 1 || got[0].Subject != subject {
				t.Errorf("%s: %+v", to, got)
			}
		}
	})
	t.Run("what_only_a_defect_makes_is_refused", func(t *testing.T) {
		t.Parallel()
		o := open(t, &notify.Mailbox{})
		for name, m := range map[string]notify.Mail{
			"unknown kind":    {To: "a@b.example", Kind: "surprise"},
			"no address":      {Kind: notify.PasswordChanged, Data: notify.Data{"name": "A"}},
			"two addresses":   {To: "a@b.example, c@d.example", Kind: notify.PasswordChanged, Data: notify.Data{"name": "A"}},
			"a line break":    {To: "a@b.example\r\nBcc: c@d.example", Kind: notify.PasswordChanged, Data: notify.Data{"name": "A"}},
			"missing data":    {To: "a@b.example", Kind: notify.ResetPassword, Data: notify.Data{"name": "A"}},
			"another host":    {To: "a@b.example", Kind: notify.ResetPassword, Data: notify.Data{"name": "A", "link": "https://evil.example"}},
			"undeclared data": {To: "a@b.example", Kind: notify.PasswordChanged, Data: notify.Data{"name": "A", "link": path}},
		} {
			err := o.db.InTx(t.Context(), func(tx *sql.Tx) error { return o.outbox.EnqueueTx(t.Context(), tx, m) })
			if err == nil || strings.Contains(err.Error(), "b.example") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// courier is one whose answers the test chooses.
type courier func(context.Context, notify.Letter) error

func (c courier) Send(ctx context.Context, l notify.Letter) error { return c(ctx, l) }

func TestWorker_Deliver(t *testing.T) {
	t.Parallel()
	t.Run("nodes_side_by_side_send_each_mail_once", func(t *testing.T) {
		t.Parallel()
		var mu sync.Mutex
		sent := map[string]int{}
		o := open(t, courier(func(_ context.Context, l notify.Letter) error {
			mu.Lock()
			defer mu.Unlock()
			sent[l.To]++
			return nil
		}))
		const mails = 40
		for i := range mails {
			o.enqueue(t, reset(fmt.Sprintf("reader%d@example.com", i)))
		}
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				for more := true; more; {
					var err error
					if more, err = o.worker.Deliver(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		o.deliver(t)
		if len(sent) != mails {
			t.Errorf("%d of %d readers got a mail", len(sent), mails)
		}
		for to, n := range sent {
			if n != 1 {
				t.Errorf("%s got %d", to, n)
			}
		}
	})
	t.Run("a_failure_is_tried_again_later_and_later_and_given_up_at_last", func(t *testing.T) {
		t.Parallel()
		tries := 0
		o := open(t, courier(func(_ context.Context, l notify.Letter) error {
			tries++
			return &notify.SendError{Reason: "the server answered 451"}
		}))
		o.enqueue(t, reset("nora@example.com"))
		o.deliver(t)
		o.deliver(t)
		if tries != 1 || o.states(t) != "QUEUED:1*" {
			t.Errorf("%d tries at once, %s", tries, o.states(t))
		}
		began := o.clock.Now()
		for o.states(t) == "QUEUED:1*" && o.clock.Now().Sub(began) < 6*time.Hour {
			o.clock.Advance(5 * time.Second)
			o.deliver(t)
		}
		if took := o.clock.Now().Sub(began); tries != 10 || took < 30*time.Minute || took > 2*time.Hour || o.states(t) != "FAILED:1" {
			t.Errorf("%d tries in %s, %s", tries, took, o.states(t))
		}
		if logged := o.log.String(); strings.Contains(logged, "nora") || strings.Contains(logged, "hunter2") || !strings.Contains(logged, "451") {
			t.Errorf("log: %s", logged)
		}
	})
	t.Run("a_refusal_for_ever_is_not_tried_again", func(t *testing.T) {
		t.Parallel()
		o := open(t, courier(func(context.Context, notify.Letter) error {
			return &notify.SendError{Reason: "the server answered 550", Forever: true}
		}))
		o.enqueue(t, reset("nora@example.com"))
		o.deliver(t)
		if got := o.states(t); got != "FAILED:1" {
			t.Errorf("states: %s", got)
		}
	})
	t.Run("a_mail_of_a_node_that_was_lost_is_sent_by_another", func(t *testing.T) {
		t.Parallel()
		var box notify.Mailbox
		o := open(t, &box)
		o.enqueue(t, reset("nora@example.com"))
		if _, err := o.db.SQL().ExecContext(t.Context(), `UPDATE mails SET attempts = 1, due_at = $1`, o.clock.Now().Add(2*time.Minute)); err != nil {
			t.Fatal(err)
		}
		o.deliver(t)
		if len(box.Letters("")) != 0 {
			t.Error("sent while it belongs to another")
		}
		o.clock.Advance(2 * time.Minute)
		o.deliver(t)
		if len(box.Letters("")) != 1 {
			t.Error("never sent")
		}
	})
	t.Run("a_request_becomes_what_is_decided_when_it_is_due", func(t *testing.T) {
		t.Parallel()
		var box notify.Mailbox
		o := open(t, &box)
		o.worker.Resolve = func(_ context.Context, request notify.Mail) (notify.Mail, bool, error) {
			if request.To == "unknown@example.com" {
				return notify.Mail{}, false, nil
			}
			return reset(request.To), true, nil
		}
		o.enqueue(t, notify.Mail{To: "known@example.com", Kind: notify.RecoveryRequested})
		o.enqueue(t, notify.Mail{To: "unknown@example.com", Kind: notify.RecoveryRequested})
		o.deliver(t)
		if got := box.Letters(""); len(got) != 1 || got[0].To != "known@example.com" || got[0].Kind != notify.ResetPassword {
			t.Errorf("letters: %+v", got)
		}
		if got := o.states(t); got != "DROPPED:1 SENT:1" {
			t.Errorf("states: %s", got)
		}
	})
}
