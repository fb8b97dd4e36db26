package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"marquee/internal/bench/server"
)

// behaviour tells a process of the test binary to play the server.
const behaviour = "BENCH_SERVER_TEST"

func TestMain(m *testing.M) {
	if play := os.Getenv(behaviour); play != "" {
		os.Exit(fake(play))
	}
	os.Exit(m.Run())
}

// fake is a server that is ready at the second question, and ends as told.
func fake(play string) int {
	if play == "broken" {
		fmt.Fprintln(os.Stdout, "cannot start")
		return 1
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	asked := false
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !asked {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		asked = true
	})
	mux.HandleFunc("GET /environment", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(append(os.Environ(), os.Args[1:]...), "\n"))
	})
	go http.ListenAndServe(os.Getenv("MARQUEE_LISTEN"), mux)
	<-terminated
	switch play {
	case "stubborn":
		<-make(chan struct{})
	case "clumsy":
		return 3
	}
	return 0
}

func start(t *testing.T, play string, log *os.File) *server.Server {
	t.Helper()
	s, err := server.Start(server.Options{
		Binary: os.Args[0], Args: []string{"--empty"}, Log: log,
		Env: map[string]string{behaviour: play, "MARQUEE_HOLD": "6s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = s.Stop(ctx)
	})
	return s
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestServer_Ready(t *testing.T) {
	t.Parallel()

	t.Run("waits for the probe", func(t *testing.T) {
		t.Parallel()
		s := start(t, "orderly", nil)
		if err := s.Ready(soon(t)); err != nil {
			t.Fatal(err)
		}
		status, said, err := server.Get(t.Context(), s.URL()+"/environment")
		if err != nil || status != http.StatusOK {
			t.Fatalf("answer %d, %v", status, err)
		}
		for _, want := range []string{"MARQUEE_LISTEN=" + s.Address(), "MARQUEE_OPS_LISTEN=" + strings.TrimPrefix(s.Ops(), "http://"), "MARQUEE_HOLD=6s", "serve", "--empty"} {
			if !slices.Contains(strings.Split(said, "\n"), want) {
				t.Errorf("the process lacks %s", want)
			}
		}
	})

	t.Run("fails when the process ends first", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "log")
		log, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = log.Close() })
		if err := start(t, "broken", log).Ready(soon(t)); err == nil || !strings.Contains(err.Error(), "exit status 1") {
			t.Errorf("got %v", err)
		}
		if got := server.Tail(path, 10); got != "cannot start" {
			t.Errorf("it said %q", got)
		}
	})

	t.Run("fails at the end of the context", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := start(t, "orderly", nil).Ready(ctx); err == nil {
			t.Error("it is ready")
		}
	})
}

func TestServer_Stop(t *testing.T) {
	t.Parallel()
	for play, want := range map[string]string{"orderly": "", "clumsy": "exit status 3"} {
		t.Run(play, func(t *testing.T) {
			t.Parallel()
			s := start(t, play, nil)
			if err := s.Ready(soon(t)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err := s.Stop(soon(t))
				if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("got %v, not %q", err, want)
				}
			}
		})
	}

	t.Run("kills what does not end", func(t *testing.T) {
		t.Parallel()
		s := start(t, "stubborn", nil)
		if err := s.Ready(soon(t)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := s.Stop(ctx); err == nil {
			t.Error("it stopped in order")
		}
		select {
		case <-s.Done():
		default:
			t.Error("it still runs")
		}
	})
}

func TestTail(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	var text bytes.Buffer
	for n := range 5000 {
		fmt.Fprintf(&text, "line %d\n", n)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := server.Tail(path, 2); got != "line 4998\nline 4999" {
		t.Errorf("got %q", got)
	}
	if got := server.Tail(path+".missing", 2); !strings.Contains(got, "no such file") {
		t.Errorf("got %q", got)
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir, err := server.Folder("marquee-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}
