package graph_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"marquee/internal/apitest"
	"marquee/internal/config"
)

// The documents of the manifest, and one that is not in it.
const (
	listedMovies   = `query Movies { movies(first: 2) { nodes { title } } }`
	listedMe       = `query Me { me { email } }`
	listedSignOut  = `mutation SignOut { signOut { signedOut } }`
	listedSeats    = `subscription Seats($id: ID!) { seatMapChanged(showtimeId: $id) { __typename } }`
	listedRates    = `query Rates { movies(first: 2) { nodes { title } } rateLimit { cost } }`
	listedShowings = `query Showings { genres { name } showtimes(first: 2) { nodes { movie { title } } } }`
	listedMissing  = `query Missing { movie(id: "mov_00000000000000000000000000") { title } }`
	listedMixed    = `query Mixed { movies(first: 2) { nodes { title } } myReservations(first: 1) { nodes { id } } }`
	unlisted       = `query Unlisted { movies(first: 1) { nodes { title } } }`
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// withManifest starts the program with the listed documents: under ids of their own, and by their hash.
func withManifest(t *testing.T, mode string) apitest.Option {
	t.Helper()
	data, err := json.Marshal(map[string]string{
		"movies": listedMovies, "me": listedMe, "signOut": listedSignOut, "seats": listedSeats, "rates": listedRates,
		"showings": listedShowings, "missing": listedMissing, "mixed": listedMixed,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "manifest.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return apitest.With(func(c *config.Config) { c.PersistedDocuments, c.PersistedMode = path, mode })
}

// apq is a request of Apollo's and urql's persisted queries; text may be "".
func apq(hash, text string) string {
	query := ""
	if text != "" {
		query = fmt.Sprintf(`"query":%q,`, text)
	}
	return fmt.Sprintf(`{%s"extensions":{"persistedQuery":{"version":1,"sha256Hash":%q}}}`, query, hash)
}

// get sends a GET with the given parameters and headers.
func get(t *testing.T, c apitest.Client, method string, parameters url.Values, headers ...string) apitest.Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.URL+"?"+parameters.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return c.With(t).Send(r)
}

func TestPersisted(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, withManifest(t, "off"))
	anybody := a.Anonymous()
	executed := func(t *testing.T, answer apitest.Answer) {
		t.Helper()
		if answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), `"data":{"movies":{"nodes":[{"title":`) {
			t.Errorf("%s", answer)
		}
	}

	t.Run("over_post", func(t *testing.T) {
		t.Parallel()
		for name, body := range map[string]string{
			"apollo":             apq(hashOf(listedMovies), ""),
			"apollo_with_text":   apq(hashOf(listedMovies), listedMovies),
			"document_id":        `{"documentId":"movies"}`,
			"document_id_sha256": `{"documentId":"sha256:` + hashOf(listedMovies) + `"}`,
			"relay_id":           `{"id":"movies","query":null,"variables":{}}`,
			"relay_doc_id":       `{"doc_id":"movies","variables":{}}`,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				executed(t, anybody.With(t).Post(body))
			})
		}
	})
	t.Run("over_get", func(t *testing.T) {
		t.Parallel()
		executed(t, get(t, anybody, http.MethodGet, url.Values{"documentId": {"movies"}}))
		executed(t, get(t, anybody, http.MethodGet, url.Values{"id": {"movies"}}))
		executed(t, get(t, anybody, http.MethodGet, url.Values{"extensions": {`{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(listedMovies) + `"}}`}}))
		if answer := get(t, anybody, http.MethodGet, url.Values{"documentId": {"signOut"}}); answer.Status != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "POST" {
			t.Errorf("a mutation by its id is answered with %s", answer)
		}
		if answer := get(t, anybody, http.MethodGet, url.Values{"documentId": {"movies", "me"}}); answer.Status != http.StatusBadRequest {
			t.Errorf("two ids are answered with %s", answer)
		}
	})
	t.Run("over_events", func(t *testing.T) {
		t.Parallel()
		answer := get(t, anybody, http.MethodGet, url.Values{"documentId": {"movies"}}, "Accept", "text/event-stream")
		if !strings.HasPrefix(string(answer.Body), "event: next\ndata: {\"data\":{\"movies\"") {
			t.Errorf("%s", answer)
		}
	})
	t.Run("over_a_socket", func(t *testing.T) {
		t.Parallel()
		dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: apitest.Patience}
		socket, response, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(anybody.URL, "http"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		defer socket.Close()
		say := func(message, want string) {
			t.Helper()
			if err := socket.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := socket.ReadMessage(); err != nil || !strings.Contains(string(got), want) {
				t.Errorf("%s is answered with %s (%v), want %s", message, got, err, want)
			}
		}
		say(`{"type":"connection_init"}`, `"connection_ack"`)
		say(fmt.Sprintf(`{"id":"1","type":"subscribe","payload":{"documentId":"seats","variables":{"id":%q}}}`, a.World.Showtimes[0].ID()), "SeatMapSnapshot")
		say(`{"id":"2","type":"subscribe","payload":`+apq(hashOf(unlisted), "")+`}`, `"PERSISTED_QUERY_NOT_FOUND"`)
		say(`{"id":"3","type":"subscribe","payload":{"documentId":"movies"}}`, `"next"`)
	})
	t.Run("not_found_is_said_as_clients_expect", func(t *testing.T) {
		t.Parallel()
		for accept, status := range map[string]int{"application/json": http.StatusOK, "application/graphql-response+json": http.StatusBadRequest} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, anybody.URL, strings.NewReader(apq(hashOf("unknown"), "")))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", accept)
			answer := anybody.With(t).Send(r)
			var body struct {
				Errors []struct {
					Message    string
					Extensions struct{ Code, RequestID string }
				}
			}
			if err := json.Unmarshal(answer.Body, &body); err != nil || len(body.Errors) != 1 || answer.Status != status ||
				body.Errors[0].Message != "PersistedQueryNotFound" || body.Errors[0].Extensions.Code != "PERSISTED_QUERY_NOT_FOUND" ||
				body.Errors[0].Extensions.RequestID == "" || answer.Header.Get("Cache-Control") != "private, no-store" {
				t.Errorf("%s: %s %v", accept, answer, answer.Header)
			}
		}
	})
	// GQ19: the hash of another text is refused and registers nothing; unknown hashes leave nothing behind.
	t.Run("GQ19", func(t *testing.T) {
		t.Parallel()
		c := anybody.With(t)
		const fresh = `query Fresh { movies(first: 2) { nodes { title } } }`
		if answer := c.Post(apq(hashOf(fresh), unlisted)); !strings.Contains(string(answer.Body), "BAD_USER_INPUT") {
			t.Errorf("the hash of another text is answered with %s", answer)
		}
		const invalid = `query Invalid { nothing }`
		c.Post(apq(hashOf(invalid), invalid))
		for i := range 200 {
			c.Post(apq(hashOf(fmt.Sprint(i)), ""))
		}
		for _, text := range []string{fresh, unlisted, invalid} {
			if answer := c.Post(apq(hashOf(text), "")); !strings.Contains(string(answer.Body), "PERSISTED_QUERY_NOT_FOUND") {
				t.Errorf("%s is registered: %s", text, answer)
			}
		}
		executed(t, c.Post(apq(hashOf(fresh), fresh)))
		executed(t, c.Post(apq(hashOf(fresh), "")))
		executed(t, c.Post(apq(hashOf(listedMovies), "")))
	})
}

func TestPersisted_require(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, withManifest(t, "require"))
	body := func(text string) string { return fmt.Sprintf(`{"query":%q}`, text) }
	for name, test := range map[string]struct {
		client apitest.Client
		body   string
		code   string
	}{
		"an_id":                      {a.Anonymous(), `{"documentId":"movies"}`, ""},
		"a_text_of_the_manifest":     {a.Anonymous(), body(listedMovies), ""},
		"another_text":               {a.Anonymous(), body(unlisted), "FORBIDDEN"},
		"another_text_with_its_hash": {a.Customer(), apq(hashOf(unlisted), unlisted), "FORBIDDEN"},
		"the_schema":                 {a.Manager(), body(`{ __schema { queryType { name } } }`), "FORBIDDEN"},
		"an_administrator":           {a.Admin(), body(unlisted), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := test.client.With(t).Post(test.body)
			if refused := strings.Contains(string(answer.Body), `"errors"`); refused != (test.code != "") || !strings.Contains(string(answer.Body), test.code) {
				t.Errorf("%s", answer)
			}
		})
	}
}

