package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"marquee/internal/clock"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
)

const (
	webhookTries   = 8
	webhookPause   = time.Second // after the first try, unless said otherwise; twice as long after each other
	webhookTimeout = 5 * time.Second
	webhooksAtOnce = 8
)

// webhooks tells one place of what happens, at least once, in no order. What was not taken by the end of the process, or after
// the last try, is not told any more: whoever must know asks.
type webhooks struct {
	url, secret string
	pause       time.Duration
	clock       clock.Clock
	faults      *faults
	log         *slog.Logger
	http        *http.Client

	ctx   context.Context //nolint:containedctx // ends with the gateway, not with the call that something is told of
	turns chan struct{}
	all   sync.WaitGroup

	mu   sync.Mutex
	held []sandbox.Notice // that wait for the next one
}

// tell sends what an entry says.
func (w *webhooks) tell(entry Entry, charge sandbox.Charge) {
	if w.url == "" {
		return
	}
	notice := sandbox.Notice{
		ID: fmt.Sprintf("evt_%s_%d", charge.Reference, entry.Number), Kind: payment.EventCharge, OccurredAt: entry.At, Charge: charge,
	}
	switch {
	case entry.Refund != nil:
		notice.Kind = payment.EventRefund
	case charge.Disputed:
		notice.Kind = payment.EventDispute
	}
	fault := w.faults.next(Webhook, charge.Key, charge.AmountMinor)
	if fault.Do == Lose {
		return
	}
	w.mu.Lock()
	after := w.held
	w.held = nil
	if fault.Do == Reorder {
		w.held = []sandbox.Notice{notice}
	}
	w.mu.Unlock()
	switch fault.Do {
	case Reorder:
		w.send(0, after...)
	case Duplicate:
		w.send(fault.delay(), notice)
		fallthrough
	default:
		w.send(fault.delay(), append([]sandbox.Notice{notice}, after...)...)
	}
}

// send posts webhooks one after the other, the first after a while.
func (w *webhooks) send(delay time.Duration, notices ...sandbox.Notice) {
	w.all.Go(func() {
		for _, notice := range notices {
			w.post(notice, delay)
			delay = 0
		}
	})
}

// post delivers a webhook, if need be in several tries.
func (w *webhooks) post(notice sandbox.Notice, delay time.Duration) {
	body, err := json.Marshal(notice)
	if err != nil {
		w.log.Error("webhook not written", "event", notice.ID, "error", err)
		return
	}
	pause := w.pause
	for try := range webhookTries {
		if try > 0 {
			delay, pause = pause, 2*pause
		}
		if delay > 0 {
			select {
			case <-w.ctx.Done():
				return
			case <-time.After(delay):
			}
		}
		if err = w.deliver(body); err == nil || w.ctx.Err() != nil {
			return
		}
	}
	w.log.Warn("webhook not taken", "event", notice.ID, "error", err)
}

func (w *webhooks) deliver(body []byte) error {
	select {
	case w.turns <- struct{}{}:
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	defer func() { <-w.turns }()
	ctx, cancel := context.WithTimeout(w.ctx, webhookTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(sandbox.SignatureHeader, sandbox.Sign(w.secret, body, w.clock.Now()))
	response, err := w.http.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}
