package graph_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/config"
	"marquee/internal/identity"
)

// eventStream is a stream of server-sent events, read to its end by one goroutine.
type eventStream struct {
	*http.Response
	t      *testing.T
	events chan string // "name data"; closed at the end of the stream
	leave  context.CancelFunc
}

// watchEvents opens a stream with POST, or with GET for a document that needs no session.
func watchEvents(t *testing.T, c apitest.Client, method, query string, variables vars) *eventStream {
	t.Helper()
	ctx, leave := context.WithTimeout(t.Context(), apitest.Patience)
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	target := c.URL
	if method == http.MethodGet {
		encoded, err := json.Marshal(variables)
		if err != nil {
			t.Fatal(err)
		}
		target, body = target+"?"+url.Values{"query": {query}, "variables": {string(encoded)}}.Encode(), nil
	}
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Accept-Encoding", "gzip, zstd")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	s := &eventStream{Response: response, t: t, events: make(chan string), leave: leave}
	ended := make(chan struct{})
	t.Cleanup(func() {
		leave()
		_ = response.Body.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		defer close(s.events)
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		name := ""
		for lines.Scan() {
			switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
			case "event":
				name = value
			case "data":
				select {
				case s.events <- strings.TrimSpace(name + " " + value):
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return s
}

// next returns the next event, "" at the end of the stream.
func (s *eventStream) next() string {
	s.t.Helper()
	select {
	case event := <-s.events:
		return event
	case <-time.After(apitest.Patience):
		s.t.Fatal("no event comes")
		return ""
	}
}

func (s *eventStream) want(parts ...string) {
	s.t.Helper()
	for _, part := range parts {
		if got := s.next(); !strings.Contains(got, part) || part == "" && got != "" {
			s.t.Fatalf("got %q, want %q", got, part)
		}
	}
}

const watchSeats = `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { __typename ... on SeatMapDelta { changes { state } } } }`

// TestEvents watches through the whole server: its middleware, its timeouts, its sessions.
func TestEvents(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.With(func(c *config.Config) { c.RequestTimeout = 200 * time.Millisecond }))
	show := a.World.Showtimes[0]

	t.Run("seats_live", func(t *testing.T) {
		t.Parallel()
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			s := watchEvents(t, a.Anonymous(), method, watchSeats, vars{"id": show.ID()})
			if got := s.Header.Get("Content-Type"); s.StatusCode != http.StatusOK || got != "text/event-stream; charset=utf-8" || s.Header.Get("Content-Encoding") != "" {
				t.Fatalf("%d %s in %q", s.StatusCode, got, s.Header.Get("Content-Encoding"))
			}
			s.want(`next {"data":{"seatMapChanged":{"__typename":"SeatMapSnapshot"`)
			c := a.Customer().With(t)
			// Reserving goes on for longer than a query may take: the stream is no query.
			for start := time.Now(); time.Since(start) < 2*a.Config.RequestTimeout; {
				id := reserve(t, c, show, 1)
				s.want(`"HELD"`)
				cancel(c, id)
				s.want(`"AVAILABLE"`)
			}
			s.leave()
		}
	})
	t.Run("query_and_mutation", func(t *testing.T) {
		t.Parallel()
		c := a.Customer()
		s := watchEvents(t, c, http.MethodPost, `{ me { email } }`, nil)
		s.want(`next {"data":{"me":{"email":"`+c.User.Email, "complete", "")
		s = watchEvents(t, c, http.MethodPost, `mutation { signOut { signedOut } }`, nil)
		s.want(`next {"data":{"signOut":{"signedOut":true}}`, "complete", "")
	})
	t.Run("what_is_wrong_with_the_operation", func(t *testing.T) {
		t.Parallel()
		s := watchEvents(t, a.Anonymous(), http.MethodPost, watchSeats, vars{"id": "sho_?"})
		s.want(`"code":"BAD_USER_INPUT"`, "complete", "")
		s = watchEvents(t, a.Anonymous(), http.MethodPost, `subscription { nothing }`, nil)
		s.want(`"code":"BAD_USER_INPUT"`, "complete", "")
	})
	t.Run("what_is_wrong_with_the_request", func(t *testing.T) {
		t.Parallel()
		nobody := a.Anonymous()
		nobody.Token = "nobody"
		for status, s := range map[int]*eventStream{
			http.StatusUnauthorized:     watchEvents(t, nobody, http.MethodPost, `{ me { email } }`, nil),
			http.StatusMethodNotAllowed: watchEvents(t, a.Anonymous(), http.MethodGet, `mutation { signOut { signedOut } }`, nil),
		} {
			if s.StatusCode != status || strings.HasPrefix(s.Header.Get("Content-Type"), "text/event-stream") {
				t.Errorf("%d %s, want %d", s.StatusCode, s.Header.Get("Content-Type"), status)
			}
		}
	})
	// The interval of rechecks is 3 s; the rest is for a busy machine.
	const soon = 10 * time.Second
	t.Run("signing_out_ends_it", func(t *testing.T) {
		t.Parallel()
		c := a.Customer().With(t)
		s := watchEvents(t, c, http.MethodPost, watchSeats, vars{"id": show.ID()})
		s.want("SeatMapSnapshot")
		start := time.Now()
		c.Get(`mutation { signOut { signedOut } }`, nil, nil)
		untilRefused(s)
		if took := time.Since(start); took > soon {
			t.Errorf("the stream ended after %s", took)
		}
	})
	t.Run("a_demotion_ends_it", func(t *testing.T) {
		t.Parallel()
		c := a.Manager().With(t)
		s := watchEvents(t, c, http.MethodPost, watchSeats, vars{"id": show.ID()})
		s.want("SeatMapSnapshot")
		start := time.Now()
		in := identity.ChangeGrantInput{UserID: c.User.ID, Grant: auth.Grant{Role: auth.RoleTheaterManager}, Reason: "on leave"}
		if err := a.Identity.RevokeRole(t.Context(), a.Identity.Operator(), in); err != nil {
			t.Fatal(err)
		}
		untilRefused(s)
		if took := time.Since(start); took > soon {
			t.Errorf("the stream ended after %s", took)
		}
	})
}

// untilRefused reads seats that others reserve until the stream is refused and over.
func untilRefused(s *eventStream) {
	s.t.Helper()
	for {
		event := s.next()
		if strings.Contains(event, `"UNAUTHENTICATED"`) {
			s.want("complete", "")
			return
		}
		if !strings.Contains(event, "SeatMapDelta") {
			s.t.Fatalf("got %q", event)
		}
	}
}

// TestEvents_drain ends a stream without complete, so that its client comes back elsewhere.
func TestEvents_drain(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	s := watchEvents(t, a.Anonymous(), http.MethodPost, watchSeats, vars{"id": a.World.Showtimes[0].ID()})
	s.want("SeatMapSnapshot")
	a.Stop()
	s.want("")
}

// TestEvents_client_goes frees the place of a stream whose client has gone.
func TestEvents_client_goes(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	open := func() string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.OpsURL+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(body), "\nmarquee_websockets_open ")
		count, _, _ := strings.Cut(after, "\n")
		return count
	}
	var streams []*eventStream
	for range 3 {
		s := watchEvents(t, a.Anonymous(), http.MethodPost, watchSeats, vars{"id": a.World.Showtimes[0].ID()})
		s.want("SeatMapSnapshot")
		streams = append(streams, s)
	}
	if got := open(); got != "3" {
		t.Fatalf("%s are open, want 3", got)
	}
	for _, s := range streams {
		s.leave()
	}
	for deadline := time.Now().Add(apitest.Patience); open() != "0"; {
		if time.Now().After(deadline) {
			t.Fatal(fmt.Sprint(open(), " are still open"))
		}
	}
}
