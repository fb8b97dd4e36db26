package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"marquee/internal/bench/server"
	"marquee/internal/bench/wire"
)

const (
	clients  = 200
	accounts = 2000 // more than are guessed at in a run, so that no account's own limit spares the server a hash

	// password is that of all accounts: a demo account's, which the command `serve` prints.
	password      = "customer at the movies"
	wrongPassword = "customer at the theater"

	// pace is how often the visitor asks for movies.
	pace = 20 * time.Millisecond
	// tabs is how many answers the visitor waits for at once: more than come due within a whole second.
	tabs = 64
	// watching is how often the server's metrics are read.
	watching = 200 * time.Millisecond
)

// kind is what a client of the flood does.
type kind int

const (
	right   kind = iota // the right password
	wrong               // a wrong one, for an account that exists
	unknown             // any one, for an account that does not
	guesser             // wrong ones for one account, from one address
	kinds
)

func (k kind) String() string {
	return [...]string{"right password", "wrong password", "unknown address", "one guesser"}[k]
}

// kindOf shares the clients out.
func kindOf(client int) kind { return kind(client % int(kinds)) }

// outcome is what came of a sign-in.
type outcome int

const (
	admitted outcome = iota
	refused
	throttled
	failed
	outcomes
)

// tally counts the outcomes of a kind and keeps how long the answers took that were no THROTTLED.
type tally struct {
	counts [outcomes]int
	times  []time.Duration
}

const signInDocument = `mutation SignIn($input: SignInInput!) { signIn(input: $input) { __typename } }`

// moviesDocument is what a visitor of the first page sees.
const moviesDocument = `{ movies(first: 20, filter: { playing: true }) { nodes { id title runTimeMinutes genres { name } rating { meanTenths votes } } } }`

var (
	admittedBody  = []byte(`{"data":{"signIn":{"__typename":"SessionPayload"}}`)
	refusedBody   = []byte(`{"data":{"signIn":{"__typename":"InvalidCredentials"}}`)
	throttledBody = []byte(`"code":"THROTTLED"`)
	moviesBody    = []byte(`{"data":{"movies":{"nodes":[{"id":"mov_`)
)

// judge tells what came of a sign-in.
func judge(status int, body []byte) outcome {
	switch {
	case status == http.StatusOK && bytes.HasPrefix(body, admittedBody):
		return admitted
	case status == http.StatusOK && bytes.HasPrefix(body, refusedBody):
		return refused
	case (status == http.StatusOK || status == http.StatusTooManyRequests) && bytes.Contains(body, throttledBody):
		return throttled
	default:
		return failed
	}
}

// request returns the bytes of a request that a proxy hands on for a client.
func request(host, address, document string, variables any) ([]byte, error) {
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return fmt.Appendf(nil, "POST /graphql HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\nContent-Type: application/json\r\n"+
		"Accept: application/graphql-response+json\r\nContent-Length: %d\r\n\r\n%s", host, address, len(body), body), nil
}

// address returns address number n of a network of 16 million.
func address(network byte, n uint32) string {
	return fmt.Sprintf("%d.%d.%d.%d", network, byte(n>>16), byte(n>>8), byte(n))
}

// The networks that clients come from.
const (
	crowdNetwork   = 11
	visitorNetwork = 12
	guesserAddress = "192.0.2.66"
)

// flood is the clients together.
type flood struct {
	host    string
	serial  atomic.Uint32
	mu      sync.Mutex
	tallies [kinds]tally
	strange string // the first answer that is none of those expected
}

// next returns the next request of a kind.
func (f *flood) next(k kind) ([]byte, error) {
	n := f.serial.Add(1)
	from, email, word := address(crowdNetwork, n), fmt.Sprintf("viewer%d@bench.example", n%accounts), password
	switch k {
	case wrong:
		word = wrongPassword
	case unknown:
		email = fmt.Sprintf("nobody%d@bench.example", n)
	case guesser:
		from, email, word = guesserAddress, "viewer0@bench.example", wrongPassword
	default: // the right one
	}
	return request(f.host, from, signInDocument, map[string]any{"input": map[string]any{"email": email, "password": word}})
}

