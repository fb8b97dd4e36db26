package gqlclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	subprotocol = "graphql-transport-ws"

	// operationID names the one operation of a connection.
	operationID = "1"

	// waiting is how many events may wait for Next while pings are still answered; a reader that is further behind
	// stops the connection's flow, as TCP does.
	waiting = 256

	// writeTimeout bounds each message to the server, and the wait for its farewell.
	writeTimeout = 5 * time.Second
)

// Subscription is one subscription on a connection of its own. Next is for one goroutine; Close for any.
type Subscription struct {
	socket *websocket.Conn
	events chan json.RawMessage
	left   chan struct{} // closed by Close
	done   chan struct{} // closed when the reader has ended
	end    error         // why it ended; set before done is closed

	writing sync.Mutex
	leave   sync.Once
}

// CloseError says that the connection ended before the operation: by the code of the server's close frame, 1006 where
// there was none.
type CloseError struct {
	Code   int
	Reason string
}

// Error tells code and reason.
func (e *CloseError) Error() string {
	return fmt.Sprintf("the connection was closed with code %d %s", e.Code, e.Reason)
}

// message is what travels over the socket.
type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Subscribe opens a connection, introduces the viewer and starts the operation. ctx bounds this call only; the
// subscription lasts until Close.
//
// A refused connection is an *Error with its status or a *CloseError; a refused operation is told by the first Next.
func (c Client) Subscribe(ctx context.Context, query string, variables any) (*Subscription, error) {
	start, err := json.Marshal(request{query, variables})
	if err != nil {
		return nil, fmt.Errorf("encode the variables: %w", err)
	}
	socket, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	s := &Subscription{
		socket: socket,
		events: make(chan json.RawMessage, waiting),
		left:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	if err := s.open(ctx, c, start); err != nil {
		_ = socket.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("open a subscription: %w", err)
	}
	go s.read()
	return s, nil
}

func (c Client) dial(ctx context.Context) (*websocket.Conn, error) {
	address, secure := strings.CutPrefix(c.URL, "https://")
	scheme := "wss://"
	if !secure {
		address, scheme = strings.TrimPrefix(c.URL, "http://"), "ws://"
	}
	dialer := websocket.Dialer{Subprotocols: []string{subprotocol}}
	//nolint:bodyclose // gorilla has read what there is of the body, and says that it need not be closed
	socket, answer, err := dialer.DialContext(ctx, scheme+address, nil)
	if err != nil {
		if errors.Is(err, websocket.ErrBadHandshake) && answer != nil {
			return nil, refusal(answer)
		}
		return nil, fmt.Errorf("connect a subscription: %w", err)
	}
	if socket.Subprotocol() != subprotocol {
		_ = socket.Close()
		return nil, fmt.Errorf("the server chose the subprotocol %q, not %s", socket.Subprotocol(), subprotocol)
	}
	return socket, nil
}

// refusal reads the answer to an upgrade; gorilla keeps the beginning of its body and needs no Close.
func refusal(answer *http.Response) error {
	body, _ := io.ReadAll(answer.Body)
	err := decodeAnswer(answer.StatusCode, body, nil)
	if err == nil {
		err = &Error{Status: answer.StatusCode}
	}
	return err
}

// open introduces the viewer and starts the operation. The end of ctx breaks the socket.
func (s *Subscription) open(ctx context.Context, c Client, start json.RawMessage) error {
	stop := context.AfterFunc(ctx, func() { _ = s.socket.NetConn().SetDeadline(time.Unix(1, 0)) })
	defer stop()
	hello := message{Type: "connection_init"}
	if c.Token != "" {
		payload, err := json.Marshal(map[string]string{"Authorization": c.bearer()})
		if err != nil {
			return err
		}
		hello.Payload = payload
	}
	if err := s.write(hello); err != nil {
		return err
	}
	answer, err := s.receive()
	if err != nil {
		return err
	}
	if answer.Type != "connection_ack" {
		return fmt.Errorf("the server answered connection_init with %q", answer.Type)
	}
	if err := s.write(message{ID: operationID, Type: "subscribe", Payload: start}); err != nil {
		return err
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return nil
}

// receive returns the next message that is not about the connection's life.
func (s *Subscription) receive() (message, error) {
	for {
		kind, data, err := s.socket.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			return message{}, &CloseError{Code: closed.Code, Reason: closed.Text}
		}
		if err != nil {
			return message{}, &CloseError{Code: websocket.CloseAbnormalClosure, Reason: err.Error()}
		}
		var m message
		if err := json.Unmarshal(data, &m); err != nil || kind != websocket.TextMessage {
			return message{}, fmt.Errorf("the server sent what is no message of the protocol: %q", data)
		}
		switch m.Type {
		case "ping":
			if err := s.write(message{Type: "pong", Payload: m.Payload}); err != nil {
				return message{}, err
			}
		case "pong":
		default:
			return m, nil
		}
	}
}

func (s *Subscription) write(m message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.socket.SetWriteDeadline(time.Now().Add(writeTimeout)) // never fails
	if err := s.socket.WriteMessage(websocket.TextMessage, data); err != nil {
		return fmt.Errorf("write to the connection: %w", err)
	}
	return nil
}

// read hands on events until there are no more.
func (s *Subscription) read() {
	defer close(s.done)
	for {
		m, err := s.receive()
		if err != nil {
			s.end = err
			return
		}
		if m.ID != operationID {
			s.end = fmt.Errorf("the server sent %q for the unknown operation %q", m.Type, m.ID)
			return
		}
		switch m.Type {
		case "next":
			select {
			case s.events <- m.Payload:
			case <-s.left: // nobody reads any more, but the server's farewell is still to come
			}
		case "error":
			var faults []fault
			s.end = fmt.Errorf("the server sent an error that cannot be read: %q", m.Payload)
			if json.Unmarshal(m.Payload, &faults) == nil {
				s.end = &Error{Problems: problems(faults)}
			}
			return
		case "complete":
			s.end = io.EOF
			return
		default:
			s.end = fmt.Errorf("the server sent a message of the unknown type %q", m.Type)
			return
		}
	}
}

// Next waits for the next event and decodes its data into out, which may be nil.
//
// The end of ctx leaves the subscription as it is: the event it did not wait for comes with the next call. After the
// last event each call returns why there are no more: io.EOF when the server completed the operation, *Error when it
// failed, *CloseError when the connection was closed. An event with errors is an *Error too, and is not the last.
func (s *Subscription) Next(ctx context.Context, out any) error {
	select {
	case payload := <-s.events:
		return decodeEvent(payload, out)
	default:
	}
	select {
	case payload := <-s.events:
		return decodeEvent(payload, out)
	case <-ctx.Done():
		return fmt.Errorf("wait for an event: %w", context.Cause(ctx))
	case <-s.done:
	}
	// The reader may have handed on an event just before it ended.
	select {
	case payload := <-s.events:
		return decodeEvent(payload, out)
	default:
		return s.end
	}
}

func decodeEvent(payload json.RawMessage, out any) error {
	var r result
	if err := json.Unmarshal(payload, &r); err != nil {
		return fmt.Errorf("decode an event: %w", err)
	}
	return r.decode(0, out)
}

// Close completes the operation, says goodbye and returns when the connection is gone. Events that wait can still be
// read. Further calls do nothing.
func (s *Subscription) Close() {
	s.leave.Do(func() {
		close(s.left)
		_ = s.write(message{ID: operationID, Type: "complete"})
		farewell := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = s.socket.WriteControl(websocket.CloseMessage, farewell, time.Now().Add(writeTimeout))
		_ = s.socket.NetConn().SetReadDeadline(time.Now().Add(writeTimeout))
		<-s.done
		_ = s.socket.Close()
	})
}
