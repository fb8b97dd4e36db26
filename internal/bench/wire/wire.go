// Package wire is an HTTP/1.1 client for load generators that share their processors with the server they load: one
// connection, one request at a time, no goroutine, and no allocation once its buffers have grown.
//
// It sends bytes that the caller has prepared and reads one answer for them. It understands answers with a
// Content-Length, which is what an API with small answers sends; any other is an error, never a guess. It does not
// pipeline, redirect, compress or reconnect.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	readBuffer = 8 << 10

	// maxBody bounds the body of an answer.
	maxBody = 4 << 20
)

// Conn is a connection to a server. It belongs to one goroutine.
type Conn struct {
	socket net.Conn
	reader *bufio.Reader
	body   []byte
}

// Dial connects to host:port. Everything that is done with the connection must be over by the deadline.
func Dial(ctx context.Context, address string, deadline time.Time) (*Conn, error) {
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := socket.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return &Conn{socket: socket, reader: bufio.NewReaderSize(socket, readBuffer)}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.socket.Close() }

// Do sends a whole request and returns status and body of the answer. The body is overwritten by the next call. After
// an error the connection is of no more use.
func (c *Conn) Do(request []byte) (status int, body []byte, err error) {
	if _, err := c.socket.Write(request); err != nil {
		return 0, nil, fmt.Errorf("send a request: %w", err)
	}
	status, c.body, err = readAnswer(c.reader, c.body)
	if err != nil {
		return 0, nil, fmt.Errorf("read an answer: %w", err)
	}
	return status, c.body, nil
}

var (
	errNotHTTP = errors.New("it is not of HTTP/1.1")
	errLength  = errors.New("its length is not said, or said twice")
)

// readAnswer reads one answer, its body into buffer, which it grows as needed.
func readAnswer(r *bufio.Reader, buffer []byte) (status int, body []byte, err error) {
	line, err := readLine(r)
	if err != nil {
		return 0, buffer, err
	}
	if status, err = parseStatus(line); err != nil {
		return 0, buffer, err
	}
	length := -1
	for {
		line, err := readLine(r)
		if err != nil {
			return 0, buffer, err
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		switch {
		case !ok:
			return 0, buffer, errNotHTTP
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return 0, buffer, errLength
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = parseLength(bytes.TrimSpace(value), length); err != nil {
				return 0, buffer, err
			}
		}
	}
	if length < 0 {
		return 0, buffer, errLength
	}
	if cap(buffer) < length {
		buffer = make([]byte, length)
	}
	buffer = buffer[:length]
	if _, err := io.ReadFull(r, buffer); err != nil {
		return 0, buffer, err
	}
	return status, buffer, nil
}

// readLine returns a line without its end. It is valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// parseStatus reads "HTTP/1.1 200 OK". Informational answers are not expected by anybody who does not ask for them.
func parseStatus(line []byte) (int, error) {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' {
		return 0, errNotHTTP
	}
	status, err := strconv.Atoi(string(rest[:3]))
	if err != nil || status < 200 || status > 599 {
		return 0, errNotHTTP
	}
	return status, nil
}

func parseLength(value []byte, before int) (int, error) {
	length, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil || before >= 0 || length > maxBody {
		return 0, errLength
	}
	return int(length), nil
}
