package webhook_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/payment/sandbox"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }

type vars = apitest.Vars

// reserve holds a seat of the first showtime.
func reserve(t *testing.T, a *apitest.App, c apitest.Client, position int16) (id string) {
	t.Helper()
	var out struct {
		ReserveSeats struct{ Reservation struct{ ID string } }
	}
	show := a.World.Showtimes[0]
	c.Get(`mutation ($in: ReserveSeatsInput!) { reserveSeats(input: $in) { ... on ReserveSeatsPayload { reservation { id } } } }`,
		vars{"in": vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(position), "idempotencyKey": typeid.New().String()}}, &out)
	return out.ReserveSeats.Reservation.ID
}

// pay pays with an instrument and returns the key of the charge.
func pay(t *testing.T, a *apitest.App, c apitest.Client, reservation, token string) (key string) {
	t.Helper()
	c.Get(`mutation ($in: PayReservationInput!) { payReservation(input: $in) { __typename } }`,
		vars{"in": vars{"reservationId": reservation, "idempotencyKey": typeid.New().String(), "paymentToken": token}}, nil)
	_, id, err := typeid.DecodeIn(typeid.Reservation, reservation)
	if err != nil {
		t.Fatal(err)
	}
	return apitest.Value[string](a, `SELECT a.id FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.reservation_id = $1 ORDER BY a.number DESC LIMIT 1`, id)
}

// status is where a reservation stands.
func status(a *apitest.App, c apitest.Client, reservation string) string {
	var out struct {
		Node struct{ Status string }
	}
	c.Get(`query ($id: ID!) { node(id: $id) { ... on Reservation { status } } }`, vars{"id": reservation}, &out)
	return out.Node.Status
}

// charge is what the bank's books say of a key.
func charge(t *testing.T, a *apitest.App, key string) sandbox.Charge {
	t.Helper()
	for _, c := range a.Bank.Charges() {
		if c.Key == key {
			return c
		}
	}
	t.Fatalf("the bank knows no charge %s", key)
	panic("unreachable")
}

// work has a node do jobs, and nothing else by itself, until the test is over.
func work(t *testing.T, a *apitest.App) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := a.Jobs.Run(ctx); err != nil {
			t.Errorf("doing jobs: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wait.Wait() })
}

// await waits until a query of the database, which counts something, says so many.
func await(t *testing.T, a *apitest.App, want int64, query string, args ...any) {
	t.Helper()
	var got int64
	for end := time.Now().Add(apitest.Patience); time.Now().Before(end); {
		if got = apitest.Value[int64](a, query, args...); got == want {
			return
		}
	}
	t.Fatalf("%s %v: %d, want %d; events:\n%s", query, args, got, want, apitest.Value[string](a, `SELECT coalesce(string_agg(e::text, E'\n'), 'none') FROM webhook_events e`))
}
