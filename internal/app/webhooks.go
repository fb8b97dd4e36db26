package app

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"marquee/internal/clock"
	"marquee/internal/payment"
	"marquee/internal/peer"
	"marquee/internal/ratelimit"
	"marquee/internal/webhook"
)

const (
	// maxWebhook is more than a gateway has to tell of one charge.
	maxWebhook = 256 << 10
	// webhookTimeout bounds how long the body may take to come, and how long it takes to be stored.
	webhookTimeout = 5 * time.Second
)

// receiver takes in what payment gateways tell: 204 when it is stored, also when it was before; 400 when it is not to be believed;
// 404 for a gateway that there is not; 413 and 429 for too much; 503 when it cannot be stored, which tells the gateway to send it again.
func (a *App) receiver(c clock.Clock) http.Handler {
	rates := ratelimit.New(c, ratelimit.Rates{Browse: ratelimit.Rate{Address: a.cfg.RateWebhooks}})
	address := peer.Address(a.cfg.TrustedProxies)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, wait := rates.Take(ratelimit.Browse, ratelimit.Caller{Address: address(r)}, 1); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		// Where a deadline cannot be set, the server's own hold.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(webhookTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		// What was begun is finished, though the gateway hangs up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), webhookTimeout)
		defer cancel()
		switch err := a.Webhooks.Receive(ctx, r.PathValue("gateway"), r.Header, body); {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case errors.Is(err, webhook.ErrNoInbox):
			w.WriteHeader(http.StatusNotFound)
		case errors.Is(err, payment.ErrForged):
			w.WriteHeader(http.StatusBadRequest)
		default:
			a.log.WarnContext(ctx, "webhook not stored", "error", err)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
}

// reachable is how this machine reaches a listener of its own that may listen on every address.
func reachable(listener net.Addr) string {
	at, err := netip.ParseAddrPort(listener.String())
	if err == nil && at.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()).String()
	}
	return listener.String()
}
