package graph

import (
	"context"
	"time"

	"marquee/internal/auth"
	"marquee/internal/payment"
)

// paymentResync is how long a follower of a payment waits for a hint before it looks by itself: one may have been lost.
const paymentResync = 10 * time.Second

// watchPayment turns what happens to a payment into the events of a subscription, until nothing of it is under way. NOT_FOUND when it
// is missing or the viewer may not see it, which is asked again for each event.
func (r *Resolver) watchPayment(ctx context.Context, viewer auth.Viewer, ref payment.Reference) (<-chan *payment.Payment, error) {
	if _, err := r.Services.Booking.Payment(ctx, viewer, ref); err != nil {
		return nil, err
	}
	changed, leave := r.Services.Payments.Follow(ref)
	out := make(chan *payment.Payment)
	go func() {
		defer close(out)
		defer leave()
		resync := time.NewTicker(paymentResync)
		defer resync.Stop()
		for told := ""; ; {
			// The version is read first: what happens in between is told, and told once more.
			version, settled, err := r.Services.Payment.Standing(ctx, ref)
			if err == nil && version != told {
				found, err := r.Services.Booking.Payment(ctx, viewer, ref)
				if err != nil {
					return
				}
				select {
				case out <- &found:
					told = version
				case <-ctx.Done():
					return
				}
			}
			if err == nil && settled {
				return
			}
			select {
			case <-changed:
			case <-resync.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
