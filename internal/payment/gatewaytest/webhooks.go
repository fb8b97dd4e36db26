package gatewaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"marquee/internal/payment"
)

// webhooks are demands on what a gateway believes of a webhook. A gateway without them has nothing to believe.
var webhooks = []check{
	{"a_webhook_tells_of_its_charge", withWebhook(func(gateway teller, w webhook) error {
		event, err := gateway.Verify(w.header, w.body, w.at)
		if err != nil {
			return err
		}
		if event.ID == "" || event.Kind != payment.EventCharge || event.Key != w.key || event.Reference != w.charge.Reference || event.OccurredAt.IsZero() {
			return fmt.Errorf("the event is %+v; want one of charge %s, %s", event, w.key, w.charge.Reference)
		}
		if event.Charge != nil {
			return same(w.charge, *event.Charge)
		}
		return nil
	})},
	{"a_webhook_sent_again_has_the_same_id", withWebhook(func(gateway teller, w webhook) error {
		first, err := gateway.Verify(w.header, w.body, w.at)
		if err != nil {
			return err
		}
		again, err := gateway.Verify(w.header, w.body, w.at.Add(time.Minute))
		if err == nil && again.ID != first.ID {
			err = fmt.Errorf("one event has the ids %s and %s", first.ID, again.ID)
		}
		return err
	})},
	{"an_unsigned_webhook_is_forged", withWebhook(func(gateway teller, w webhook) error {
		return forged(gateway, http.Header{}, w.body, w.at)
	})},
	{"a_webhook_with_any_byte_changed_is_forged", withWebhook(func(gateway teller, w webhook) error {
		for i := range w.body {
			changed := bytes.Clone(w.body)
			changed[i] ^= 1
			if err := forged(gateway, w.header, changed, w.at); err != nil {
				return fmt.Errorf("byte %d: %w", i, err)
			}
		}
		return errors.Join(forged(gateway, w.header, append(bytes.Clone(w.body), '\n'), w.at), forged(gateway, w.header, nil, w.at))
	})},
	{"a_webhook_written_anew_is_forged", withWebhook(func(gateway teller, w webhook) error {
		var anew bytes.Buffer
		if err := json.Indent(&anew, w.body, " ", "  "); err != nil {
			return err
		}
		return forged(gateway, w.header, anew.Bytes(), w.at)
	})},
	{"a_webhook_with_another_signature_is_forged", withWebhook(func(gateway teller, w webhook) error {
		genuine, err := gateway.Verify(w.header, w.body, w.at)
		if err != nil {
			return err
		}
		for name := range w.header {
			for _, value := range []string{"", "00", w.header.Get(name) + "0", w.header.Get(name)[1:]} {
				header := w.header.Clone()
				header.Set(name, value)
				// A header that is not signed can say no more than which event it is.
				event, err := gateway.Verify(header, w.body, w.at)
				if event.ID = genuine.ID; err == nil && reflect.DeepEqual(event, genuine) {
					continue
				}
				if err := forged(gateway, header, w.body, w.at); err != nil {
					return fmt.Errorf("%s %q: %w", name, value, err)
				}
			}
		}
		return nil
	})},
	{"a_webhook_of_long_ago_is_forged_where_the_time_is_signed", withWebhook(func(gateway teller, w webhook) error {
		const more = payment.WebhookAge + time.Minute
		if gateway.Capabilities().SignedTime {
			return errors.Join(forged(gateway, w.header, w.body, w.at.Add(more)), forged(gateway, w.header, w.body, w.at.Add(-more)))
		}
		_, err := gateway.Verify(w.header, w.body, w.at.Add(more))
		return err
	})},
}

// teller is a gateway with webhooks.
type teller interface {
	payment.Gateway
	payment.Webhooks
}

// webhook is a genuine one, about a charge that is captured.
type webhook struct {
	key    string
	charge payment.Charge
	header http.Header // the signature, and what else the gateway says there
	body   []byte
	at     time.Time
}

func withWebhook(judge func(gateway teller, w webhook) error) func(context.Context, Subject) error {
	return func(ctx context.Context, s Subject) error {
		gateway, tells := s.Gateway.(teller)
		if !tells {
			return nil
		}
		w := webhook{key: newKey(), at: time.Now()}
		err := capture(ctx, s, w.key)
		if err == nil {
			w.charge, err = s.Gateway.Lookup(ctx, w.key)
		}
		if err == nil {
			w.header, w.body, err = s.Webhook(ctx, w.key, w.at)
		}
		if err != nil {
			return err
		}
		return judge(gateway, w)
	}
}

func forged(gateway teller, header http.Header, body []byte, now time.Time) error {
	event, err := gateway.Verify(header, body, now)
	if errors.Is(err, payment.ErrForged) && event == (payment.Event{}) {
		return nil
	}
	return fmt.Errorf("a forged webhook gives %+v, %w; want ErrForged", event, orNone(err))
}