// signIn is one client: it signs in again and again until the end of ctx, and waits for the last answer.
func (f *flood) signIn(ctx context.Context, k kind, deadline time.Time) error {
	conn, err := wire.Dial(ctx, f.host, deadline)
	if err != nil {
		return err
	}
	defer conn.Close()
	for ctx.Err() == nil {
		message, err := f.next(k)
		if err != nil {
			return err
		}
		sent := time.Now()
		status, body, err := conn.Do(message)
		if err != nil {
			return err
		}
		took := time.Since(sent)
		result := judge(status, body)
		f.mu.Lock()
		f.tallies[k].counts[result]++
		if result == admitted || result == refused {
			f.tallies[k].times = append(f.tallies[k].times, took)
		}
		if result == failed && f.strange == "" {
			f.strange = fmt.Sprintf("%d %s", status, body)
		}
		f.mu.Unlock()
	}
	return nil
}

// browse is the visitor: asks for movies at the pace for a duration, however long the answers take, and returns how long
// after the moment it was due each came.
func browse(ctx context.Context, host string, duration time.Duration) ([]time.Duration, error) {
	began := time.Now()
	questions := make(chan question)
	var (
		mu    sync.Mutex
		times []time.Duration
		errs  []error
		wait  sync.WaitGroup
	)
	for range tabs {
		wait.Go(func() {
			answered, err := ask(ctx, host, questions, began.Add(duration+patience))
			mu.Lock()
			defer mu.Unlock()
			times, errs = append(times, answered...), append(errs, err)
		})
	}
	n := uint32(0)
	for due := began.Add(pace); due.Before(began.Add(duration)) && ctx.Err() == nil; due = due.Add(pace) {
		<-time.After(time.Until(due))
		n++
		questions <- question{due: due, from: address(visitorNetwork, n)}
	}
	close(questions)
	wait.Wait()
	return times, errors.Join(errs...)
}

// question is a request of the visitor.
type question struct {
	due time.Time
	// A household of visitors: one alone would have to pay for so many questions.
	from string
}

// ask is one connection of the visitor. After an error it takes questions without asking them.
func ask(ctx context.Context, host string, questions <-chan question, deadline time.Time) (times []time.Duration, err error) {
	conn, err := wire.Dial(ctx, host, deadline)
	if err == nil {
		defer conn.Close()
	}
	for q := range questions {
		if err != nil {
			continue
		}
		var message, body []byte
		var status int
		if message, err = request(host, q.from, moviesDocument, nil); err != nil {
			continue
		}
		if status, body, err = conn.Do(message); err != nil {
			continue
		}
		if status != http.StatusOK || !bytes.HasPrefix(body, moviesBody) {
			err = fmt.Errorf("movies answered %d %.300s", status, body)
			continue
		}
		times = append(times, time.Since(q.due))
	}
	return times, err
}

// measure lets the visitor browse before, during and after the flood.
func measure(ctx context.Context, marquee *server.Server, s settings) (*report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*calm+s.duration+3*patience, errors.New("the measurement took too long"))
	defer cancel()
	r := &report{settings: s}
	var err error
	// What a server remembers after the first seconds of its life it has by then.
	if _, err = browse(ctx, marquee.Address(), calm/2); err != nil {
		return nil, err
	}
	if r.before, err = browse(ctx, marquee.Address(), calm); err != nil {
		return nil, err
	}
	if r.atRest, err = readGauges(ctx, marquee); err != nil {
		return nil, err
	}
	if err := r.underFlood(ctx, marquee); err != nil {
		return nil, err
	}
	if r.after, err = browse(ctx, marquee.Address(), calm); err != nil {
		return nil, err
	}
	return r, nil
}

// underFlood lets the visitor browse during the flood while the server's metrics are watched.
func (r *report) underFlood(ctx context.Context, marquee *server.Server) error {
	f := &flood{host: marquee.Address()}
	until, cancel := context.WithTimeout(ctx, r.settings.duration)
	defer cancel()
	began := time.Now()
	errs := make(chan error, clients+2)
	var wait sync.WaitGroup
	for client := range clients {
		wait.Go(func() { errs <- f.signIn(until, kindOf(client), began.Add(r.settings.duration+patience)) })
	}
	wait.Go(func() {
		times, err := browse(ctx, marquee.Address(), r.settings.duration)
		r.during = times
		errs <- err
	})
	wait.Go(func() {
		peak, err := watch(until, marquee)
		r.peak = peak
		errs <- err
	})
	wait.Wait()
	r.took = time.Since(began)
	close(errs)
	r.tallies, r.strange = f.tallies, f.strange
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
