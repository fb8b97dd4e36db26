package booking_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
	bank "marquee/internal/payment/sandbox/server"
	"marquee/internal/postgres"
)

// What a process is told by that is to exit at a failpoint.
const (
	crashDatabase = "MARQUEE_TEST_CRASH_DATABASE"
	crashBank     = "MARQUEE_TEST_CRASH_BANK"
	crashCommand  = "MARQUEE_TEST_CRASH_COMMAND"
	crashAt       = "MARQUEE_TEST_CRASH_AT"
	crashShow     = "MARQUEE_TEST_CRASH_SHOW"
	crashHeld     = "MARQUEE_TEST_CRASH_RESERVATION"
	crashViewer   = "MARQUEE_TEST_CRASH_VIEWER"
	crashKey      = "MARQUEE_TEST_CRASH_KEY"
	// crashSeeds is how many seeds are tried; `make prove-payments` sets it.
	crashSeeds = "MARQUEE_TEST_CRASH_SEEDS"
)

// crashed is the exit code of a process that has reached its failpoint.
const crashed = 86

// failpoints count what a process passes, and end it at one of them as a failing machine would: no function returns, nothing is rolled
// back but by the database. They are just before and just after each call to the gateway, which is after the commit before it and before
// the commit after it, and just after each commit that others are told of.
type failpoints struct{ left int }

func (f *failpoints) pass() {
	if f.left--; f.left == 0 {
		os.Exit(crashed)
	}
}

// brittle is a gateway with failpoints around it.
type brittle struct {
	payment.Gateway

	at *failpoints
}

func around[T any](at *failpoints, call func() (T, error)) (T, error) {
	at.pass()
	answer, err := call()
	at.pass()
	return answer, err
}

func (b brittle) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	return around(b.at, func() (payment.Charge, error) { return b.Gateway.Authorize(ctx, key, request) })
}

func (b brittle) Capture(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	return around(b.at, func() (payment.Charge, error) { return b.Gateway.Capture(ctx, key, amount) })
}

func (b brittle) Void(ctx context.Context, key string) (payment.Charge, error) {
	return around(b.at, func() (payment.Charge, error) { return b.Gateway.Void(ctx, key) })
}

func (b brittle) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
	return around(b.at, func() (payment.ChargeRefund, error) { return b.Gateway.Refund(ctx, key, refundKey, amount) })
}

func (b brittle) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	return around(b.at, func() (payment.Charge, error) { return b.Gateway.Lookup(ctx, key) })
}

