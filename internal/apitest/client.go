package apitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"marquee/internal/auth"
	"marquee/internal/gqlclient"
	"marquee/internal/identity"
	"marquee/internal/typeid"
)

// Vars are the variables of an operation.
type Vars map[string]any

// Client speaks to the program as one viewer. It is a value.
type Client struct {
	gqlclient.Client

	User identity.User // zero for an anonymous visitor
	t    testing.TB
}

// Answer is an HTTP answer as it came.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Anonymous returns a client without a session.
func (a *App) Anonymous() Client {
	return Client{Client: gqlclient.Client{URL: a.URL + "/graphql", HTTP: a.http}, t: a.t}
}

// Customer returns a client of a customer whom nobody else is.
func (a *App) Customer() Client { return a.As() }

// Manager returns a client of a manager of all theaters whom nobody else is.
func (a *App) Manager() Client { return a.As(auth.Grant{Role: auth.RoleTheaterManager}) }

// Admin returns a client of an administrator whom nobody else is.
func (a *App) Admin() Client { return a.As(auth.Grant{Role: auth.RoleAdmin}) }

// Password is that of every user whom a client method makes.
const Password = "correct horse battery staple"

// As returns a client of a user whom nobody else is, with grants.
func (a *App) As(grants ...auth.Grant) Client {
	a.t.Helper()
	ctx, cancel := a.patience()
	defer cancel()
	// An id in letters: the digits of a UUID are now and then those of a card, which no name may hold.
	name := strings.ToLower(string(auth.NewGrants(grants...).Highest())) + "-" + typeid.Encode(typeid.User, typeid.New())
	user, err := a.Identity.CreateUser(ctx, identity.SignUpInput{Email: name + "@apitest.example", Name: name, Password: Password}, grants...)
	if err != nil {
		a.t.Fatalf("make an account: %v", err)
	}
	tokens, err := a.Identity.SignIn(ctx, user.Email, Password, identity.Device{Address: name})
	if err == nil && slices.ContainsFunc(grants, auth.Grant.NeedsSecondFactor) {
		tokens, err = a.enrol(ctx, tokens)
	}
	if err != nil {
		a.t.Fatalf("sign in: %v", err)
	}
	c := a.Anonymous()
	c.Token, c.User = tokens.Access, tokens.User
	return c
}

// enrol gives the account of a session an authenticator app, and returns the tokens of the session in which it was proved.
func (a *App) enrol(ctx context.Context, tokens identity.Tokens) (identity.Tokens, error) {
	viewer, err := a.Identity.Authenticate(ctx, tokens.Access)
	if err != nil {
		return tokens, err
	}
	begun, err := a.Identity.BeginTOTP(ctx, viewer)
	if err != nil {
		return tokens, err
	}
	code, err := totp.GenerateCode(begun.Secret, time.Now())
	if err != nil {
		return tokens, err
	}
	enrolled, err := a.Identity.ConfirmTOTP(ctx, viewer, "App", code)
	return enrolled.Tokens, err
}

// With returns a client that reports to another test: a subtest.
func (c Client) With(t testing.TB) Client {
	t.Helper()
	c.t = t
	return c
}

// Get sends an operation and decodes its data into out, which may be nil. An answer with an error fails the test.
func (c Client) Get(query string, vars Vars, out any) {
	c.t.Helper()
	if err := c.Try(query, vars, out); err != nil {
		c.t.Fatalf("%s\n%v", query, err)
	}
}

// Refused sends an operation whose answer must have errors.
func (c Client) Refused(query string, vars Vars) *gqlclient.Error {
	c.t.Helper()
	err := c.Try(query, vars, nil)
	refusal, ok := errors.AsType[*gqlclient.Error](err)
	if !ok {
		c.t.Fatalf("%s\nwas not refused: %v", query, err)
	}
	return refusal
}

// Try sends an operation. It may be called from any goroutine.
func (c Client) Try(query string, vars Vars, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return c.Do(ctx, query, vars, out)
}

// Raw sends an operation and returns the answer as it came.
func (c Client) Raw(query string, vars Vars) Answer {
	c.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		c.t.Fatalf("encode a request: %v", err)
	}
	return c.Post(string(body))
}

// Post sends a body as it is.
func (c Client) Post(body string) Answer {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodPost, c.URL, strings.NewReader(body))
	if err != nil {
		c.t.Fatalf("prepare a request: %v", err)
	}
	r.Header.Set("Content-Type", "application/json")
	return c.Send(r)
}

