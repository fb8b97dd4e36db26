package openid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"marquee/internal/clock"
)

const (
	// patience is how long a provider may take for one answer, from the first byte of the request to the last of it.
	patience = 4 * time.Second
	// maxAnswer is what configurations, key sets and tokens fit in many times over.
	maxAnswer = 512 << 10
	// maxCalls is how many requests to one provider may be under way.
	maxCalls = 32
	// patienceRuns is after how many failures in a row a provider is left alone, and restAge for how long.
	patienceRuns = 3
	restAge      = 10 * time.Second
	// keptAge is how long the answer to a GET for everybody is given again without asking: an ID token that names a key nobody knows
	// makes the provider's keys be looked up, and whoever sends many of those must not reach the provider.
	keptAge = 30 * time.Second
)

var (
	errBusy    = errors.New("openid: too many requests to the provider are under way")
	errResting = errors.New("openid: the provider failed repeatedly and is left alone for some seconds")
)

// line is the way to one provider. Answers are read whole before they are passed on, so that a provider that hangs or
// floods in the middle of one has failed as one that does not answer; redirects are not followed, since a code that
// was meant for one address is not sent to another. It is safe for concurrent use.
type line struct {
	next  http.RoundTripper
	clock clock.Clock
	log   *slog.Logger
	calls chan struct{}

	mu       sync.Mutex
	failures int
	restsTo  time.Time
	kept     map[string]keptAnswer
}

type keptAnswer struct {
	answer answer
	until  time.Time
}

// answer is a response with its body in memory.
type answer struct {
	head http.Response
	body []byte
}

func (a answer) to(r *http.Request) *http.Response {
	response := a.head
	response.Header = a.head.Header.Clone()
	response.Body, response.ContentLength, response.Request = io.NopCloser(bytes.NewReader(a.body)), int64(len(a.body)), r
	return &response
}

func newLine(now clock.Clock, log *slog.Logger) *line {
	return &line{
		next: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: maxAnswer,
			// People sign in seldom enough; an idle connection would only be one more thing to close.
			DisableKeepAlives: true,
		},
		clock: now, log: log, calls: make(chan struct{}, maxCalls), kept: map[string]keptAnswer{},
	}
}

// RoundTrip implements http.RoundTripper.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if kept, ok := l.keptFor(r); ok {
		return kept.to(r), nil
	}
	if l.rests() {
		return nil, errResting
	}
	select {
	case l.calls <- struct{}{}:
		defer func() { <-l.calls }()
	default:
		return nil, errBusy
	}
	got, err := l.ask(r)
	if errors.Is(r.Context().Err(), context.Canceled) {
		return nil, r.Context().Err() // who asked has gone; that says nothing about the provider
	}
	l.note(r.Context(), err)
	if err != nil {
		return nil, err
	}
	l.keep(r, got)
	return got.to(r), nil
}

func (l *line) ask(r *http.Request) (_ answer, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	response, err := l.next.RoundTrip(r.Clone(ctx))
	if err != nil {
		return answer{}, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("openid: the answer broke off: %w", err)
	case len(body) > maxAnswer:
		return answer{}, fmt.Errorf("openid: the answer is longer than %d bytes", maxAnswer)
	case response.StatusCode >= http.StatusInternalServerError,
		response.StatusCode >= http.StatusMultipleChoices && response.StatusCode < http.StatusBadRequest,
		response.StatusCode == http.StatusTooManyRequests:
		return answer{}, fmt.Errorf("openid: the provider answered %s", response.Status)
	}
	return answer{head: *response, body: body}, nil
}

// rests reports whether the provider is left alone.
func (l *line) rests() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.Now().Before(l.restsTo)
}

// note counts failures in a row.
func (l *line) note(ctx context.Context, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.failures = 0
		return
	}
	if l.failures++; l.failures >= patienceRuns {
		l.restsTo = l.clock.Now().Add(restAge)
		l.log.WarnContext(ctx, "a provider is left alone", "failures", l.failures, "until", l.restsTo, "error", err)
	}
}

// isPublic reports whether a request reads what is the same for everybody.
func isPublic(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Authorization") == ""
}

func (l *line) keptFor(r *http.Request) (answer, bool) {
	if !isPublic(r) {
		return answer{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kept, ok := l.kept[r.URL.String()]
	return kept.answer, ok && l.clock.Now().Before(kept.until)
}

// keep remembers the answer to a GET for everybody and forgets those whose time is over.
func (l *line) keep(r *http.Request, got answer) {
	if !isPublic(r) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	for address, kept := range l.kept {
		if !now.Before(kept.until) {
			delete(l.kept, address)
		}
	}
	l.kept[r.URL.String()] = keptAnswer{got, now.Add(keptAge)}
}
