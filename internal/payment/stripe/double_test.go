package stripe_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/clock"
	"marquee/internal/payment/stripe"
)

const (
	secretKey     = "sk_test_123"
	webhookSecret = "whsec_of_the_tests"
)

// double is Stripe as far as the adapter knows it, after its reference: intents and refunds with their states, idempotency keys,
// a search that lags, errors. The token of a payment method decides what becomes of a confirmation, and refunds of slow stay
// pending until they are resolved.
type double struct {
	t  *testing.T
	mu sync.Mutex

	intents  map[string]*intent
	refunds  []*refund
	kept     map[string]*exchange       // by idempotency key
	indexed  map[string]json.RawMessage // intents as the search knows them
	requests []exchange                 // all that were answered, for stripe-mock
	busy     int                        // answers to come that say that the twin of the request is under way
	odd      http.HandlerFunc           // answers everything instead
	serial   int
}

// exchange is a request with its answer.
type exchange struct {
	method, path string
	form         url.Values
	key          string // of idempotency
	status       int
	answer       any
}

type apiError struct {
	Type        string  `json:"type"`
	Code        string  `json:"code,omitempty"`
	DeclineCode string  `json:"decline_code,omitempty"`
	Param       string  `json:"param,omitempty"`
	Message     string  `json:"message"`
	Intent      *intent `json:"payment_intent,omitempty"`

	early bool // the request was not carried out, and its idempotency key is not kept
}

type intent struct {
	ID               string            `json:"id"`
	Object           string            `json:"object"`
	Amount           int64             `json:"amount"`
	AmountCapturable int64             `json:"amount_capturable"`
	AmountReceived   int64             `json:"amount_received"`
	Currency         string            `json:"currency"`
	Status           string            `json:"status"`
	ClientSecret     string            `json:"client_secret"`
	Metadata         map[string]string `json:"metadata"`
	LastPaymentError *apiError         `json:"last_payment_error"`
	NextAction       map[string]any    `json:"next_action"`
	Created          int64             `json:"created"`

	serial int
}

type refund struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Amount        int64             `json:"amount"`
	Currency      string            `json:"currency"`
	PaymentIntent string            `json:"payment_intent"`
	Status        string            `json:"status"`
	Reason        *string           `json:"reason"`
	Metadata      map[string]string `json:"metadata"`
}

const slow = 109

