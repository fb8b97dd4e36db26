package payment_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"marquee/internal/dbtest/fixture"
	"marquee/internal/money"
	"marquee/internal/payment"
	"marquee/internal/payment/gatewaytest"
	"marquee/internal/typeid"
)

// credit gives a new customer store credit, without a ledger.
func (l *till) credit(t testing.TB, minor int64) (token string) {
	t.Helper()
	id := typeid.New()
	l.Exec(t, `INSERT INTO store_credits (id, customer_id, theater_id, currency) VALUES ($1, $2, $3, 'NZD')`, id, typeid.New(), l.TheaterID)
	l.Exec(t, `INSERT INTO store_credit_entries (id, credit_id, kind, key, amount_minor) VALUES ($1, $2, 'GRANTED', 'a grant', $3)`, typeid.New(), id, minor)
	return id.String()
}

// forgetful is the gateway of store credit, the answer of which is lost when an amount is first authorized.
type forgetful struct {
	payment.CreditGateway
	lost int64
}

func (f forgetful) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	_, err := f.Lookup(ctx, key)
	charge, authorizeErr := f.CreditGateway.Authorize(ctx, key, request)
	if request.Amount.AmountMinor == f.lost && errors.Is(err, payment.ErrNoSuchCharge) {
		return payment.Charge{}, errors.Join(gatewaytest.ErrNoAnswer, authorizeErr)
	}
	return charge, authorizeErr
}

func TestCreditGateway_conforms(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.Subject {
		t.Helper()
		rich, poor := l.credit(t, 1_000_000), l.credit(t, 1199)
		gateway := forgetful{l.Credit(), 1291}
		return gatewaytest.Subject{
			Gateway: gateway, Good: payment.Request{Amount: nzd(1200), Token: rich}, LostAnswer: payment.Request{Amount: nzd(1291), Token: rich},
			Declined: map[string]payment.Request{"insufficient_funds": {Amount: nzd(1200), Token: poor}},
			RefundByHand: func(ctx context.Context, key string, amount money.Money) error {
				_, err := gateway.Refund(ctx, key, "by hand "+typeid.New().String(), amount)
				return err
			},
		}
	})
}

// TestCreditGateway_never_negative holds that of many payments by one credit at once, on two nodes, no more are authorized than
// it pays for, and that what is let go of can be reserved again.
func TestCreditGateway_never_negative(t *testing.T) {
	t.Parallel()
	l := newTill(t)
	nodes := []payment.CreditGateway{payment.NewService(l.DB).Credit(), payment.NewService(l.DB).Credit()}
	token := l.credit(t, 5*1200+1199)
	for _, round := range []int{5, 2} {
		var authorized, wrong atomic.Int32
		var keys sync.Map
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				key := typeid.New().String()
				charge, err := nodes[i%2].Authorize(t.Context(), key, payment.Request{Amount: nzd(1200), Token: token})
				switch {
				case err == nil && charge.Status == payment.ChargeAuthorized:
					authorized.Add(1)
					keys.Store(key, true)
				case err != nil || charge.DeclineCode != "insufficient_funds":
					wrong.Add(1)
				}
			})
		}
		all.Wait()
		if int(authorized.Load()) != round || wrong.Load() != 0 {
			t.Fatalf("%d are authorized and %d wrong, want %d", authorized.Load(), wrong.Load(), round)
		}
		n := 0
		keys.Range(func(key, _ any) bool { // three are captured, two let go
			var err error
			if n++; n <= 3 {
				_, err = nodes[0].Capture(t.Context(), key.(string), nzd(1200))
			} else {
				_, err = nodes[1].Void(t.Context(), key.(string))
			}
			if err != nil {
				t.Error(err)
			}
			return true
		})
	}
	if left := fixture.Get[int64](t, l.DB, `SELECT sum(amount_minor)::bigint FROM store_credit_entries WHERE credit_id = $1`, uuid.MustParse(token)); left != 1199 {
		t.Errorf("%d are left", left)
	}
}
