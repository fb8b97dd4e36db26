package payment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/uuid"
)

// Bus carries hints between the processes of one installation: see package bus.
type Bus interface {
	Publish(subject string, payload []byte) error
	Subscribe(subject string, fn func(payload []byte)) (unsubscribe func(), err error)
	OnGap(fn func())
}

const hintSubject = "payment.changed"

// Watch tells who follows a payment that it may have changed, in whatever process that happened. It only says "look again": a lost
// hint delays a screen. It is safe for concurrent use.
type Watch struct {
	bus         Bus
	log         *slog.Logger
	unsubscribe func()

	mu        sync.Mutex
	followers map[Reference]map[chan struct{}]struct{}
}

// NewWatch returns a Watch that listens until [Watch.Close]. It fails when the bus refuses the subscription.
func NewWatch(bus Bus, log *slog.Logger) (*Watch, error) {
	w := &Watch{bus: bus, log: log, followers: map[Reference]map[chan struct{}]struct{}{}}
	unsubscribe, err := bus.Subscribe(hintSubject, w.heard)
	if err != nil {
		return nil, fmt.Errorf("payment: listen for hints: %w", err)
	}
	w.unsubscribe = unsubscribe
	bus.OnGap(w.wakeAll)
	return w, nil
}

// Close ends the listening.
func (w *Watch) Close() { w.unsubscribe() }

// Hint tells all processes that a payment has changed. It belongs after the commit, never blocks and cannot fail.
func (w *Watch) Hint(of Reference) {
	if err := w.bus.Publish(hintSubject, append(of.ShowtimeID[:], of.ID[:]...)); err != nil {
		w.log.Debug("A hint did not reach the bus.", "payment", of.ID, "error", err)
		w.wake(of)
	}
}

func (w *Watch) heard(payload []byte) {
	if len(payload) != 2*len(uuid.Nil) {
		w.log.Warn("A hint on the bus does not name a payment.", "bytes", len(payload))
		return
	}
	w.wake(Reference{uuid.UUID(payload[:len(uuid.Nil)]), uuid.UUID(payload[len(uuid.Nil):])})
}

func (w *Watch) wake(of Reference) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for follower := range w.followers[of] {
		rouse(follower)
	}
}

func (w *Watch) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, followers := range w.followers {
		for follower := range followers {
			rouse(follower)
		}
	}
}

// rouse leaves a word, unless one waits already.
func rouse(follower chan struct{}) {
	select {
	case follower <- struct{}{}:
	default:
	}
}

// Follow returns a channel that has a word whenever a payment may have changed since the last one was taken, until leave is called.
func (w *Watch) Follow(of Reference) (changed <-chan struct{}, leave func()) {
	follower := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.followers[of] == nil {
		w.followers[of] = map[chan struct{}]struct{}{}
	}
	w.followers[of][follower] = struct{}{}
	return follower, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.followers[of], follower)
		if len(w.followers[of]) == 0 {
			delete(w.followers, of)
		}
	}
}

// Standing says how a payment stands: the version is another one once anything that is told of it has changed, and it is settled
// when nothing of it is under way. ErrMoved when there is no such payment. One statement.
func (s *Service) Standing(ctx context.Context, of Reference) (version string, settled bool, err error) {
	err = s.db.SQL().QueryRowContext(ctx, `SELECT md5(concat_ws('|', p.status, p.amount_minor, p.refunded_minor,
			(SELECT string_agg(a.id || a.status, ',' ORDER BY a.number) FROM payment_attempts a WHERE a.showtime_id = p.showtime_id AND a.payment_id = p.id),
			(SELECT string_agg(f.id || f.status, ',' ORDER BY f.id) FROM refunds f WHERE f.showtime_id = p.showtime_id AND f.payment_id = p.id),
			(SELECT string_agg(v.rung || coalesce(v.answer, ''), ',' ORDER BY v.attempt_id) FROM payment_recoveries v
				WHERE v.showtime_id = p.showtime_id AND v.reservation_id = p.reservation_id))),
			p.status <> 'PENDING'
				AND NOT EXISTS (SELECT FROM payment_attempts a WHERE a.showtime_id = p.showtime_id AND a.payment_id = p.id
					AND a.status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING'))
				AND NOT EXISTS (SELECT FROM refunds f WHERE f.showtime_id = p.showtime_id AND f.payment_id = p.id AND f.status = 'PENDING')
		FROM payments p WHERE p.showtime_id = $1 AND p.id = $2`, of.ShowtimeID, of.ID).Scan(&version, &settled)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, ErrMoved
	}
	if err != nil {
		return "", false, fmt.Errorf("reading how a payment stands: %w", err)
	}
	return version, settled, nil
}
