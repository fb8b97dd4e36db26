//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"marquee/internal/bench/server"
	"marquee/internal/bench/wire"
	"marquee/internal/postgres"
)

const (
	reserve = `mutation($input: ReserveSeatsInput!) { reserveSeats(input: $input) { __typename ... on ReserveSeatsPayload { reservation { id } } } }`
	cancel  = `mutation($input: CancelReservationInput!) { cancelReservation(input: $input) { __typename ... on CancelReservationPayload { reservation { status } } } }`
)

// productSide is the built binary, driven through its API.
type productSide struct {
	server  *server.Server
	log     string
	conns   chan *wire.Conn   // those that nobody uses at this moment
	queries map[string][]byte // the documents as JSON texts
	tokens  [viewers]string
	house   *house

	mu       sync.Mutex
	reserved map[int]sale // by seat
	asked    int
}

// customers is how many of them reserve or give back at once.
const customers = 8

// sale is a reservation of one seat.
type sale struct {
	id     string
	viewer int
}

// place is where the product works.
type place struct {
	dir, url, keyset string // url is that of the database
	db               *postgres.DB
}

// startProduct starts the binary in production, behind a balancer that stands for many clients, without a rate for one
// of them: what is measured is the server, not its patience.
func startProduct(ctx context.Context, s settings, at place, deadline time.Time) (_ *productSide, err error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the program instead
	p := &productSide{log: filepath.Join(at.dir, "server.log"), queries: map[string][]byte{}, reserved: map[int]sale{}, conns: make(chan *wire.Conn, customers)}
	if p.tokens, err = sign(secret); err != nil {
		return nil, err
	}
	for _, text := range []string{reserve, cancel} {
		if p.queries[text], err = json.Marshal(text); err != nil {
			return nil, fmt.Errorf("write a request: %w", err)
		}
	}
	cluster, err := server.FreeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	defer log.Close() // the process has a handle of its own
	p.server, err = server.Start(server.Options{
		Binary: s.binary,
		Args:   []string{"--empty"},
		Env: map[string]string{
			"MARQUEE_ENV":              "production",
			"MARQUEE_GATEWAYS":         "sandbox",
			"MARQUEE_PUBLIC_URL":       "http://localhost:8080",
			"MARQUEE_SMTP_URL":         "smtp://localhost:25?tls=off",
			"MARQUEE_MAIL_FROM":        "bench@marquee.example",
			"MARQUEE_DATA_DIR":         filepath.Join(at.dir, "data"),
			"MARQUEE_DATABASE_URL":     at.url,
			"MARQUEE_KEYSET":           at.keyset,
			"MARQUEE_SECRET_KEY":       base64.StdEncoding.EncodeToString(secret),
			"MARQUEE_CLUSTER_LISTEN":   cluster,
			"MARQUEE_CLUSTER_PASSWORD": clusterPassword,
			// Nobody pays.
			"MARQUEE_SANDBOX_URL":            "http://127.0.0.1:8090",
			"MARQUEE_SANDBOX_KEY":            "never asked for a payment",
			"MARQUEE_SANDBOX_WEBHOOK_SECRET": "never told of a payment",
			"MARQUEE_LIVE_INTERVAL":          s.interval.String(),
			"MARQUEE_TRUSTED_PROXIES":        "127.0.0.1/32",
			"MARQUEE_RATE_VIEWER":            "0",
			"MARQUEE_RATE_ADDRESS":           "0",
			"MARQUEE_RATE_PURCHASE_VIEWER":   "0",
			"MARQUEE_RATE_PURCHASE_ADDRESS":  "0",
			"MARQUEE_SEATS_PER_ADDRESS":      "0",
			"MARQUEE_IDLE_HOLDS":             "0",
		},
		Log: log,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop(context.WithoutCancel(ctx)), errors.New(server.Tail(p.log, 20)))
		}
	}()
	startCtx, done := context.WithTimeout(ctx, starting)
	defer done()
	if err := p.server.Ready(startCtx); err != nil {
		return nil, err
	}
	for range customers {
		conn, err := wire.Dial(ctx, p.server.Address(), deadline)
		if err != nil {
			return nil, err
		}
		p.conns <- conn
	}
	p.house, err = openHouse(ctx, at.db, cluster, p.server.Address())
	return p, err
}

func (p *productSide) name() string    { return "marquee" }
func (p *productSide) address() string { return p.server.Address() }
func (p *productSide) pid() int        { return p.server.PID() }

// block keeps a seat back or gives it free.
func (p *productSide) block(c change) error { return p.house.block(c) }

// sell takes a seat or gives it back, as the next viewer would. Several may be at it at once.
func (p *productSide) sell(c change) error {
	if c.state == held {
		p.mu.Lock()
		p.asked++
		asked := p.asked
		p.mu.Unlock()
		viewer := asked % viewers
		body, err := p.send(reserve, viewer, map[string]any{
			"showtimeId": showtimeID(), "seatIds": []string{seatID(c.seat)}, "idempotencyKey": fmt.Sprintf("bench-live-%016x", asked),
		})
		if err != nil {
			return err
		}
		var answer struct {
			Data struct {
				ReserveSeats struct {
					Reservation struct {
						ID string `json:"id"`
					} `json:"reservation"`
				} `json:"reserveSeats"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &answer); err != nil || answer.Data.ReserveSeats.Reservation.ID == "" {
			return fmt.Errorf("seat %d is not reserved: %.300s", c.seat, body)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reserved[c.seat] = sale{answer.Data.ReserveSeats.Reservation.ID, viewer}
		return nil
	}
	p.mu.Lock()
	given := p.reserved[c.seat]
	delete(p.reserved, c.seat)
	p.mu.Unlock()
	body, err := p.send(cancel, given.viewer, map[string]any{"reservationId": given.id})
	if err == nil && !bytes.Contains(body, []byte(`"CANCELLED"`)) {
		err = fmt.Errorf("seat %d is not given back: %.300s", c.seat, body)
	}
	return err
}

// send makes one request of a viewer.
func (p *productSide) send(query string, viewer int, input map[string]any) ([]byte, error) {
	variables, err := json.Marshal(map[string]any{"input": input})
	if err != nil {
		return nil, fmt.Errorf("write a request: %w", err)
	}
	body := fmt.Appendf(nil, `{"query":%s,"variables":%s}`, p.queries[query], variables)
	conn := <-p.conns
	defer func() { p.conns <- conn }()
	status, answer, err := conn.Do(fmt.Appendf(nil, "POST /graphql HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", p.server.Address(), p.tokens[viewer], len(body), body))
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the server answers %d: %.300s", status, answer)
	}
	return answer, nil
}

func (p *productSide) stop(ctx context.Context) error {
	for len(p.conns) > 0 {
		_ = (<-p.conns).Close()
	}
	var errs []error
	if p.house != nil {
		errs = append(errs, p.house.close())
	}
	stopCtx, done := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer done()
	if err := p.server.Stop(stopCtx); err != nil {
		errs = append(errs, fmt.Errorf("%w; its last words:\n%s", err, server.Tail(p.log, 20)))
	}
	return errors.Join(errs...)
}
