// Package sandbox is a payment gateway that moves no money: for development, demonstrations and tests.
//
// This is the side of whoever asks; the gateway itself is in the package server, a process of its own or a part of this one.
// Amounts decide the outcome, by their last two digits in minor units; the numbers are the response codes of ISO 8583:
//
//	05  declined: do_not_honor
//	51  declined: insufficient_funds
//	54  declined: expired_card
//	91  the charge is authorized, but the answer is lost
//
// So do TokenChallenge and TokenSlow, and whatever the gateway has been told to do wrong.
package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"marquee/internal/money"
	"marquee/internal/payment"
)

// Config says where the sandbox is.
type Config struct {
	URL       string   // without a slash at the end
	Key       string   // that it lets in
	Secrets   []string // that it signs webhooks with; several while they are changed
	Transport http.RoundTripper
}

// Gateway is a client of the sandbox. It is safe for concurrent use.
type Gateway struct {
	cfg  Config
	http *http.Client
}

var (
	_ payment.Gateway  = (*Gateway)(nil)
	_ payment.Webhooks = (*Gateway)(nil)
	_ payment.Books    = (*Gateway)(nil)
)

// New returns a client.
func New(cfg Config) *Gateway {
	return &Gateway{cfg: cfg, http: &http.Client{
		Transport: cfg.Transport,
		// What a gateway says is an answer or it is none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Name returns "sandbox".
func (*Gateway) Name() string { return "sandbox" }

// Capabilities are all that there are, in every currency.
func (*Gateway) Capabilities() payment.Capabilities {
	return payment.Capabilities{
		Instruments: []payment.Instrument{payment.InstrumentCard}, Actions: true, Asynchronous: true, PartialCapture: true, SignedTime: true,
		Step: payment.StepRedirect,
	}
}

// Authorize reserves the amount, or does what its last two digits or the token say.
func (g *Gateway) Authorize(ctx context.Context, key string, request payment.Request) (payment.Charge, error) {
	return g.charge(ctx, http.MethodPut, key, "", Amount{
		AmountMinor: request.Amount.AmountMinor, Currency: request.Amount.Currency, Token: request.Token, ReturnURL: request.ReturnURL,
	})
}

// Capture takes an amount of an authorized charge.
func (g *Gateway) Capture(ctx context.Context, key string, amount money.Money) (payment.Charge, error) {
	return g.charge(ctx, http.MethodPost, key, "/capture", Amount{AmountMinor: amount.AmountMinor, Currency: amount.Currency})
}

// Void lets go of a charge that is not captured; an unknown key can never be authorized.
func (g *Gateway) Void(ctx context.Context, key string) (payment.Charge, error) {
	return g.charge(ctx, http.MethodPost, key, "/void", nil)
}

// Refund gives back part or all of a captured charge, once per refundKey.
func (g *Gateway) Refund(ctx context.Context, key, refundKey string, amount money.Money) (payment.ChargeRefund, error) {
	var refund Refund
	err := g.ask(ctx, http.MethodPost, path(key)+"/refunds", Amount{Key: refundKey, AmountMinor: amount.AmountMinor, Currency: amount.Currency}, &refund)
	return refund.Told(), err
}

// LookupRefund says how a refund stands.
func (g *Gateway) LookupRefund(ctx context.Context, key, refundKey string) (payment.ChargeRefund, error) {
	var refund Refund
	err := g.ask(ctx, http.MethodGet, path(key)+"/refunds?key="+url.QueryEscape(refundKey), nil, &refund)
	return refund.Told(), err
}

// Lookup says how a charge stands.
func (g *Gateway) Lookup(ctx context.Context, key string) (payment.Charge, error) {
	return g.charge(ctx, http.MethodGet, key, "", nil)
}

// Booked lists charges, the first made first.
func (g *Gateway) Booked(ctx context.Context, from, to time.Time, after string) (page []payment.BookedCharge, next string, err error) {
	query := url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}, "after": {after}}
	var answer Page
	if err := g.ask(ctx, http.MethodGet, "/v1/charges?"+query.Encode(), nil, &answer); err != nil {
		return nil, "", err
	}
	for _, charge := range answer.Charges {
		booked := payment.BookedCharge{Charge: charge.Told(), Key: charge.Key, CreatedAt: charge.CreatedAt}
		booked.Next = nil
		page = append(page, booked)
	}
	return page, answer.Next, nil
}

// path is where a charge is.
func path(key string) string { return "/v1/charges/" + url.PathEscape(key) }

func (g *Gateway) charge(ctx context.Context, method, key, call string, in any) (payment.Charge, error) {
	var charge Charge
	if err := g.ask(ctx, method, path(key)+call, in, &charge); err != nil {
		return payment.Charge{}, err
	}
	if charge.Key != key {
		return payment.Charge{}, fmt.Errorf("sandbox gateway: asked for charge %s, told of %s", key, charge.Key)
	}
	return charge.Told(), nil
}

// maxAnswer is more than an answer has.
const maxAnswer = 64 << 10

// ask makes one call and reads its answer into out. Whatever is not such an answer says nothing.
func (g *Gateway) ask(ctx context.Context, method, path string, in, out any) (err error) {
	body := []byte(nil)
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("sandbox gateway: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, g.cfg.URL+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("sandbox gateway: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+g.cfg.Key)
	request.Header.Set("Content-Type", "application/json")
	response, err := g.http.Do(request)
	if err != nil {
		return fmt.Errorf("sandbox gateway: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("sandbox gateway: %w", err)
	}
	if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || kind != "application/json" || len(text) > maxAnswer {
		return fmt.Errorf("sandbox gateway: %s with %d bytes of %q is no answer", response.Status, len(text), kind)
	}
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, out); err != nil {
			return fmt.Errorf("sandbox gateway: %w", err)
		}
		return nil
	}
	var problem Problem
	if err := json.Unmarshal(text, &problem); err != nil {
		return fmt.Errorf("sandbox gateway: %s: %w", response.Status, err)
	}
	switch {
	case problem.Code == NoSuchCharge && response.StatusCode == http.StatusNotFound:
		return payment.ErrNoSuchCharge
	case problem.Code == NoSuchRefund && response.StatusCode == http.StatusNotFound:
		return payment.ErrNoSuchRefund
	case problem.Code == Refused && response.StatusCode == http.StatusUnprocessableEntity:
		return payment.ErrRefused
	default:
		return fmt.Errorf("sandbox gateway: %s: %s", response.Status, problem.Code)
	}
}

// Verify returns the event of a webhook that the sandbox signed in the last minutes.
func (g *Gateway) Verify(header http.Header, body []byte, now time.Time) (payment.Event, error) {
	signature := header.Get(SignatureHeader)
	seconds, _, _ := strings.Cut(strings.TrimPrefix(signature, "t="), ",")
	signed, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return payment.Event{}, payment.ErrForged
	}
	at := time.Unix(signed, 0)
	isSigned := slices.ContainsFunc(g.cfg.Secrets, func(secret string) bool {
		return secret != "" && hmac.Equal([]byte(Sign(secret, body, at)), []byte(signature))
	})
	if !isSigned || now.Sub(at).Abs() > payment.WebhookAge {
		return payment.Event{}, payment.ErrForged
	}
	var notice Notice
	if err := json.Unmarshal(body, &notice); err != nil {
		return payment.Event{}, errors.Join(payment.ErrForged, err)
	}
	return payment.Event{
		ID: notice.ID, Kind: notice.Kind, Key: notice.Charge.Key, Reference: notice.Charge.Reference, OccurredAt: notice.OccurredAt,
		Charge: new(notice.Charge.Told()),
	}, nil
}
