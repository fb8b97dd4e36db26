package postgres_test

import (
	"context"
	"database/sql"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"marquee/internal/dbtest"
	"marquee/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// patience bounds every wait for the server or another goroutine.
const patience = 30 * time.Second

func timeLimit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx := timeLimit(t)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, patience)
		case <-ticker.C:
		}
	}
}

// changed returns the URL with change applied to it.
func changed(t *testing.T, raw string, change func(u *url.URL, query url.Values)) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	change(u, query)
	u.RawQuery = query.Encode()
	return u.String()
}

func open(t *testing.T, cfg postgres.Config) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(timeLimit(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// one returns a pool of a single connection on an empty database of its own.
func one(t *testing.T) *postgres.DB {
	t.Helper()
	return dbtest.New(t, dbtest.Empty(), dbtest.With(func(c *postgres.Config) { c.MaxConns = 1 }))
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func mustExec(t *testing.T, on execer, query string, args ...any) {
	t.Helper()
	if _, err := on.ExecContext(timeLimit(t), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func get[T any](t *testing.T, on queryer, query string, args ...any) T {
	t.Helper()
	var value T
	if err := on.QueryRowContext(timeLimit(t), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// proxy stands between a pool and its server. It counts round trips, and it can cut or freeze the connections.
type proxy struct {
	URL string

	listener net.Listener
	upstream [2]string // network and address of the server
	trips    atomic.Int64
	serving  atomic.Int64

	mu       sync.Mutex
	pairs    []net.Conn
	onClient func(data []byte) // sees what a client sends before the server gets it
	onServer func(data []byte) // sees what the server sends before a client gets it
	thawed   chan struct{}     // open while the proxy is frozen, closed otherwise
}

func newProxy(t *testing.T, raw string) *proxy {
	t.Helper()
	p := &proxy{thawed: make(chan struct{})}
	close(p.thawed)
	p.URL = changed(t, raw, func(u *url.URL, query url.Values) {
		p.upstream = [2]string{"unix", filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.listener = listener
		u.Host = listener.Addr().String()
		query.Del("host")
		query.Del("port")
	})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.Thaw()
		p.Cut()
		running.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn) {
	p.serving.Add(1)
	defer p.serving.Add(-1)
	defer client.Close()
	server, err := net.Dial(p.upstream[0], p.upstream[1])
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.pairs = append(p.pairs, client, server)
	p.mu.Unlock()

	var clientSpoke atomic.Bool
	var pipes sync.WaitGroup
	pipes.Go(func() {
		defer server.Close()
		p.pipe(server, client, func(data []byte) {
			if !clientSpoke.Swap(true) {
				p.trips.Add(1)
			}
			p.hook(&p.onClient, data)
		})
	})
	pipes.Go(func() {
		defer client.Close()
		p.pipe(client, server, func(data []byte) {
			clientSpoke.Store(false)
			p.hook(&p.onServer, data)
		})
	})
	pipes.Wait()
}

func (p *proxy) hook(hook *func([]byte), data []byte) {
	p.mu.Lock()
	call := *hook
	p.mu.Unlock()
	if call != nil {
		call(data)
	}
}

func (p *proxy) pipe(to io.Writer, from io.Reader, look func(data []byte)) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			look(buffer[:n])
			p.mu.Lock()
			thawed := p.thawed
			p.mu.Unlock()
			<-thawed
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// OnClient and OnServer set what sees the bytes on their way; nil takes it away.
func (p *proxy) OnClient(look func(data []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onClient = look
}

func (p *proxy) OnServer(look func(data []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onServer = look
}

// Trips returns how many times clients spoke after the server did, since the last call.
func (p *proxy) Trips() int { return int(p.trips.Swap(0)) }

// Open returns how many connections pass through.
func (p *proxy) Open() int { return int(p.serving.Load()) }

// Cut closes all connections, abruptly.
func (p *proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.pairs {
		_ = c.Close()
	}
	p.pairs = nil
}

// Freeze holds everything back without closing anything.
func (p *proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.thawed = make(chan struct{})
}

// Thaw lets everything pass again.
func (p *proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
	default:
		close(p.thawed)
	}
}