// Send sends a request with the client's session.
func (c Client) Send(r *http.Request) Answer {
	c.t.Helper()
	if c.Token != "" && r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	response, err := c.HTTP.Do(r.WithContext(ctx))
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: body}
}

// Visit gets an address of the public listener, such as /readyz.
func (a *App) Visit(path string) Answer {
	a.t.Helper()
	r, err := http.NewRequest(http.MethodGet, a.URL+path, http.NoBody)
	if err != nil {
		a.t.Fatalf("prepare a request: %v", err)
	}
	return a.Anonymous().Send(r)
}

// Watch starts a subscription that ends with the test.
func (c Client) Watch(query string, vars Vars) *Watcher {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	s, err := c.Subscribe(ctx, query, vars)
	if err != nil {
		c.t.Fatalf("%s\n%v", query, err)
	}
	c.t.Cleanup(s.Close)
	return &Watcher{s: s, t: c.t}
}

// Watcher reads the events of a subscription.
type Watcher struct {
	s *gqlclient.Subscription
	t testing.TB
}

// Next waits for an event and decodes its data into out. An event with an error, and the end, fail the test.
func (w *Watcher) Next(out any) {
	w.t.Helper()
	if err := w.Try(out); err != nil {
		w.t.Fatalf("wait for an event: %v", err)
	}
}

// Try waits for an event or for the end of the subscription, which it returns as the client's Next does.
func (w *Watcher) Try(out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return w.s.Next(ctx, out)
}

// Close ends the subscription.
func (w *Watcher) Close() { w.s.Close() }

// SeatMap follows a showtime's seats through a subscription.
type SeatMap struct {
	Version int32
	States  []string // by position
	watcher *Watcher
}

const watchSeats = `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) {
	__typename
	... on SeatMapSnapshot { version seatMap { seats { seat { position } state } } }
	... on SeatMapDelta { fromVersion version changes { position state } }
} }`

type seatMapEvent struct {
	SeatMapChanged struct {
		Typename    string `json:"__typename"`
		FromVersion int32
		Version     int32
		SeatMap     struct {
			Seats []struct {
				Seat  struct{ Position int }
				State string
			}
		}
		Changes []struct {
			Position int
			State    string
		}
	}
}

// WatchSeats opens a subscription on a showtime and takes its first event.
func (c Client) WatchSeats(showtimeID string) *SeatMap {
	c.t.Helper()
	m := &SeatMap{watcher: c.Watch(watchSeats, Vars{"id": showtimeID})}
	m.Next()
	return m
}

// Next waits for an event and applies it. A delta that does not follow from the event before it fails the test.
func (m *SeatMap) Next() {
	t := m.watcher.t
	t.Helper()
	var e seatMapEvent
	m.watcher.Next(&e)
	event := e.SeatMapChanged
	switch event.Typename {
	case "SeatMapSnapshot":
		m.States = nil
		for i, seat := range event.SeatMap.Seats {
			if seat.Seat.Position != i+1 {
				t.Fatalf("seat %d of the map has position %d", i+1, seat.Seat.Position)
			}
			m.States = append(m.States, seat.State)
		}
	case "SeatMapDelta":
		if event.FromVersion != m.Version || event.Version <= m.Version {
			t.Fatalf("a delta leads from version %d to %d, but the map has version %d", event.FromVersion, event.Version, m.Version)
		}
		for _, change := range event.Changes {
			m.States[change.Position-1] = change.State
		}
	default:
		t.Fatalf("an event of the unknown type %q", event.Typename)
	}
	m.Version = event.Version
}

// Until applies events until the seats at the positions have a state.
func (m *SeatMap) Until(state string, positions ...int16) {
	m.watcher.t.Helper()
	for {
		done := true
		for _, position := range positions {
			done = done && m.States[position-1] == state
		}
		if done {
			return
		}
		m.Next()
	}
}

// Letters returns the states as the API abbreviates them.
func (m *SeatMap) Letters() string {
	var letters strings.Builder
	for _, state := range m.States {
		letters.WriteString(state[:1])
	}
	return letters.String()
}

// String prints an answer for a failure message.
func (a Answer) String() string { return fmt.Sprintf("%d %s", a.Status, a.Body) }

// GetURL returns the address of a query sent by GET.
func (c Client) GetURL(query string) string { return c.URL + "?query=" + url.QueryEscape(query) }
