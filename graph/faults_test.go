package graph_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/graph"
	"marquee/graph/limit"
	"marquee/graph/transport"
	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/config"
	"marquee/internal/gqlclient"
	"marquee/internal/page"
)

// TestPanic runs the endpoint over services that are not there, so that every resolver panics.
func TestPanic(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{
		"in_a_resolver":            `{ movies(first: 1) { nodes { id } } }`,
		"in_many_at_once":          `{ a: genres { name } b: genres { name } theaters(first: 1) { nodes { id } } }`,
		"in_goroutines_of_its_own": `{ nodes(ids: ["lay_` + nothing + `", "lay_` + nothing + `"]) { id } }`,
		"in_a_mutation":            `mutation { signIn(input: {email: "a@b.example", password: "anything at all"}) { __typename } }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			handler := graph.NewHandler(&graph.Resolver{Cursors: page.NewSigner([]byte("key"))}, graph.Options{
				Log:       slog.New(slog.NewJSONHandler(&log, nil)),
				Classify:  func(error) *apperr.Error { return nil },
				RequestID: func(context.Context) string { return "r1" },
				Limits:    limit.Default, MaxBody: 1 << 10, Timeout: apitest.Patience, Websocket: &transport.Websocket{},
			})
			r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":`+quote(query)+`}`))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			body := w.Body.String()
			if !strings.Contains(body, `"INTERNAL"`) || !strings.Contains(body, "on our side") || strings.Contains(body, "nil pointer") ||
				strings.Contains(body, "goroutine") {
				t.Errorf("%d %s", w.Code, body)
			}
			if !strings.Contains(log.String(), "nil pointer") || !strings.Contains(log.String(), ".go:") {
				t.Errorf("the log lacks the cause or the stack: %s", log.String())
			}
		})
	}
}

func quote(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

// TestOutage takes the database away and gives it back.
func TestOutage(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Cuttable(), apitest.Still())
	customer, show := a.Customer(), a.World.Showtimes[0]
	const query = `{ movies(first: 1) { nodes { title } } }`
	healthy := func() {
		t.Helper()
		if answer := a.Visit("/readyz"); answer.Status != http.StatusOK {
			t.Errorf("/readyz: %v", answer)
		}
		a.Anonymous().Get(query, nil, nil)
		customer.Get(`{ me { name } }`, nil, nil)
	}
	healthy()
	a.CutDatabase()
	if answer := a.Visit("/healthz"); answer.Status != http.StatusOK {
		t.Errorf("/healthz without a database: %v", answer)
	}
	if answer := a.Visit("/readyz"); answer.Status != http.StatusServiceUnavailable || strings.Contains(string(answer.Body), "127.0.0.1") {
		t.Errorf("/readyz without a database: %v", answer)
	}
	for name, refusal := range map[string]*gqlclient.Error{
		"query":    a.Anonymous().Refused(query, nil),
		"sign in":  a.Anonymous().Refused(signIn, vars{"in": vars{"email": "a@b.example", "password": apitest.Password}}),
		"session":  customer.Refused(`{ me { name } }`, nil),
		"seat map": a.Anonymous().Refused(`query ($id: ID!) { seatMap(showtimeId: $id) { stateLetters } }`, vars{"id": show.ID()}),
		"batched":  a.Anonymous().Refused(`query ($id: ID!) { movie(id: $id) { title } }`, vars{"id": a.World.Movies[0].ID()}),
	} {
		problem := refusal.Problems[0]
		if problem.Code != apperr.Unavailable || problem.RequestID == "" || strings.Contains(problem.Message, "127.0.0.1") || strings.Contains(problem.Message, "dial") {
			t.Errorf("%s without a database: %v", name, refusal)
		}
	}
	a.MendDatabase()
	healthy()
	customer.Get(reserveSeats, vars{"in": seatsInput(show, 1)}, nil)
}

// TestTimeout has a statement wait longer than a request may take.
func TestTimeout(t *testing.T) {
	t.Parallel()
	const allowed = 300 * time.Millisecond
	a := apitest.New(t, apitest.Still(), apitest.With(func(c *config.Config) { c.RequestTimeout = allowed }))
	tx, err := a.DB().SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `LOCK TABLE movies`); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	refusal := a.Anonymous().Refused(`{ movies(first: 1) { nodes { title } } }`, nil)
	if took := time.Since(start); took < allowed || took > apitest.Patience/2 {
		t.Errorf("the request was given up after %s", took)
	}
	if problem := refusal.Problems[0]; problem.Code != apperr.Unavailable || !strings.Contains(problem.Message, "too long") {
		t.Errorf("%v", refusal)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	a.Anonymous().Get(`{ movies(first: 1) { nodes { title } } }`, nil, nil)
}

// TestConcurrency asks for the same things from many sides at once: loaders of one request never serve another.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	customers := []apitest.Client{a.Customer(), a.Customer(), a.Customer()}
	ids := make([]string, len(customers))
	for i, c := range customers {
		ids[i] = reserve(t, c, a.World.Showtimes[i], int16(i+1))
	}
	var wait sync.WaitGroup
	for i, c := range customers {
		for range 10 {
			wait.Go(func() {
				var out struct {
					MyReservations struct{ Nodes []struct{ ID string } }
					Nodes          []*struct{ ID string }
				}
				err := c.Try(`query ($ids: [ID!]!) { myReservations(first: 5) { nodes { id showtime { movie { title } } } } nodes(ids: $ids) { id } }`, vars{"ids": ids}, &out)
				if err != nil || len(out.MyReservations.Nodes) != 1 || out.MyReservations.Nodes[0].ID != ids[i] {
					t.Errorf("customer %d sees %+v, %v", i, out.MyReservations, err)
				}
				for j, node := range out.Nodes {
					if (node != nil) != (i == j) {
						t.Errorf("customer %d sees reservation %d: %+v", i, j, node)
					}
				}
			})
		}
	}
	wait.Wait()
}
