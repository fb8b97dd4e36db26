package graph_test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"marquee/internal/apitest"
	"marquee/internal/app"
	"marquee/internal/clock"
	"marquee/internal/config"
)

// standing is what the API tells of an account.
type standing struct {
	RateLimit struct {
		Cost                          int
		Limit, Remaining, RestoreRate *int
		ResetAt                       *time.Time
	}
}

const readRateLimit = `{ rateLimit { cost limit remaining restoreRate resetAt } }`

// metered starts a program whose accounts hold twenty times what is given.
func metered(t *testing.T, viewer, address, purchase int) (*apitest.App, *clock.Fake) {
	t.Helper()
	c := clock.NewFake(time.Now())
	return apitest.New(t, apitest.Still(), apitest.WithSeams(func(s *app.Seams) { s.Clock = c }),
		apitest.With(func(c *config.Config) {
			c.RateViewer, c.RateAddress, c.RatePurchaseViewer, c.RatePurchaseAddress = viewer, address, purchase, purchase
		})), c
}

// spend asks until the account for browsing is empty, and returns the refusal.
func spend(t *testing.T, c apitest.Client) apitest.Answer {
	t.Helper()
	for range 1000 {
		if answer := c.Raw(`{ genres { name } }`, nil); answer.Status != http.StatusOK {
			return answer
		}
	}
	t.Fatal("the account never empties")
	return apitest.Answer{}
}

