package server

import (
	"bytes"
	"io"
	"net/http"
)

// Transport reaches a gateway of this process without a network.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ handler http.Handler }

// RoundTrip returns what the handler answers; an error when the request's context ends before it does, or when it hangs up.
func (t transport) RoundTrip(r *http.Request) (response *http.Response, err error) {
	defer func() {
		switch cause := recover(); {
		case cause == http.ErrAbortHandler: //nolint:errorlint // what net/http compares as well
			response, err = nil, io.ErrUnexpectedEOF
			if r.Context().Err() != nil {
				err = r.Context().Err()
			}
		case cause != nil:
			panic(cause)
		}
	}()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a := &recorder{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(a, r.WithContext(r.Context()))
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r,
	}, nil
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorder) Header() http.Header { return a.header }

func (a *recorder) WriteHeader(status int) { a.status = status }

func (a *recorder) Write(p []byte) (int, error) { return a.body.Write(p) }
