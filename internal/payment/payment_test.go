package payment_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

var states = []payment.AttemptStatus{
	payment.AttemptStarted, payment.AttemptOffered, payment.AttemptAuthorized, payment.AttemptCaptured, payment.AttemptDeclined,
	payment.AttemptVoidPending, payment.AttemptVoided, payment.AttemptRefundPending, payment.AttemptRefunded,
}

// edges is every step there is, as the package promises it.
var edges = map[payment.AttemptStatus][]payment.AttemptStatus{
	payment.AttemptStarted: {
		payment.AttemptOffered, payment.AttemptAuthorized, payment.AttemptDeclined, payment.AttemptVoidPending, payment.AttemptRefundPending,
	},
	payment.AttemptOffered:       {payment.AttemptAuthorized, payment.AttemptVoidPending},
	payment.AttemptAuthorized:    {payment.AttemptCaptured, payment.AttemptVoidPending},
	payment.AttemptVoidPending:   {payment.AttemptVoided, payment.AttemptRefundPending},
	payment.AttemptRefundPending: {payment.AttemptRefunded},
	payment.AttemptDeclined:      {payment.AttemptRefundPending},
	payment.AttemptVoided:        {payment.AttemptRefundPending},
}

// pathTo leads from the first state to each.
var pathTo = map[payment.AttemptStatus][]payment.AttemptStatus{
	payment.AttemptStarted:       {},
	payment.AttemptOffered:       {payment.AttemptOffered},
	payment.AttemptAuthorized:    {payment.AttemptAuthorized},
	payment.AttemptCaptured:      {payment.AttemptAuthorized, payment.AttemptCaptured},
	payment.AttemptDeclined:      {payment.AttemptDeclined},
	payment.AttemptVoidPending:   {payment.AttemptVoidPending},
	payment.AttemptVoided:        {payment.AttemptVoidPending, payment.AttemptVoided},
	payment.AttemptRefundPending: {payment.AttemptRefundPending},
	payment.AttemptRefunded:      {payment.AttemptRefundPending, payment.AttemptRefunded},
}

// paymentIn is where the payment stands with its only attempt.
var paymentIn = map[payment.AttemptStatus]payment.Status{
	payment.AttemptStarted: payment.StatusPending, payment.AttemptOffered: payment.StatusPending, payment.AttemptAuthorized: payment.StatusPending,
	payment.AttemptCaptured: payment.StatusCaptured, payment.AttemptDeclined: payment.StatusPending,
	payment.AttemptVoidPending: payment.StatusPending, payment.AttemptVoided: payment.StatusPending,
	payment.AttemptRefundPending: payment.StatusRefundPending, payment.AttemptRefunded: payment.StatusRefunded,
}

// atRest are those of which only the gateway's books can tell something new.
var atRest = []payment.AttemptStatus{payment.AttemptCaptured, payment.AttemptDeclined, payment.AttemptVoided}

func TestAttemptStatus_CanBecome(t *testing.T) {
	t.Parallel()
	for _, from := range states {
		for _, to := range states {
			if got, want := from.CanBecome(to), slices.Contains(edges[from], to); got != want {
				t.Errorf("%s can become %s: %t, want %t", from, to, got, want)
			}
		}
		if got, want := from.Settled(), len(edges[from]) == 0 || slices.Contains(atRest, from); got != want {
			t.Errorf("%s is settled: %t, want %t", from, got, want)
		}
		if from.CanBecome("UNHEARD_OF") {
			t.Errorf("%s can become anything", from)
		}
	}
	if payment.AttemptStatus("UNHEARD_OF").Settled() {
		t.Error("an unknown state is settled")
	}
}

// till is a database with payments in it.
type till struct {
	*fixture.World
	*payment.Service
}

func newTill(t *testing.T) *till {
	t.Helper()
	db := dbtest.New(t)
	return &till{World: fixture.New(t, db, fixture.Plan{Showtimes: 2}), Service: payment.NewService(db)}
}

const price = 1200

func nzd(minor int64) money.Money { return money.Money{AmountMinor: minor, Currency: fixture.Currency} }

// opening prepares an attempt for a reservation that did not exist before.
func (l *till) opening(t testing.TB) payment.Opening {
	t.Helper()
	o := payment.Opening{
		ShowtimeID: l.Show(), ReservationID: typeid.New(), ViewerID: l.Users[0].ID, Gateway: "fake", Amount: nzd(price),
		IdempotencyKey: typeid.New().String(), Lease: time.Hour,
	}
	l.Exec(t, `INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines)
		VALUES ($1, $2, $3, '{1}', $4, 'NZD', '[]')`, o.ShowtimeID, o.ReservationID, o.ViewerID, price)
	return o
}

func (l *till) open(t testing.TB, o payment.Opening) (a payment.Attempt, err error) {
	t.Helper()
	err = l.DB.InTx(t.Context(), func(tx *sql.Tx) (err error) {
		a, err = l.OpenAttemptTx(t.Context(), tx, o)
		return err
	})
	return a, err
}

