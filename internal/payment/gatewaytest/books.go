package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"marquee/internal/payment"
)

// books are demands on what a gateway lists. A gateway without them says nothing.
var books = []check{
	{"the_list_has_what_is_looked_up", withBooks(func(ctx context.Context, gateway keeper, s Subject, since time.Time) error {
		returned, captured, authorized, voided := newKey(), newKey(), newKey(), newKey()
		for _, key := range []string{returned, captured} {
			if err := capture(ctx, s, key); err != nil {
				return err
			}
		}
		if _, err := gateway.Refund(ctx, returned, returned+"/refund", third(s)); err != nil {
			return err
		}
		for _, key := range []string{authorized, voided} {
			if _, err := gateway.Authorize(ctx, key, s.Good); err != nil {
				return err
			}
		}
		if _, err := gateway.Void(ctx, voided); err != nil {
			return err
		}
		listed, err := listed(ctx, gateway, since.Add(-time.Minute), since.Add(time.Hour))
		if err != nil {
			return err
		}
		for _, key := range []string{returned, captured, authorized, voided} {
			charge, err := gateway.Lookup(ctx, key)
			if err != nil {
				return err
			}
			booked, ok := listed[key]
			charge.Next, charge.DeclineCode, booked.DeclineCode = nil, "", ""
			if !ok || booked.Charge != charge {
				return fmt.Errorf("the list has %+v of what is %+v", booked, charge)
			}
			if age := booked.CreatedAt.Sub(since); age < -time.Minute || age > time.Hour {
				return fmt.Errorf("a charge of %s is of %s in the list", since, booked.CreatedAt)
			}
		}
		return nil
	})},
	{"the_list_goes_on_from_page_to_page", withBooks(func(ctx context.Context, gateway keeper, s Subject, since time.Time) error {
		const rounds = 6 // with a crowd each more than a page has anywhere
		var keys []string
		for range rounds {
			made := make([]string, crowd)
			if _, err := inParallel(func(i int) (payment.Charge, error) {
				made[i] = newKey()
				return gateway.Authorize(ctx, made[i], s.Good)
			}); err != nil {
				return err
			}
			keys = append(keys, made...)
		}
		_, next, err := gateway.Booked(ctx, since.Add(-time.Minute), since.Add(time.Hour), "")
		if err != nil {
			return err
		}
		if next == "" {
			return fmt.Errorf("%d charges are on one page", len(keys))
		}
		listed, err := listed(ctx, gateway, since.Add(-time.Minute), since.Add(time.Hour))
		if err != nil {
			return err
		}
		for _, key := range keys {
			if _, ok := listed[key]; !ok {
				return fmt.Errorf("a charge of %d is on no page", len(keys))
			}
		}
		return nil
	})},
	{"the_list_keeps_to_its_period", withBooks(func(ctx context.Context, gateway keeper, s Subject, since time.Time) error {
		key := newKey()
		if err := capture(ctx, s, key); err != nil {
			return err
		}
		for _, from := range []time.Time{since.Add(-2 * time.Hour), since.Add(time.Hour)} {
			listed, err := listed(ctx, gateway, from, from.Add(time.Hour-time.Minute))
			if _, there := listed[key]; there {
				err = errors.Join(err, fmt.Errorf("a charge of %s is in the list of an hour from %s", since, from))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})},
}

// keeper is a gateway that lists what it has.
type keeper interface {
	payment.Gateway
	payment.Books
}

func withBooks(judge func(ctx context.Context, gateway keeper, s Subject, since time.Time) error) func(context.Context, Subject) error {
	return func(ctx context.Context, s Subject) error {
		gateway, lists := s.Gateway.(keeper)
		if !lists {
			return nil
		}
		return judge(ctx, gateway, s, time.Now())
	}
}

// listed returns what the books have of a period, by key.
func listed(ctx context.Context, gateway keeper, from, to time.Time) (map[string]payment.BookedCharge, error) {
	const enough = 1000 // pages
	all, after := map[string]payment.BookedCharge{}, ""
	for range enough {
		page, next, err := gateway.Booked(ctx, from, to, after)
		if err != nil {
			return nil, err
		}
		for _, booked := range page {
			all[booked.Key] = booked
		}
		if next == "" {
			return all, nil
		}
		after = next
	}
	return nil, errors.New("the list has no end")
}
