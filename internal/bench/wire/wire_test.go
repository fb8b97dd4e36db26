package wire_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"marquee/internal/bench/wire"
)

const soon = 10 * time.Second

// answering is the address of a server that answers every connection's requests with the given bytes, one after the
// other, and then closes it.
func answering(t *testing.T, answers ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		socket, err := listener.Accept()
		if err != nil {
			return
		}
		defer socket.Close()
		request := make([]byte, 1<<10)
		for _, answer := range answers {
			if _, err := socket.Read(request); err != nil {
				return
			}
			if _, err := io.WriteString(socket, answer); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-over
	})
	return listener.Addr().String()
}

func dial(t *testing.T, address string) *wire.Conn {
	t.Helper()
	conn, err := wire.Dial(t.Context(), address, time.Now().Add(soon))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestConn_Do(t *testing.T) {
	t.Parallel()

	t.Run("answers one after the other", func(t *testing.T) {
		t.Parallel()
		long := strings.Repeat("x", 100_000)
		conn := dial(t, answering(t,
			"HTTP/1.1 200 OK\r\nX: y: z\r\ncontent-LENGTH: 5\r\n\r\nhello",
			"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 503\r\nContent-Length:\t100000 \r\n\r\n"+long,
			"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"))
		for _, want := range []struct {
			status int
			body   string
		}{{200, "hello"}, {404, ""}, {503, long}, {200, "ok"}} {
			status, body, err := conn.Do([]byte("x"))
			if err != nil || status != want.status || string(body) != want.body {
				t.Errorf("got %d with %d bytes, %v, not %d with %d", status, len(body), err, want.status, len(want.body))
			}
		}
	})

	for name, answer := range map[string]string{
		"no answer":                    "",
		"an answer that breaks off":    "HTTP/1.1 200 OK\r\nContent-Le",
		"a body that breaks off":       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"another protocol":             "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"another version":              "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"a status that is no number":   "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
		"a status of two digits":       "HTTP/1.1 20\r\nContent-Length: 0\r\n\r\n",
		"a status of four digits":      "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		"an informational answer":      "HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
		"a header without a colon":     "HTTP/1.1 200 OK\r\nContent-Length 0\r\n\r\n",
		"no length":                    "HTTP/1.1 200 OK\r\n\r\n",
		"chunks":                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":                  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"a negative length":            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"a length beyond all measure":  "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
		"a line longer than a buffer":  "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 10_000) + "\r\nContent-Length: 0\r\n\r\n",
		"a header longer than a limit": "HTTP/1.1 200 OK" + strings.Repeat("x", 10_000),
	} {
		t.Run(name+" is an error", func(t *testing.T) {
			t.Parallel()
			if status, body, err := dial(t, answering(t, answer)).Do([]byte("x")); err == nil {
				t.Errorf("got %d with %q", status, body)
			}
		})
	}

	t.Run("speaks with the standard library's server", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		}))
		t.Cleanup(server.Close)
		conn := dial(t, server.Listener.Addr().String())
		for _, text := range []string{"one", "another"} {
			status, body, err := conn.Do([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " +
				map[string]string{"one": "3", "another": "7"}[text] + "\r\n\r\n" + text))
			if err != nil || status != http.StatusOK || string(body) != text {
				t.Errorf("got %d with %q, %v, not %q", status, body, err, text)
			}
		}
	})

	t.Run("does not wait past the deadline", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		conn, err := wire.Dial(t.Context(), listener.Addr().String(), time.Now().Add(10*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, _, err := conn.Do([]byte("x")); err == nil {
			t.Error("an answer from nobody")
		}
	})
}