func TestRates(t *testing.T) {
	t.Parallel()
	t.Run("the_field_tells_how_the_caller_stands", func(t *testing.T) {
		t.Parallel()
		a, c := metered(t, 10, 40, 10)
		customer := a.Customer().With(t)
		var first, second standing
		customer.Get(readRateLimit, nil, &first)
		customer.Get(readRateLimit, nil, &second)
		got := second.RateLimit
		if got.Cost != 1 || *got.Limit != 200 || *got.RestoreRate != 10 || *got.Remaining != *first.RateLimit.Remaining-1 {
			t.Errorf("%+v after %d of %d", got, *first.RateLimit.Remaining, *first.RateLimit.Limit)
		}
		if full := c.Now().Add(time.Duration(200-*got.Remaining) * time.Second / 10); !got.ResetAt.Equal(full.Truncate(time.Millisecond)) {
			t.Errorf("full at %s, want %s", got.ResetAt, full)
		}
		var anonymous standing
		a.Anonymous().With(t).Get(readRateLimit, nil, &anonymous)
		if *anonymous.RateLimit.Limit != 800 {
			t.Errorf("without a session: %+v", anonymous.RateLimit)
		}
	})
	t.Run("it_tells_the_cost_where_nothing_is_limited", func(t *testing.T) {
		t.Parallel()
		a := apitest.New(t, apitest.Still())
		var out standing
		a.Anonymous().With(t).Get(`{ rateLimit { cost limit remaining restoreRate resetAt } genres { name } }`, nil, &out)
		if got := out.RateLimit; got.Cost != 21 || got.Limit != nil || got.Remaining != nil || got.RestoreRate != nil || got.ResetAt != nil {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a_refusal_says_when_to_come_back", func(t *testing.T) {
		t.Parallel()
		a, c := metered(t, 10, 40, 10)
		customer := a.Customer().With(t)
		refused := spend(t, customer)
		shown := errorsOf(t, refused)
		seconds := shown[0].Extensions.RetryAfter
		if refused.Status != http.StatusTooManyRequests || shown[0].Extensions.Code != "THROTTLED" || seconds < 1 || seconds > 20 ||
			refused.Header.Get("Retry-After") != strconv.Itoa(seconds) {
			t.Errorf("%v, Retry-After %q", refused, refused.Header.Get("Retry-After"))
		}
		r, err := http.NewRequest(http.MethodPost, customer.URL, strings.NewReader(`{"query":"{ genres { name } }"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/graphql-response+json")
		if answer := customer.Send(r); answer.Status != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
			t.Errorf("in the other type of content: %v", answer)
		}
		c.Advance(time.Duration(seconds) * time.Second)
		customer.Get(`{ genres { name } }`, nil, nil)
	})
	t.Run("answers_tell_what_remains", func(t *testing.T) {
		t.Parallel()
		a, _ := metered(t, 1000, 4000, 10)
		customer := a.Customer().With(t)
		var body struct {
			Extensions struct {
				Cost *struct {
					RequestedQueryCost int
					ThrottleStatus     struct{ MaximumAvailable, CurrentlyAvailable, RestoreRate int }
				}
			}
		}
		answer := customer.Raw(`{ genres { name } }`, nil)
		if err := json.Unmarshal(answer.Body, &body); err != nil {
			t.Fatal(err)
		}
		cost := body.Extensions.Cost
		if cost == nil || cost.RequestedQueryCost != 20 || cost.ThrottleStatus.MaximumAvailable != 20_000 || cost.ThrottleStatus.RestoreRate != 1000 ||
			cost.ThrottleStatus.CurrentlyAvailable >= 20_000-20 || cost.ThrottleStatus.CurrentlyAvailable < 20_000-40 {
			t.Errorf("%v", answer)
		}
		r, err := http.NewRequest(http.MethodGet, customer.GetURL(`{ genres { name } }`), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if answer := customer.Send(r); answer.Status != http.StatusOK || strings.Contains(string(answer.Body), "requestedQueryCost") {
			t.Errorf("by GET, whose answers may be shared: %v", answer)
		}
	})
	t.Run("browsing_never_starves_a_purchase", func(t *testing.T) {
		t.Parallel()
		a, _ := metered(t, 10, 40, 100)
		customer := a.Customer().With(t)
		spend(t, customer)
		reservation := reserve(t, customer, a.World.Showtimes[0], 1)
		pay(t, customer, reservation)
		if answer := customer.Raw(`{ genres { name } }`, nil); answer.Status != http.StatusTooManyRequests {
			t.Errorf("browsing goes on: %v", answer)
		}
	})
	t.Run("purchases_never_starve_browsing", func(t *testing.T) {
		t.Parallel()
		a, _ := metered(t, 1000, 4000, 10)
		customer := a.Customer().With(t)
		input := vars{"in": seatsInput(a.World.Showtimes[0])}
		var answer apitest.Answer
		for range 100 {
			if answer = customer.Raw(reserveSeats, input); answer.Status != http.StatusOK {
				break
			}
		}
		if answer.Status != http.StatusTooManyRequests {
			t.Fatalf("purchases are not limited: %v", answer)
		}
		customer.Get(`{ genres { name } }`, nil, nil)
	})
	t.Run("an_address_limits_everybody_behind_it", func(t *testing.T) {
		t.Parallel()
		a, _ := metered(t, 1000, 4, 10)
		anonymous := a.Anonymous().With(t)
		spend(t, anonymous)
		if answer := a.Customer().With(t).Raw(`{ genres { name } }`, nil); answer.Status != http.StatusTooManyRequests {
			t.Errorf("a customer at an address that has nothing left: %v", answer)
		}
	})
	t.Run("a_trusted_proxy_names_the_address", func(t *testing.T) {
		t.Parallel()
		a := apitest.New(t, apitest.Still(), apitest.With(func(c *config.Config) {
			c.RateAddress = 1
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}))
		ask := func(client string) int {
			r, err := http.NewRequest(http.MethodPost, a.Anonymous().URL, strings.NewReader(`{"query":"{ genres { name } }"}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Forwarded-For", client)
			return a.Anonymous().With(t).Send(r).Status
		}
		// The first execution of 20 points is refused, since the reading took some: the next finds the document known.
		for _, client := range []string{"198.51.100.1", "198.51.100.2", "2001:db8:1:2::1"} {
			ask(client)
		}
		if status := ask("2001:db8:1:3::1"); status != http.StatusOK {
			t.Errorf("an address that never asked: %d", status)
		}
		if status := ask("2001:db8:1:3::ffff"); status != http.StatusTooManyRequests {
			t.Errorf("another address of the same network: %d", status)
		}
	})
	t.Run("a_socket_outlives_a_refusal", func(t *testing.T) {
		t.Parallel()
		a, c := metered(t, 10, 10, 10)
		spend(t, a.Anonymous().With(t))
		s := newSocket(t, a)
		s.send(`{"id":"1","type":"subscribe","payload":{"query":"{ genres { name } }"}}`)
		refused := s.next("1")
		if refused.Type != "error" || !strings.Contains(string(refused.Payload), `"THROTTLED"`) || !strings.Contains(string(refused.Payload), `"retryAfter"`) {
			t.Fatalf("%s %s", refused.Type, refused.Payload)
		}
		c.Advance(20 * time.Second)
		s.send(`{"id":"2","type":"subscribe","payload":{"query":"{ genres { name } }"}}`)
		if answer := s.next("2"); answer.Type != "next" {
			t.Errorf("%s %s", answer.Type, answer.Payload)
		}
	})
}

// socket speaks graphql-transport-ws without a client's help.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

type socketMessage struct {
	ID, Type string
	Payload  json.RawMessage
}

func newSocket(t *testing.T, a *apitest.App) socket {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	conn, answer, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(a.URL, "http")+"/graphql", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	t.Cleanup(func() { _ = conn.Close() })
	s := socket{t, conn}
	s.send(`{"type":"connection_init"}`)
	if ack := s.next(""); ack.Type != "connection_ack" {
		t.Fatalf("%+v", ack)
	}
	return s
}

func (s socket) send(text string) {
	s.t.Helper()
	if err := s.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// next returns the next message about an operation.
func (s socket) next(id string) (m socketMessage) {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(apitest.Patience)); err != nil {
		s.t.Fatal(err)
	}
	for {
		m = socketMessage{}
		if err := s.conn.ReadJSON(&m); err != nil {
			s.t.Fatal(err)
		}
		if m.ID == id && m.Type != "ping" && m.Type != "pong" {
			return m
		}
	}
}
