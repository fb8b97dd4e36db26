package razorpay

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// Booked lists orders, each as its own payments make it stand: a key that has two is on two lines. Orders of others at the account
// are included.
func (g *Gateway) Booked(ctx context.Context, from, to time.Time, after string) (page []payment.BookedCharge, next string, err error) {
	query := url.Values{
		"from": {strconv.FormatInt(from.Unix(), 10)}, "to": {strconv.FormatInt(to.Unix(), 10)},
		"expand[]": {"payments"}, "count": {pageSize},
	}
	skip := 0
	if after != "" {
		if skip, err = strconv.Atoi(after); err != nil {
			return nil, "", fmt.Errorf("razorpay: the page after %q: %w", after, err)
		}
		query.Set("skip", after)
	}
	var found collection[order]
	if err := g.call(ctx, call{method: http.MethodGet, path: "/orders", query: query}, &found); err != nil {
		return nil, "", err
	}
	for _, o := range found.Items {
		charge, err := record{orders: []order{o}}.charge(g.cfg.KeyID)
		if err != nil {
			return nil, "", err
		}
		charge.Next = nil
		if p, paid := (record{orders: []order{o}}).leading(); paid && charge.Status == payment.ChargeCaptured {
			charge.Refunded = money.Money{AmountMinor: p.AmountRefunded, Currency: p.Currency}
		}
		page = append(page, payment.BookedCharge{Key: o.Receipt, CreatedAt: time.Unix(o.CreatedAt, 0), Charge: charge})
	}
	if strconv.Itoa(len(found.Items)) == pageSize {
		next = strconv.Itoa(skip + len(found.Items))
	}
	return page, next, nil
}