// TestCrashChild is what a process does that is to exit at a failpoint; by itself it does nothing.
func TestCrashChild(t *testing.T) {
	t.Parallel()
	url, told := os.LookupEnv(crashDatabase)
	if !told {
		return
	}
	at, err := strconv.Atoi(os.Getenv(crashAt))
	if err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	points := &failpoints{left: at}
	gateway := sandbox.New(sandbox.Config{URL: os.Getenv(crashBank), Key: bankKey})
	node := (&house{World: &fixture.World{DB: db}, post: &post{}}).processTelling(brittle{gateway, points}, settings, func(uuid.UUID) { points.pass() })
	viewer := auth.Viewer{UserID: uuid.MustParse(os.Getenv(crashViewer))}
	r := booking.Reservation{ShowtimeID: uuid.MustParse(os.Getenv(crashShow)), ID: uuid.MustParse(os.Getenv(crashHeld))}
	switch os.Getenv(crashCommand) {
	case "pay":
		_, err = node.Pay(t.Context(), viewer, booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: os.Getenv(crashKey)})
	case "cancel":
		_, err = node.Cancel(t.Context(), viewer, cancelInput(r))
	case "reconcile":
		_, err = node.Reconcile(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestP1_P2_crash_at_every_failpoint lets a process exit at each failpoint of a checkout, of a refund and of a reconciler that finds late
// money, one after the other, and retries as its customer and its fellows would. Whatever the gateway's journal has taken and not given
// back is then what the confirmed reservations come to, and what the ledger has: nothing remains.
func TestP1_P2_crash_at_every_failpoint(t *testing.T) {
	t.Parallel()
	seeds := 1
	if set, ok := os.LookupEnv(crashSeeds); ok {
		var err error
		if seeds, err = strconv.Atoi(set); err != nil {
			t.Fatal(err)
		}
	}
	points := 0
	for seed := range seeds {
		points += crashAll(t, uint64(seed))
	}
	if least := 14 * seeds; points < least {
		t.Errorf("%d failpoints, want %d at least", points, least)
	}
	if !t.Failed() {
		t.Logf("RESULT seeds=%d crashes=%d remainder=0", seeds, points)
	}
}

// crashAll crashes at every failpoint of every command in a house of its own, and returns how many there were.
func crashAll(t *testing.T, seed uint64) (points int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	url := dbtest.NewURL(t)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	h, vault := houseIn(t, db, fixture.Plan{Seats: 200, MaxSeats: 200}), newBank(t)
	line := httptest.NewServer(vault)
	defer line.Close()
	node := h.process(sandbox.New(sandbox.Config{URL: line.URL, Key: bankKey}), settings)
	crash := func(command string, viewer auth.Viewer, r booking.Reservation, key string, at int) (over bool) {
		t.Helper()
		process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$")
		process.Env = slices.Concat(os.Environ(), []string{
			"TMPDIR=" + t.TempDir(), crashDatabase + "=" + url, crashBank + "=" + line.URL, crashCommand + "=" + command, crashAt + "=" + strconv.Itoa(at),
			crashShow + "=" + r.ShowtimeID.String(), crashHeld + "=" + r.ID.String(), crashViewer + "=" + viewer.UserID.String(), crashKey + "=" + key,
		})
		said, err := process.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != crashed) {
			t.Fatalf("%s, failpoint %d: %v\n%s", command, at, err, said)
		}
		if breaches, err := audit(t.Context(), db.SQL(), always); err != nil || len(breaches) != 0 {
			t.Errorf("%s, just after a crash at failpoint %d: %q, %v", command, at, breaches, err)
		}
		return err == nil
	}
	for _, command := range []string{"pay", "cancel", "reconcile"} {
		for at := 1; ; at++ {
			viewer, key := newViewer(), newKey()
			r := h.hold(t, viewer, h.fresh(1+random.IntN(3))...)
			in := booking.PayInput{ShowtimeID: r.ShowtimeID, ReservationID: r.ID, IdempotencyKey: key}
			if command == "pay" && random.IntN(2) == 0 {
				op := []bank.Op{"AUTHORIZE", "CAPTURE"}[random.IntN(2)]
				if err := vault.Inject(bank.Fault{Op: op, Do: "FAIL_AFTER", Times: 1}); err != nil {
					t.Fatal(err)
				}
			}
			switch command {
			case "cancel":
				result, err := node.Pay(t.Context(), viewer, in)
				is[booking.Paid](t, result, err)
			case "reconcile": // of money that is late
				in.Token, in.ReturnURL = "tok_challenge", "https://tickets.example/paid"
				result, err := node.Pay(t.Context(), viewer, in)
				is[booking.Pending](t, result, err)
				h.Expire(t, r.ShowtimeID, r.ID)
				if _, err := vault.Resolve(h.attemptOf(t, r), true); err != nil {
					t.Fatal(err)
				}
				h.endLeases(t)
			}
			over := crash(command, viewer, r, key, at)
			// The customer asks again with the same key, and another process takes over what is left.
			switch command {
			case "cancel":
				_, err = node.Cancel(t.Context(), viewer, cancelInput(r))
			case "pay": // in fifty tabs
				const tabs = 50
				together(tabs, func(int) {
					if _, err := node.Pay(t.Context(), viewer, in); err != nil {
						t.Errorf("asking again after a crash at failpoint %d: %v", at, err)
					}
				})
				if n := len(h.attempts(t, r)); n != 1 {
					t.Errorf("after a crash at failpoint %d one key has made %d attempts", at, n)
				}
			default:
				_, err = node.Pay(t.Context(), viewer, in)
			}
			if err != nil {
				t.Fatal(err)
			}
			h.endLeases(t)
			if _, err := node.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if over {
				break
			}
			points++
		}
	}
	for _, table := range []string{"reservations", "seat_claims"} {
		h.Exec(t, `UPDATE `+table+` SET held_until = now() - interval '1 second' WHERE held_until IS NOT NULL`)
	}
	h.sweep(t)
	breaches, err := audit(t.Context(), db.SQL(), slices.Concat(always, atRest))
	if err != nil {
		t.Fatal(err)
	}
	unequal, err := compareBooks(t.Context(), db.SQL(), bankBooks(vault))
	if err != nil {
		t.Fatal(err)
	}
	for _, breach := range slices.Concat(breaches, unequal) {
		t.Errorf("seed %d: %s", seed, breach)
	}
	remainder := -fixture.Get[int64](t, db, `SELECT coalesce(sum(amount_minor), 0) FROM reservations WHERE status = 'CONFIRMED'`)
	for _, charge := range vault.Charges() {
		remainder += charge.Told().Captured.AmountMinor - charge.Told().Refunded.AmountMinor
	}
	if remainder != 0 {
		t.Errorf("seed %d: the gateway has %d more than the reservations come to", seed, remainder)
	}
	return points
}