func TestPersisted_log(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, withManifest(t, "log"))
	for _, text := range []string{listedMovies, unlisted, unlisted, `query Invalid { nothing }`} {
		a.Anonymous().Raw(text, nil)
	}
	var told []string
	for line := range strings.Lines(a.Logged()) {
		if strings.Contains(line, "document outside the manifest") {
			told = append(told, line)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0], `"operation":"Unlisted"`) || !strings.Contains(told[0], `"requestId"`) {
		t.Errorf("%q", told)
	}
}

// TestPersisted_parsed_at_start executes a document of the manifest for the first time: nothing is charged for reading
// it, as it is for a document that nobody has sent before.
func TestPersisted_parsed_at_start(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, withManifest(t, "off"), apitest.With(func(c *config.Config) { c.RateAddress = 10 }))
	charged := func(body string) (cost, points int) {
		t.Helper()
		answer := a.Anonymous().Post(body)
		var out struct {
			Extensions struct {
				Cost struct {
					RequestedQueryCost int
					ThrottleStatus     struct{ MaximumAvailable, CurrentlyAvailable int }
				}
			}
		}
		if err := json.Unmarshal(answer.Body, &out); err != nil || out.Extensions.Cost.RequestedQueryCost == 0 {
			t.Fatalf("%s (%v)", answer, err)
		}
		standing := out.Extensions.Cost.ThrottleStatus
		return out.Extensions.Cost.RequestedQueryCost, standing.MaximumAvailable - standing.CurrentlyAvailable
	}
	if cost, points := charged(`{"documentId":"movies"}`); points != cost {
		t.Errorf("%d points were charged for a cost of %d", points, cost)
	}
	before, _ := charged(`{"documentId":"movies"}`)
	if cost, points := charged(fmt.Sprintf(`{"query":%q}`, unlisted)); points <= 2*before+cost {
		t.Errorf("%d points were charged for costs of %d and the reading of a document", points, 2*before+cost)
	}
}
