//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"marquee/internal/bus"
	"marquee/internal/postgres"
	"marquee/internal/seatfeed"
)

const clusterPassword = "a password for one run"

// house blocks and frees seats in the database, and tells the server as another node of its cluster would.
type house struct {
	session  *sql.Conn
	hints    *bus.Bus
	feed     *seatfeed.Feed
	showtime uuid.UUID
	// canary watches the showtime under another name than the crowd, and so is told of a change when the server has
	// taken it in, not when it is the canary's turn among thousands.
	canary     *subscriber
	made, told int // changes, and those of them that the canary has been told
}

// openHouse joins the cluster of a server.
func openHouse(ctx context.Context, db *postgres.DB, cluster, address string) (_ *house, err error) {
	h := &house{showtime: uuid.MustParse(showtimeKey)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.session, err = db.SQL().Conn(ctx); err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	// What is measured is how changes are told, not how they are stored.
	if _, err := h.session.ExecContext(ctx, `SET synchronous_commit = off`); err != nil {
		return nil, fmt.Errorf("prepare a session: %w", err)
	}
	h.hints, err = bus.Start(ctx, bus.Config{
		ClusterListen: "127.0.0.1:0", Peers: []string{"nats-route://" + cluster}, ClusterPassword: clusterPassword,
	})
	if err != nil {
		return nil, err
	}
	h.feed, err = seatfeed.New(seatfeed.Config{Bus: h.hints, Source: func(context.Context, uuid.UUID) ([]seatfeed.State, time.Duration, error) {
		return nil, 0, errors.New("nobody watches here")
	}})
	if err != nil {
		return nil, err
	}
	if h.canary, err = open(address, mostSubscribers, "Canary"); err != nil {
		return nil, fmt.Errorf("open the canary: %w", err)
	}
	// The nodes have found each other when the first hint arrives.
	err = h.hear(ctx, func() bool { return h.canary.view.version > 0 })
	return h, err
}

// block makes a change and waits until the server has taken it in: the server would tell of two changes that wait for
// one read in one message, and messages are what is counted.
func (h *house) block(c change) error {
	ctx, done := context.WithTimeout(context.Background(), connectLimit)
	defer done()
	statement := `DELETE FROM seat_claims WHERE showtime_id = $1 AND seat_no = $2`
	if c.state == blocked {
		statement = `INSERT INTO seat_claims (showtime_id, seat_no) VALUES ($1, $2)`
	}
	if _, err := h.session.ExecContext(ctx, statement, h.showtime, c.seat); err != nil {
		return fmt.Errorf("change seat %d: %w", c.seat, err)
	}
	h.feed.Hint(h.showtime)
	h.made++
	return h.hear(ctx, func() bool { return h.told == h.made })
}

// hear reads what the canary is told until a condition holds.
func (h *house) hear(ctx context.Context, condition func() bool) error {
	for !condition() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		opcode, payload, rest, ok := cutFrame(h.canary.rest)
		if !ok {
			if err := h.canary.more(); err != nil {
				return fmt.Errorf("the canary: %w", err)
			}
			continue
		}
		if opcode == opText && string(payload) != `{"type":"ping"}` {
			if err := h.canary.view.apply(payload, h.hearChange); err != nil {
				return fmt.Errorf("the canary: %w", err)
			}
		}
		h.canary.rest = append(h.canary.rest[:0], rest...)
	}
	return nil
}

func (h *house) hearChange(c change) {
	if isBlock(c) {
		h.told++
	}
}

// close leaves the cluster.
func (h *house) close() error {
	var errs []error
	if h.canary != nil {
		errs = append(errs, unix.Close(h.canary.fd))
	}
	if h.feed != nil {
		h.feed.Close()
	}
	if h.hints != nil {
		errs = append(errs, h.hints.Close())
	}
	if h.session != nil {
		errs = append(errs, h.session.Close())
	}
	return errors.Join(errs...)
}
