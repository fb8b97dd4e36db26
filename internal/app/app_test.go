package app_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"marquee/internal/apitest"
	"marquee/internal/app"
	"marquee/internal/config"
	"marquee/internal/dbtest"
	"marquee/internal/gqlclient"
	"marquee/internal/postgres/local"
)

// TestNew_refusals starts the program where it cannot start: it says why in one sentence and leaves nothing behind.
func TestNew_refusals(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, cfg config.Config) error {
		t.Helper()
		a, err := app.New(timeLimit(t), cfg, quiet, app.Seams{})
		if err == nil {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
		return err
	}
	t.Run("an_occupied_port", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		cfg.Listen, cfg.OpsListen = taken(t), spare(t)
		sentence(t, start(t, cfg), "MARQUEE_LISTEN")
		free(t, cfg.OpsListen)
		nobody(t, string(cfg.DatabaseURL))
	})
	t.Run("an_occupied_port_for_operators", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		cfg.Listen, cfg.OpsListen = spare(t), taken(t)
		sentence(t, start(t, cfg), "MARQUEE_OPS_LISTEN")
		free(t, cfg.Listen)
	})
	t.Run("persisted_documents_that_cannot_be_read", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		cfg.Listen, cfg.PersistedDocuments = spare(t), filepath.Join(cfg.DataDir, "manifest.json")
		sentence(t, start(t, cfg), "MARQUEE_PERSISTED_DOCUMENTS: read the manifest")
		free(t, cfg.Listen)
		nobody(t, string(cfg.DatabaseURL))
	})
	t.Run("persisted_documents_of_another_schema", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		cfg.Listen, cfg.PersistedDocuments = spare(t), filepath.Join(cfg.DataDir, "manifest.json")
		if err := os.WriteFile(cfg.PersistedDocuments, []byte(`{"films":"{ films { title } }"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		sentence(t, start(t, cfg), `MARQUEE_PERSISTED_DOCUMENTS: the persisted document "films": line 1, column 3`)
		free(t, cfg.Listen)
		nobody(t, string(cfg.DatabaseURL))
	})
	t.Run("a_folder_that_cannot_be_written", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		file := filepath.Join(cfg.DataDir, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.DataDir, cfg.Listen = filepath.Join(file, "data"), spare(t)
		sentence(t, start(t, cfg), "data folder")
		free(t, cfg.Listen)
		nobody(t, string(cfg.DatabaseURL))
	})
	t.Run("a_folder_that_cannot_be_written_for_a_cluster", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, "")
		file := filepath.Join(cfg.DataDir, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.DataDir = filepath.Join(file, "data")
		err := start(t, cfg)
		sentence(t, err, cfg.DataDir)
		if !errors.Is(err, local.ErrUnwritable) {
			t.Errorf("%v", err)
		}
	})
	t.Run("no_binaries", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, "")
		cfg.PostgresBin = t.TempDir()
		err := start(t, cfg)
		sentence(t, err, "MARQUEE_PG_BIN")
		if !errors.Is(err, local.ErrMissing) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a_database_that_does_not_answer", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, "postgres://marquee:top-secret@"+spare(t)+"/marquee?sslmode=disable")
		sentence(t, start(t, cfg), "database", "top-secret")
	})
	t.Run("a_database_that_is_not_there", func(t *testing.T) {
		t.Parallel()
		database := changed(t, dbtest.NewURL(t), func(u *url.URL) { u.Path = "/no_such_database" })
		sentence(t, start(t, configuration(t, database)), "no_such_database")
	})
	t.Run("a_wrong_password", func(t *testing.T) {
		t.Parallel()
		database := changed(t, dbtest.NewURL(t), func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "top-secret") })
		sentence(t, start(t, configuration(t, database)), "password", "top-secret")
	})
	t.Run("an_address_that_is_none", func(t *testing.T) {
		t.Parallel()
		sentence(t, start(t, configuration(t, "postgres://marquee:top-secret@host:port/%zz")), "database URL", "top-secret")
	})
	t.Run("a_database_newer_than_the_program", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		cfg.Listen = spare(t)
		db := open(t, string(cfg.DatabaseURL))
		if _, err := db.SQL().ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
			t.Fatal(err)
		}
		sentence(t, start(t, cfg), "99999")
		free(t, cfg.Listen)
		nobody(t, string(cfg.DatabaseURL))
	})
	t.Run("a_key_that_cannot_be_read", func(t *testing.T) {
		t.Parallel()
		cfg := configuration(t, dbtest.NewURL(t))
		if err := os.Mkdir(filepath.Join(cfg.DataDir, "secret.key"), 0o700); err != nil {
			t.Fatal(err)
		}
		sentence(t, start(t, cfg), "secret key")
		nobody(t, string(cfg.DatabaseURL))
	})
}

func changed(t *testing.T, raw string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// enterable returns a folder that the user of the database server can enter, which t.TempDir's is not for all.
func enterable(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "marquee-app-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestNew_privateCluster starts the program without any database of its own, twice.
func TestNew_privateCluster(t *testing.T) {
	t.Parallel()
	cfg := configuration(t, "")
	cfg.DataDir = enterable(t)
	var ids []string
	for round := range 2 {
		a, err := app.New(timeLimit(t), cfg, quiet, app.Seams{})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if _, err := a.DB().SQL().ExecContext(t.Context(), `INSERT INTO genres (id, name) VALUES (gen_random_uuid(), 'Kept')`); err != nil {
				t.Error(err)
			}
		}
		ids = append(ids, texts(t, a.DB(), `SELECT id::text FROM genres`)...)
		for range 2 {
			if err := a.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
	if len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("what was written is not there after a restart: %v", ids)
	}
	if pid, err := os.ReadFile(filepath.Join(cfg.DataDir, "postgres", "data", "postmaster.pid")); err == nil {
		t.Errorf("the server was left running: %s", pid)
	}
}

// TestApp_secretKey starts nodes that share a folder, and one that does not: cursors tell.
func TestApp_secretKey(t *testing.T) {
	t.Parallel()
	first := apitest.New(t)
	second := apitest.New(t, apitest.Beside(first))
	stranger := apitest.New(t, apitest.With(func(c *config.Config) { c.DatabaseURL = first.Config.DatabaseURL }), apitest.Bare())
	var out struct {
		Movies struct{ PageInfo struct{ EndCursor string } }
	}
	first.Anonymous().Get(`{ movies(first: 1) { pageInfo { endCursor } } }`, nil, &out)
	const next = `query ($c: String) { movies(first: 1, after: $c) { nodes { title } } }`
	second.Anonymous().Get(next, apitest.Vars{"c": out.Movies.PageInfo.EndCursor}, nil)
	stranger.Anonymous().Refused(next, apitest.Vars{"c": out.Movies.PageInfo.EndCursor})

	key, err := os.Stat(filepath.Join(first.Config.DataDir, "secret.key"))
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("the key is kept as %v, %v", key, err)
	}
}

// TestApp_drain stops a program that clients are watching and asking.
func TestApp_drain(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	const watch = `subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { __typename } }`
	var watchers []*apitest.Watcher
	for _, show := range a.World.Showtimes[:3] {
		w := a.Anonymous().Watch(watch, apitest.Vars{"id": show.ID()})
		w.Next(nil)
		watchers = append(watchers, w)
	}
	tx, err := a.DB().SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `LOCK TABLE genres`); err != nil {
		t.Fatal(err)
	}
	running := make(chan error, 1)
	go func() { running <- a.Anonymous().Try(`{ genres { name } }`, nil, nil) }()
	eventually(t, "the request waits in the database", func() bool {
		return texts(t, a.DB(), `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'genres'::regclass`)[0] == "1"
	})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.Stop()
	}()
	for _, w := range watchers {
		if closed, ok := errors.AsType[*gqlclient.CloseError](w.Try(nil)); !ok || closed.Code != 1012 {
			t.Errorf("a watcher was told %v, want 1012", closed)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-running; err != nil {
		t.Errorf("the running request: %v", err)
	}
	<-stopped
}

// TestApp_metrics looks at what operators see.
func TestApp_metrics(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	a.Anonymous().Get(`query chosen_by_the_client { anything: genres { name } }`, nil, nil)
	a.Anonymous().Refused(`{ movies(first: 0) { nodes { id } } }`, nil)
	w := a.Anonymous().Watch(`subscription ($id: ID!) { seatMapChanged(showtimeId: $id) { __typename } }`, apitest.Vars{"id": a.World.Showtimes[0].ID()})
	w.Next(nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.OpsURL+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	text := string(a.Anonymous().Send(r).Body)
	for _, line := range []string{
		`marquee_graphql_operation_seconds_count{operation="query.genres",outcome="ok"} 1`,
		`marquee_graphql_operation_seconds_count{operation="query.movies",outcome="BAD_USER_INPUT"} 1`,
		`marquee_http_request_seconds_count{status="200"} 2`,
		`marquee_websockets_open 1`,
		`marquee_holds_expired_total 0`,
		`go_sql_max_open_connections{db_name="marquee"} 8`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	if strings.Contains(text, "chosen_by_the_client") || strings.Contains(text, "anything") {
		t.Error("a client's text became a label")
	}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if answer := a.Visit(path); strings.Contains(string(answer.Body), "marquee_") || strings.Contains(string(answer.Body), "goroutine") {
			t.Errorf("%s is public", path)
		}
	}
}

// TestApp_background lets a hold run out with nobody looking: the program tidies up by itself.
func TestApp_background(t *testing.T) {
	t.Parallel()
	a := apitest.New(t)
	show, c := a.World.Showtimes[0], a.Customer()
	c.Get(`mutation ($in: ReserveSeatsInput!) { reserveSeats(input: $in) { __typename } }`, apitest.Vars{"in": apitest.Vars{
		"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(1), "idempotencyKey": "a key of mine",
	}}, nil)
	a.Exec(`UPDATE reservations SET held_until = now()`)
	a.Exec(`UPDATE seat_claims SET held_until = now()`)
	eventually(t, "the sweep", func() bool {
		return apitest.Value[string](a, `SELECT status FROM reservations`) == "EXPIRED" && apitest.Value[int](a, `SELECT count(*) FROM seat_claims`) == 0
	})
}

// TestApp_hintsAcrossNodes has a watcher on one node and a buyer on another, joined by the bus.
func TestApp_hintsAcrossNodes(t *testing.T) {
	t.Parallel()
	cluster := func(listen string, peers ...string) apitest.Option {
		return apitest.With(func(c *config.Config) {
			c.ClusterListen, c.ClusterPeers, c.ClusterPassword = listen, peers, "between us"
		})
	}
	address := spare(t)
	first := apitest.New(t, cluster(address))
	second := apitest.New(t, apitest.Beside(first), cluster("127.0.0.1:0", "nats-route://"+address))
	show := first.World.Showtimes[0]
	seats := second.Anonymous().WatchSeats(show.ID())
	c := first.Customer()
	reserve := func(key string, positions ...int16) {
		c.Get(`mutation ($in: ReserveSeatsInput!) { reserveSeats(input: $in) { __typename } }`, apitest.Vars{"in": apitest.Vars{
			"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(positions...), "idempotencyKey": key,
		}}, nil)
	}
	reserve("a first key", 1)
	seats.Until("HELD", 1)
	reserve("a second key", 2)
	seats.Until("HELD", 2)
	if want := []string{"HELD", "HELD", "AVAILABLE"}; !slices.Equal(seats.States[:3], want) {
		t.Errorf("%v", seats.States)
	}
}

// TestApp_origins opens sockets from pages.
func TestApp_origins(t *testing.T) {
	t.Parallel()
	const ours = "https://tickets.example"
	a := apitest.New(t, apitest.Bare(), apitest.With(func(c *config.Config) { c.AllowedOrigins = []string{ours} }))
	for origin, status := range map[string]int{
		"": http.StatusSwitchingProtocols, ours: http.StatusSwitchingProtocols, a.URL: http.StatusSwitchingProtocols,
		"https://evil.example": http.StatusForbidden, "null": http.StatusForbidden, "https://tickets.example.evil.example": http.StatusForbidden,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL+"/graphql", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
			"Sec-WebSocket-Protocol": "graphql-transport-ws",
		} {
			r.Header.Set(name, value)
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: apitest.Patience}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusSwitchingProtocols {
			_, _ = io.Copy(io.Discard, response.Body)
		}
		_ = response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("from %q: %d, want %d", origin, response.StatusCode, status)
		}
	}
}
