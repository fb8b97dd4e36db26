package booking_test

import (
	"crypto/rand"
	"sync/atomic"
	"testing"
	"time"

	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/dbtest"
	"marquee/internal/dbtest/fixture"
)

// limited are settings with the limits of an open box office, but tight.
func limited(change func(*booking.Config)) booking.Config {
	cfg := settings
	change(&cfg)
	return cfg
}

// TestS10_BK4_seats_of_one_source asks for seats from fifty accounts at one address, or on one device, at once, through
// two processes: together they get what one may have, and not a seat more.
func TestS10_BK4_seats_of_one_source(t *testing.T) {
	t.Parallel()
	const most, accounts = 10, 50
	for name, source := range map[string]struct {
		limit  func(*booking.Config)
		of     booking.LimitOf
		column string
		say    func(in *booking.ReserveInput, source string)
	}{
		"address": {
			func(c *booking.Config) { c.SeatsPerAddress = most }, booking.LimitOfAddress, "source",
			func(in *booking.ReserveInput, source string) { in.Address = source },
		},
		"device": {
			func(c *booking.Config) { c.SeatsPerAddress, c.SeatsPerDevice = accounts, most }, booking.LimitOfDevice, "device",
			func(in *booking.ReserveInput, source string) { in.Address, in.Device = rand.Text(), source },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, fixture.Plan{Seats: 100, MaxSeats: 100})
			cfg := limited(source.limit)
			processes := []*booking.Service{h.process(h.gateway, cfg), h.process(h.gateway, cfg)}
			from := func(name string, positions ...int) booking.ReserveInput {
				in := h.request(positions...)
				source.say(&in, name)
				return in
			}
			var won atomic.Int64
			together(accounts, func(i int) {
				result, err := processes[i%2].Reserve(t.Context(), newViewer(), from("the same", 2*i+1, 2*i+2))
				switch got := result.(type) {
				case booking.Reserved:
					won.Add(2)
				case booking.LimitExceeded:
					if got.Of != source.of || got.Limit != most {
						t.Errorf("refused with %+v", got)
					}
				default:
					t.Errorf("%#v, %v", result, err)
				}
			})
			if won.Load() != most {
				t.Errorf("%d seats went to the same, want %d", won.Load(), most)
			}
			result, err := processes[0].Reserve(t.Context(), newViewer(), from("the same", 1))
			if got, want := is[booking.LimitExceeded](t, result, err), (booking.LimitExceeded{Of: source.of, Limit: most}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			// Nobody else is counted with them, nor anything elsewhere; and what is given back is no more counted.
			free := fixture.Get[int](t, h.DB, `SELECT min(n) FROM generate_series(1, 100) n WHERE n NOT IN (SELECT seat_no FROM seat_claims WHERE showtime_id = $1)`, h.Show())
			for _, other := range []string{"another", ""} {
				viewer := newViewer()
				result, err := processes[0].Reserve(t.Context(), viewer, from(other, free))
				held := is[booking.Reserved](t, result, err).Reservation
				if _, err := h.booking.Cancel(t.Context(), viewer, cancelInput(held)); err != nil {
					t.Fatal(err)
				}
			}
			h.Exec(t, `UPDATE reservations SET held_until = now() - interval '1 second' WHERE id = (SELECT id FROM reservations WHERE status = 'HELD' LIMIT 1)`)
			result, err = processes[1].Reserve(t.Context(), newViewer(), from("the same", free))
			is[booking.Reserved](t, result, err)
			if n := fixture.Get[int](t, h.DB, `SELECT count(DISTINCT `+source.column+`) FROM idempotency_keys`); n != 2 {
				t.Errorf("%d names are kept, want 2", n)
			}
		})
	}
}

// TestBK4_hold_release_hold makes whoever lets their holds end again and again wait, at that showtime alone.
func TestBK4_hold_release_hold(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	const most = 3
	cfg := limited(func(c *booking.Config) { c.IdleHolds, c.IdleWindow = most, time.Hour })
	furnish := func(t *testing.T) *house {
		t.Helper()
		h := houseIn(t, db, fixture.Plan{Showtimes: 2})
		h.booking = h.process(h.gateway, cfg)
		return h
	}
	ends := map[string]func(*testing.T, *house, booking.Reservation){
		"given_back": func(t *testing.T, h *house, r booking.Reservation) {
			t.Helper()
			result, err := h.booking.Cancel(t.Context(), viewerOf(r), cancelInput(r))
			is[booking.Cancelled](t, result, err)
		},
		"run_out": func(t *testing.T, h *house, r booking.Reservation) { t.Helper(); h.Expire(t, r.ShowtimeID, r.ID) },
		"swept": func(t *testing.T, h *house, r booking.Reservation) {
			t.Helper()
			h.Expire(t, r.ShowtimeID, r.ID)
			if _, _, err := h.booking.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := furnish(t)
			viewer := newViewer()
			for range most {
				end(t, h, h.hold(t, viewer, 11, 12))
			}
			result, err := h.booking.Reserve(t.Context(), viewer, h.request(11, 12))
			if got := is[booking.CoolingDown](t, result, err); got.Wait > time.Hour || got.Wait < 50*time.Minute {
				t.Errorf("waits %s", got.Wait)
			}
			h.hold(t, newViewer(), 11)
			elsewhere := h.request(11)
			elsewhere.ShowtimeID = h.Showtimes[1].ID
			result, err = h.booking.Reserve(t.Context(), viewer, elsewhere)
			is[booking.Reserved](t, result, err)
			// An hour after the first of the three there is one less.
			h.Exec(t, `UPDATE reservations SET ended_at = ended_at - interval '50 minutes', held_until = held_until - interval '50 minutes' WHERE viewer_id = $1`, viewer.UserID)
			result, err = h.booking.Reserve(t.Context(), viewer, h.request(12))
			if got := is[booking.CoolingDown](t, result, err); got.Wait > 10*time.Minute || got.Wait < 5*time.Minute {
				t.Errorf("waits %s, ten minutes before it is over", got.Wait)
			}
			h.Exec(t, `UPDATE reservations SET ended_at = ended_at - interval '10 minutes', held_until = held_until - interval '10 minutes' WHERE viewer_id = $1`, viewer.UserID)
			h.hold(t, viewer, 12)
		})
	}
	t.Run("paid_ones_do_not_count", func(t *testing.T) {
		t.Parallel()
		h := furnish(t)
		viewer := newViewer()
		for range most + 1 {
			ends["given_back"](t, h, h.buy(t, viewer, 11))
		}
		h.hold(t, viewer, 11)
	})
	t.Run("fifty_at_once_do_not_slip_through", func(t *testing.T) {
		t.Parallel()
		h := furnish(t)
		viewer := newViewer()
		for range most {
			ends["given_back"](t, h, h.hold(t, viewer, 11))
		}
		together(50, func(i int) {
			result, err := h.booking.Reserve(t.Context(), viewer, h.request(11+i%20))
			if _, ok := result.(booking.CoolingDown); !ok {
				t.Errorf("%#v, %v", result, err)
			}
		})
	})
}

// viewerOf returns whose reservation it is.
func viewerOf(r booking.Reservation) auth.Viewer { return auth.Viewer{UserID: r.ViewerID} }
