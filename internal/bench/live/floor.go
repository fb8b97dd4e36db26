//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"marquee/internal/bench/wire"
)

// broadcastCommand is the argument by which this program starts itself as the floor.
const broadcastCommand = "broadcast"

// broadcaster is the floor: graphql-transport-ws on the wire and nothing behind it. An event is encoded once; two
// goroutines put each socket's own operation id before it and make one write a message.
type broadcaster struct {
	halves  [2]half
	mu      sync.Mutex
	version int
	states  []byte
	joined  int
}

type half struct {
	mu      sync.Mutex
	members map[*websocket.Conn][]byte // the head of each one's messages
	events  chan []byte
}

// broadcast serves the floor until the process is ended. It prints its address first.
func broadcast(out io.Writer) error {
	b := &broadcaster{states: []byte(strings.Repeat(string(available), seats)), version: 1}
	for i := range b.halves {
		b.halves[i].members, b.halves[i].events = map[*websocket.Conn][]byte{}, make(chan []byte, 1024)
		go b.halves[i].write()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /graphql", b.subscribe)
	mux.HandleFunc("POST /publish", b.publish)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintln(out, listener.Addr())
	return (&http.Server{Handler: mux, ReadHeaderTimeout: connectLimit}).Serve(listener)
}

func (h *half) write() {
	var message []byte
	for payload := range h.events {
		h.mu.Lock()
		for socket, head := range h.members {
			message = append(append(append(message[:0], head...), payload...), '}')
			_ = socket.WriteMessage(websocket.TextMessage, message) // the subscriber counts what comes
		}
		h.mu.Unlock()
	}
}

func (b *broadcaster) publish(w http.ResponseWriter, r *http.Request) {
	seat, err := strconv.Atoi(r.FormValue("seat"))
	state := r.FormValue("state")
	if err != nil || seat < 1 || seat > seats || state == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.states[seat-1] = state[0]
	payload := fmt.Appendf(nil, deltaForm, b.version, b.version+1, seat, stateName(state[0]))
	b.version++
	for i := range b.halves {
		b.halves[i].events <- payload
	}
}

func (b *broadcaster) subscribe(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{
		Subprotocols: []string{"graphql-transport-ws"}, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10,
		WriteBufferPool: &sync.Pool{}, CheckOrigin: func(*http.Request) bool { return true },
	}
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	var mine *half
	defer func() {
		if mine != nil {
			mine.mu.Lock()
			delete(mine.members, socket)
			mine.mu.Unlock()
		}
	}()
	for {
		var message struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		}
		_, text, err := socket.ReadMessage()
		if err != nil || json.Unmarshal(text, &message) != nil {
			return
		}
		switch message.Type {
		case "connection_init":
			err = socket.WriteMessage(websocket.TextMessage, []byte(`{"type":"connection_ack"}`))
		case "subscribe":
			mine = b.join(socket, message.ID)
		}
		if err != nil {
			return
		}
	}
}

// join sends the whole map and then every event after it. The floor promises no order between the two: nobody joins
// while events flow.
func (b *broadcaster) join(socket *websocket.Conn, id string) *half {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := &b.halves[b.joined%len(b.halves)]
	b.joined++
	head := fmt.Appendf(nil, `{"id":%q,"type":"next","payload":`, id)
	mine.mu.Lock()
	defer mine.mu.Unlock()
	mine.members[socket] = head
	_ = socket.WriteMessage(websocket.TextMessage, append(fmt.Appendf(slices.Clip(head), snapshotForm, b.version, b.states), '}'))
	return mine
}

// floorSide is the broadcaster as a process of its own.
type floorSide struct {
	process *exec.Cmd
	host    string
	conn    *wire.Conn
}

// startFloor starts this program again, as the floor.
func startFloor(ctx context.Context, deadline time.Time) (_ *floorSide, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	f := &floorSide{process: exec.Command(self, broadcastCommand)} //nolint:noctx // stop ends it
	out, err := f.process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("prepare the floor: %w", err)
	}
	f.process.Stderr = os.Stderr
	if err := f.process.Start(); err != nil {
		return nil, fmt.Errorf("start the floor: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.stop(ctx))
		}
	}()
	if _, err := fmt.Fscanln(out, &f.host); err != nil {
		return nil, fmt.Errorf("the floor says no address: %w", err)
	}
	f.conn, err = wire.Dial(ctx, f.host, deadline)
	return f, err
}

func (f *floorSide) name() string    { return "broadcast" }
func (f *floorSide) address() string { return f.host }
func (f *floorSide) pid() int        { return f.process.Process.Pid }

func (f *floorSide) sell(c change) error  { return f.publish(c) }
func (f *floorSide) block(c change) error { return f.publish(c) }

func (f *floorSide) publish(c change) error {
	body := fmt.Sprintf("seat=%d&state=%c", c.seat, c.state)
	status, _, err := f.conn.Do(fmt.Appendf(nil, "POST /publish HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: %d\r\n\r\n%s", f.host, len(body), body))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the floor answers %d", status)
	}
	return err
}

func (f *floorSide) stop(context.Context) error {
	if f.conn != nil {
		_ = f.conn.Close()
	}
	_ = f.process.Process.Signal(syscall.SIGKILL)
	_ = f.process.Wait()
	return nil
}