// open returns a double and an adapter that talks to it by a clock.
func open(t *testing.T, now clock.Clock) (*double, *stripe.Gateway) {
	t.Helper()
	d := &double{t: t, intents: map[string]*intent{}, kept: map[string]*exchange{}, indexed: map[string]json.RawMessage{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return d, stripe.New(stripe.Options{
		SecretKey: secretKey, PublishableKey: "pk_test_123", WebhookSecrets: []string{webhookSecret}, URL: server.URL, Transport: &http.Transport{}, Clock: now,
	})
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.odd != nil {
		d.odd(w, r)
		return
	}
	if err := r.ParseForm(); err != nil || r.Header.Get("Authorization") != "Bearer "+secretKey || r.Header.Get("Stripe-Version") == "" {
		reply(w, http.StatusUnauthorized, map[string]any{"error": apiError{Type: "invalid_request_error", Message: "who are you?"}})
		return
	}
	if d.busy > 0 && r.Method == http.MethodPost {
		d.busy--
		reply(w, http.StatusConflict, map[string]any{"error": apiError{Type: "idempotency_error", Code: "idempotency_key_in_use"}})
		return
	}
	key := r.Header.Get("Idempotency-Key")
	asked := exchange{method: r.Method, path: r.URL.Path, form: r.Form, key: key}
	if before, ok := d.kept[key]; ok && r.Method == http.MethodPost {
		if before.path != asked.path || before.form.Encode() != asked.form.Encode() {
			reply(w, http.StatusBadRequest, map[string]any{"error": apiError{Type: "idempotency_error", Message: "other parameters"}})
			return
		}
		w.Header().Set("Idempotent-Replayed", "true")
		reply(w, before.status, before.answer)
		return
	}
	answer, failure := d.answer(r)
	asked.status, asked.answer = http.StatusOK, answer
	if failure != nil {
		asked.status = http.StatusBadRequest
		if failure.Type == "card_error" {
			asked.status = http.StatusPaymentRequired
		}
		asked.answer = map[string]any{"error": failure}
	}
	asked.answer = frozen(asked.answer)
	d.requests = append(d.requests, asked)
	if r.Method == http.MethodPost && (failure == nil || !failure.early) {
		d.kept[key] = &asked
	}
	if r.PostForm.Get("payment_method") == "pm_lost" {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	reply(w, asked.status, asked.answer)
}

// frozen returns an answer as it is now: what Stripe keeps of it does not change any more.
func frozen(answer any) json.RawMessage {
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	return body
}

func reply(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(frozen(answer))
}

// takes are the parameters of each call; others are refused.
var takes = map[string][]string{
	"POST ":        {"amount", "currency", "capture_method", "payment_method_types[0]", "metadata"},
	"POST update":  {"amount", "currency", "metadata"},
	"POST confirm": {"payment_method", "return_url"},
	"POST capture": {"amount_to_capture"},
	"POST cancel":  {},
	"POST refunds": {"payment_intent", "amount", "metadata"},
	"GET refunds":  {"payment_intent", "limit", "starting_after"},
	"GET search":   {"query"},
	"GET list":     {"created", "limit", "starting_after", "expand"},
	"GET one":      {},
}

// answer carries a request out.
func (d *double) answer(r *http.Request) (any, *apiError) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	call, id := "", ""
	switch {
	case parts[0] == "refunds" && len(parts) == 1, parts[0] == "refunds" && r.Method == http.MethodGet && len(parts) == 2:
		call, id = "refunds", slices.Concat(parts, []string{""})[1]
	case len(parts) == 1 && r.Method == http.MethodGet:
		call = "list"
	case len(parts) == 2 && parts[1] == "search":
		call = "search"
	case len(parts) == 2 && r.Method == http.MethodGet:
		call, id = "one", parts[1]
	case len(parts) == 2:
		call, id = "update", parts[1]
	case len(parts) == 3:
		call, id = parts[2], parts[1]
	}
	known, ok := takes[r.Method+" "+call]
	if !ok {
		return nil, &apiError{Type: "invalid_request_error", Message: "unrecognized request URL", early: true}
	}
	for name := range r.Form {
		if field, _, _ := strings.Cut(name, "["); !slices.Contains(known, name) && !slices.Contains(known, field) {
			return nil, &apiError{Type: "invalid_request_error", Code: "parameter_unknown", Param: name, early: true}
		}
	}
	switch call {
	case "":
		return d.create(r.Form)
	case "search":
		return d.search(r.Form)
	case "list":
		return d.list(r.Form)
	case "refunds":
		return d.refundCall(r, id)
	}
	i := d.intents[id]
	if i == nil {
		return nil, &apiError{Type: "invalid_request_error", Code: "resource_missing", Param: "intent", early: true}
	}
	var failure *apiError
	switch call {
	case "update":
		failure = i.update(r.Form)
	case "confirm":
		failure = i.confirm(r.Form)
	case "capture":
		failure = i.capture(r.Form)
	case "cancel":
		failure = i.cancel()
	}
	return i, failure
}

func (d *double) name(prefix string) string {
	d.serial++
	return fmt.Sprintf("%s_%d", prefix, d.serial)
}

func (d *double) create(form url.Values) (any, *apiError) {
	if form.Get("capture_method") != "manual" || form.Get("currency") == "" {
		return nil, &apiError{Type: "invalid_request_error", Param: "capture_method", early: true}
	}
	i := &intent{ID: d.name("pi"), Object: "payment_intent", Status: "requires_payment_method", Metadata: map[string]string{}, Created: time.Now().Unix(), serial: d.serial}
	i.ClientSecret = i.ID + "_secret_of_the_customer"
	if failure := i.update(form); failure != nil {
		return nil, failure
	}
	d.intents[i.ID] = i
	return i, nil
}

func metadata(form url.Values) map[string]string {
	fields := map[string]string{}
	for name := range form {
		if field, ok := strings.CutPrefix(name, "metadata["); ok {
			fields[strings.TrimSuffix(field, "]")] = form.Get(name)
		}
	}
	return fields
}

// search answers a query for an intent by its metadata, of those that were indexed.
func (d *double) search(form url.Values) (any, *apiError) {
	found := []json.RawMessage{}
	for id, then := range d.indexed {
		for field, value := range d.intents[id].Metadata {
			if form.Get("query") == fmt.Sprintf("metadata['%s']:'%s'", field, value) {
				found = append(found, then)
			}
		}
	}
	return map[string]any{"object": "search_result", "data": found, "has_more": false, "url": "/v1/payment_intents/search"}, nil
}

// list answers with intents of a period, the last made first, each with its charge if that is asked for.
func (d *double) list(form url.Values) (any, *apiError) {
	from, fromErr := strconv.ParseInt(form.Get("created[gte]"), 10, 64)
	to, toErr := strconv.ParseInt(form.Get("created[lte]"), 10, 64)
	limit, limitErr := strconv.Atoi(form.Get("limit"))
	if errors.Join(fromErr, toErr, limitErr) != nil || limit > 100 {
		return nil, &apiError{Type: "invalid_request_error", Param: "created", early: true}
	}
	type listed struct {
		intent
		LatestCharge map[string]any `json:"latest_charge"`
	}
	found, more := []listed{}, false
	for _, i := range slices.SortedFunc(maps.Values(d.intents), func(a, b *intent) int { return b.serial - a.serial }) {
		last := d.intents[form.Get("starting_after")]
		if i.Created < from || i.Created > to || last != nil && i.serial >= last.serial {
			continue
		}
		if more = len(found) == limit; more {
			break
		}
		one := listed{intent: *i}
		if form.Get("expand[0]") == "data.latest_charge" {
			back := int64(0)
			for _, made := range d.refunds {
				if made.PaymentIntent == i.ID && made.Status != "failed" {
					back += made.Amount
				}
			}
			one.LatestCharge = map[string]any{"id": "ch_" + i.ID, "object": "charge", "amount_refunded": back}
		}
		found = append(found, one)
	}
	return map[string]any{"object": "list", "data": found, "has_more": more, "url": "/v1/payment_intents"}, nil
}

func unexpected(i *intent) *apiError {
	return &apiError{Type: "invalid_request_error", Code: "payment_intent_unexpected_state", Message: i.Status, Intent: i}
}

func (i *intent) update(form url.Values) *apiError {
	if i.Status != "requires_payment_method" {
		return unexpected(i)
	}
	if text := form.Get("amount"); text != "" {
		amount, err := strconv.ParseInt(text, 10, 64)
		if err != nil || amount < 50 {
			return &apiError{Type: "invalid_request_error", Code: "amount_too_small", Param: "amount", early: true}
		}
		i.Amount = amount
	}
	if currency := form.Get("currency"); currency != "" {
		i.Currency = currency
	}
	maps.Copy(i.Metadata, metadata(form))
	i.LastPaymentError = nil
	return nil
}

func (i *intent) confirm(form url.Values) *apiError {
	if i.Status != "requires_payment_method" {
		return unexpected(i)
	}
	switch token := form.Get("payment_method"); token {
	case "pm_card_visa", "pm_lost":
		i.authorize()
	case "pm_3ds":
		i.Status = "requires_action"
		i.NextAction = map[string]any{"type": "use_stripe_sdk"}
		if back := form.Get("return_url"); back != "" {
			i.NextAction = map[string]any{"type": "redirect_to_url", "redirect_to_url": map[string]string{"url": "https://hooks.stripe.com/3ds", "return_url": back}}
		}
	case "pm_processing":
		i.Status = "processing"
	default:
		code, ok := strings.CutPrefix(token, "pm_declined_")
		if !ok {
			return &apiError{Type: "invalid_request_error", Code: "resource_missing", Param: "payment_method", early: true}
		}
		i.fail(apiError{Type: "card_error", Code: "card_declined", DeclineCode: code})
		return &apiError{Type: "card_error", Code: "card_declined", DeclineCode: code, Intent: i}
	}
	return nil
}

func (i *intent) authorize() {
	i.Status, i.AmountCapturable, i.NextAction = "requires_capture", i.Amount, nil
}

func (i *intent) fail(why apiError) {
	i.Status, i.LastPaymentError, i.NextAction = "requires_payment_method", &why, nil
}

func (i *intent) capture(form url.Values) *apiError {
	if i.Status != "requires_capture" {
		return unexpected(i)
	}
	amount, err := strconv.ParseInt(form.Get("amount_to_capture"), 10, 64)
	if err != nil || amount > i.AmountCapturable {
		return &apiError{Type: "invalid_request_error", Code: "amount_too_large", Param: "amount_to_capture"}
	}
	i.Status, i.AmountReceived, i.AmountCapturable = "succeeded", amount, 0
	return nil
}

func (i *intent) cancel() *apiError {
	if i.Status == "succeeded" || i.Status == "processing" || i.Status == "canceled" {
		return unexpected(i)
	}
	i.Status, i.AmountCapturable, i.NextAction, i.LastPaymentError = "canceled", 0, nil, nil
	return nil
}

func (d *double) refundCall(r *http.Request, id string) (any, *apiError) {
	form := r.Form
	if r.Method == http.MethodPost {
		return d.refund(form)
	}
	found := []*refund{}
	for _, made := range slices.Backward(d.refunds) {
		if made.ID == id {
			return made, nil
		}
		if made.PaymentIntent == form.Get("payment_intent") {
			found = append(found, made)
		}
	}
	return map[string]any{"object": "list", "data": found, "has_more": false, "url": "/v1/refunds"}, nil
}

func (d *double) refund(form url.Values) (any, *apiError) {
	i := d.intents[form.Get("payment_intent")]
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	if err != nil || i == nil || i.Status != "succeeded" {
		return nil, &apiError{Type: "invalid_request_error", Param: "amount"}
	}
	left := i.AmountReceived
	for _, made := range d.refunds {
		if made.PaymentIntent == i.ID && made.Status != "failed" && made.Reason == nil {
			left -= made.Amount
		}
	}
	if left == 0 {
		return nil, &apiError{Type: "invalid_request_error", Code: "charge_already_refunded"}
	}
	if amount > left {
		return nil, &apiError{Type: "invalid_request_error", Param: "amount", Message: "greater than unrefunded amount"}
	}
	made := &refund{ID: d.name("re"), Object: "refund", Amount: amount, Currency: i.Currency, PaymentIntent: i.ID, Status: "succeeded", Metadata: metadata(form)}
	if amount == slow {
		made.Status = "pending"
	}
	d.refunds = append(d.refunds, made)
	return made, nil
}

// of returns the intent of a key of ours; there is one at most.
func (d *double) of(key string) *intent {
	var found *intent
	for _, i := range d.intents {
		if i.Metadata["marquee_key"] == key {
			if found != nil {
				d.t.Errorf("the key %s has two intents", key)
			}
			found = i
		}
	}
	return found
}

// resolve does what an intent or its refunds wait for.
func (d *double) resolve(key string, well bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.of(key)
	switch {
	case i == nil || i.Status == "canceled":
		return fmt.Errorf("nothing waits for %s", key)
	case i.Status == "succeeded":
		for _, made := range d.refunds {
			if made.PaymentIntent == i.ID && made.Status == "pending" {
				made.Status = map[bool]string{true: "succeeded", false: "failed"}[well]
			}
		}
	case well:
		i.authorize()
	default:
		i.fail(apiError{Type: "invalid_request_error", Code: "payment_intent_authentication_failure"})
	}
	return nil
}

// forget drops all idempotency keys, as Stripe does after a day, and lets the search catch up.
func (d *double) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.kept)
	for id, i := range d.intents {
		d.indexed[id] = frozen(i)
	}
}

// sign returns the header of a webhook.
func sign(secret string, body []byte, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return http.Header{"Stripe-Signature": {"t=" + stamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))}}
}