func (l *till) advance(t testing.TB, a payment.Attempt, step payment.Step) (next payment.Attempt, err error) {
	t.Helper()
	err = l.DB.InTx(t.Context(), func(tx *sql.Tx) (err error) {
		next, err = l.AdvanceTx(t.Context(), tx, a, step)
		return err
	})
	return next, err
}

// in returns a fresh attempt that stands in a state.
func (l *till) in(t testing.TB, status payment.AttemptStatus) payment.Attempt {
	t.Helper()
	a, err := l.open(t, l.opening(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range pathTo[status] {
		if a, err = l.advance(t, a, payment.Step{To: to}); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// payment returns the payment of an attempt.
func (l *till) payment(t testing.TB, a payment.Attempt) payment.Payment {
	t.Helper()
	ref := payment.Reference{ShowtimeID: a.ShowtimeID, ID: a.PaymentID}
	p, ok, err := l.PaymentOfViewer(t.Context(), l.Users[0].ID, ref)
	if err != nil || !ok {
		t.Fatalf("payment %v: %t, %v", ref, ok, err)
	}
	return p
}

func TestService_OpenAttemptTx(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	t.Run("records_what_is_needed_to_drive_it", func(t *testing.T) {
		t.Parallel()
		o := l.opening(t)
		a, err := l.open(t, o)
		if err != nil {
			t.Fatal(err)
		}
		want := payment.Attempt{
			ShowtimeID: o.ShowtimeID, ID: a.ID, PaymentID: a.PaymentID, ReservationID: o.ReservationID, Gateway: "fake",
			Amount: nzd(price), Status: payment.AttemptStarted,
		}
		if a != want || a.Key() != a.ID.String() {
			t.Errorf("%+v, want %+v", a, want)
		}
		if read, err := l.Attempt(t.Context(), a.ShowtimeID, a.ID); err != nil || read != want {
			t.Errorf("read %+v, %v; want %+v", read, err, want)
		}
		if p := l.payment(t, a); p.Status != payment.StatusPending || p.ReservationID != o.ReservationID || p.Gateway != "fake" {
			t.Errorf("the payment is %+v", p)
		}
	})
	for _, status := range states[:len(states)-1] { // after a refund the reservation is over, and booking asks for no more
		t.Run("after_one_that_is_"+string(status), func(t *testing.T) {
			t.Parallel()
			o := l.opening(t)
			first, err := l.open(t, o)
			for _, to := range pathTo[status] {
				if err == nil {
					first, err = l.advance(t, first, payment.Step{To: to})
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			over := status == payment.AttemptDeclined || status == payment.AttemptVoidPending || status == payment.AttemptVoided ||
				status == payment.AttemptRefundPending
			o.IdempotencyKey = typeid.New().String()
			second, err := l.open(t, o)
			if over {
				if err != nil || second.PaymentID != first.PaymentID || second.ID == first.ID {
					t.Errorf("%+v, %v; want another attempt of the same payment", second, err)
				}
			} else if !errors.Is(err, payment.ErrMoved) {
				t.Errorf("%+v, %v; want ErrMoved", second, err)
			}
		})
	}
	t.Run("many_at_once_are_one", func(t *testing.T) {
		t.Parallel()
		o := l.opening(t)
		var mu sync.Mutex
		opened := 0
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				mine := o
				mine.IdempotencyKey = typeid.New().String()
				if _, err := l.open(t, mine); err == nil {
					mu.Lock()
					defer mu.Unlock()
					opened++
				} else if !errors.Is(err, payment.ErrMoved) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if opened != 1 {
			t.Errorf("%d attempts can take money", opened)
		}
	})
	t.Run("for_nothing_is_refused", func(t *testing.T) {
		t.Parallel()
		o := l.opening(t)
		o.Amount = nzd(0)
		if a, err := l.open(t, o); err == nil {
			t.Errorf("%+v", a)
		}
	})
}

func TestService_attempts_of_a_reservation(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	o := l.opening(t)
	first, err := l.open(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = l.advance(t, first, payment.Step{To: payment.AttemptDeclined, DeclineCode: "do_not_honor"}); err != nil {
		t.Fatal(err)
	}
	again := o
	again.IdempotencyKey = typeid.New().String()
	second, err := l.open(t, again)
	if err != nil {
		t.Fatal(err)
	}
	other := l.in(t, payment.AttemptCaptured)
	err = l.DB.InTx(t.Context(), func(tx *sql.Tx) error {
		for _, test := range []struct {
			show, reservation uuid.UUID
			want              payment.Attempt
		}{
			{o.ShowtimeID, o.ReservationID, second},
			{o.ShowtimeID, other.ReservationID, other},
			{l.Showtimes[1].ID, o.ReservationID, payment.Attempt{}},
			{o.ShowtimeID, typeid.New(), payment.Attempt{}},
		} {
			got, ok, err := l.LatestAttemptTx(t.Context(), tx, test.show, test.reservation)
			if err != nil || got != test.want || ok != (test.want != payment.Attempt{}) {
				t.Errorf("%s: %+v, %t, %v; want %+v", test.reservation, got, ok, err, test.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Attempt(t.Context(), o.ShowtimeID, typeid.New()); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("a missing attempt is %+v, %v", got, err)
	}
}

func TestService_LeaseUnsettled(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	unsettled := map[uuid.UUID]bool{}
	for _, status := range states {
		a := l.in(t, status)
		if !status.Settled() && status != payment.AttemptRefundPending { // that is its refund's
			unsettled[a.ID] = true
		}
	}
	lease := func(limit int, d time.Duration) []payment.Attempt {
		t.Helper()
		leased, err := l.LeaseUnsettled(t.Context(), payment.Queue{Gateway: "fake"}, limit, d)
		if err != nil {
			t.Fatal(err)
		}
		return leased
	}
	if got := lease(100, time.Hour); len(got) != 0 {
		t.Errorf("%v are leased to another", got)
	}
	release := func() {
		t.Helper()
		l.Exec(t, `UPDATE payment_attempts SET leased_until = now() - interval '1 second'`)
	}
	release()
	var mu sync.Mutex
	seen := map[uuid.UUID]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			leased, err := l.LeaseUnsettled(t.Context(), payment.Queue{Gateway: "fake"}, 100, time.Hour)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range leased {
				seen[a.ID]++
			}
		})
	}
	all.Wait()
	if len(seen) != len(unsettled) {
		t.Errorf("%d attempts leased, want %d", len(seen), len(unsettled))
	}
	for id, times := range seen {
		if times != 1 || !unsettled[id] {
			t.Errorf("%s was leased %d times; unsettled: %t", id, times, unsettled[id])
		}
	}
	if got := lease(100, time.Hour); len(got) != 0 {
		t.Errorf("%v are leased twice", got)
	}
	release()
	if got := lease(2, time.Hour); len(got) != 2 {
		t.Errorf("%d leased of a limit of 2", len(got))
	}
	rest := lease(100, -time.Second)
	if len(rest) != len(unsettled)-2 {
		t.Errorf("%d leased, want the other %d", len(rest), len(unsettled)-2)
	}
	// A lease that has run out by then is there to be taken; one that is released later is not.
	if err := l.Release(t.Context(), rest[0], time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := lease(100, -time.Second); len(got) != len(rest)-1 {
		t.Errorf("%d leased, want %d", len(got), len(rest)-1)
	}
	if err := l.Release(t.Context(), rest[0], -time.Second); err != nil {
		t.Fatal(err)
	}
	if got := lease(100, time.Hour); len(got) != len(rest) {
		t.Errorf("%d leased, want %d", len(got), len(rest))
	}
}

func TestService_payments(t *testing.T) {
	t.Parallel()
	var statements dbtest.Statements
	db := dbtest.New(t, dbtest.Record(&statements))
	l := &till{World: fixture.New(t, db, fixture.Plan{}), Service: payment.NewService(db)}
	pending, captured := l.in(t, payment.AttemptStarted), l.in(t, payment.AttemptCaptured)
	statements.Take()
	of := func(a payment.Attempt) payment.Reference {
		return payment.Reference{ShowtimeID: a.ShowtimeID, ID: a.ReservationID}
	}
	found, err := l.PaymentsByReservation(t.Context(), []payment.Reference{of(pending), of(captured), {ShowtimeID: l.Show(), ID: typeid.New()}})
	if texts := statements.Take(); err != nil || len(texts) != 1 || len(found) != 2 {
		t.Fatalf("%v, %v, statements %q", found, err, texts)
	}
	if p := found[of(captured)]; p.ID != captured.PaymentID || p.Status != payment.StatusCaptured || p.Refunded != nzd(0) {
		t.Errorf("%+v", p)
	}
	p := found[of(pending)]
	if show, id, err := typeid.DecodeIn(typeid.Payment, p.NodeID()); err != nil || show != p.ShowtimeID || id != p.ID {
		t.Errorf("%s names %s, %s, %v", p.NodeID(), show, id, err)
	}
	ref := payment.Reference{ShowtimeID: p.ShowtimeID, ID: p.ID}
	if got, ok, err := l.PaymentOfViewer(t.Context(), l.Users[0].ID, ref); err != nil || !ok || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v, %t, %v; want %+v", got, ok, err, p)
	}
	if got, ok, err := l.PaymentOfViewer(t.Context(), l.Users[1].ID, ref); err != nil || ok || !reflect.DeepEqual(got, payment.Payment{}) {
		t.Errorf("another customer reads %+v, %t, %v", got, ok, err)
	}
	if got, ok, err := l.PaymentOfViewer(t.Context(), l.Users[0].ID, payment.Reference{ShowtimeID: l.Show(), ID: typeid.New()}); err != nil || ok {
		t.Errorf("a missing payment is %+v, %t, %v", got, ok, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if got, err := l.PaymentsByReservation(ended, []payment.Reference{of(pending)}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", got, err)
	}
}
