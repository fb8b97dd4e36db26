package razorpay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/payment"
	"marquee/internal/payment/razorpay"
)

const (
	keyID         = "rzp_test_marquee"
	keySecret     = "the secret of the key"
	webhookSecret = "the secret of the webhook"
)

// double is Razorpay's API with books in memory, strict about what it is asked, and its customers, who go by the last two
// digits of an order:
//
//	00  nobody has opened the checkout
//	51  the bank refuses
//	65  the customer has yet to pay
//	09  the bank takes its time, for a refund too
//	91  the customer pays, and the answer to who opened the order is lost
//
// and pay at once otherwise.
type double struct {
	mu      sync.Mutex
	made    int
	orders  []*doubleOrder
	refunds []*doubleRefund
	asked   []string                                                 // method and path of each request
	before  func(w http.ResponseWriter, r *http.Request) (done bool) // nil: nothing
}

type doubleOrder struct {
	ID, Receipt, Currency string
	Amount                int64
	Notes                 map[string]any
	Expiry                int
	CreatedAt             int64
	Payments              []*doublePayment
}

type doublePayment struct {
	ID, Status, Reason string
	Amount             int64
	Captured           bool
}

type doubleRefund struct {
	ID, Payment, Receipt, Status, once string
	Amount                             int64
}

// open serves a new double and returns a gateway that talks to it.
func open(t *testing.T) (*double, *razorpay.Gateway) {
	t.Helper()
	d := &double{}
	return d, beside(t, d)
}

// beside returns one more gateway of the same account, as another process has it.
func beside(t *testing.T, d *double) *razorpay.Gateway {
	t.Helper()
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return razorpay.New(razorpay.Config{KeyID: keyID, KeySecret: keySecret, WebhookSecrets: []string{webhookSecret}, URL: server.URL})
}

// wrong is an answer of status 400.
type wrong struct{ field, description string }

func (w wrong) Error() string { return w.description }

var errLost = errors.New("the answer is lost")

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r.Method+" "+r.URL.Path)
	if d.before != nil && d.before(w, r) {
		return
	}
	if id, secret, _ := r.BasicAuth(); id != keyID || secret != keySecret {
		refuse(w, http.StatusUnauthorized, wrong{description: "Authentication failed"})
		return
	}
	answer, err := d.answer(r)
	switch bad, ok := errors.AsType[wrong](err); {
	case ok:
		refuse(w, http.StatusBadRequest, bad)
	case err != nil:
		panic(http.ErrAbortHandler)
	default:
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func refuse(w http.ResponseWriter, status int, e wrong) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": "BAD_REQUEST_ERROR", "description": e.description, "source": "business", "step": "payment_initiation",
		"reason": "input_validation_failed", "metadata": map[string]any{}, "field": e.field,
	}})
}

var (
	anOrder   = regexp.MustCompile(`^/orders/(order_\d+)$`)
	aCapture  = regexp.MustCompile(`^/payments/(pay_\d+)/capture$`)
	aRefund   = regexp.MustCompile(`^/payments/(pay_\d+)/refund$`)
	itsRefund = regexp.MustCompile(`^/payments/(pay_\d+)/refunds$`)
	aOnce     = regexp.MustCompile(`^[A-Za-z0-9_-]{10,}$`)
)

// answer does what a request asks for. The caller holds the lock, as for all below.
func (d *double) answer(r *http.Request) (any, error) {
	path := r.URL.Path
	switch {
	case r.Method == http.MethodGet && path == "/orders":
		return d.list(r), nil
	case r.Method == http.MethodPost && path == "/orders":
		return d.open(r)
	case r.Method == http.MethodPatch && anOrder.MatchString(path):
		return d.note(anOrder.FindStringSubmatch(path)[1], r)
	case r.Method == http.MethodPost && aCapture.MatchString(path):
		return d.capture(aCapture.FindStringSubmatch(path)[1], r)
	case r.Method == http.MethodPost && aRefund.MatchString(path):
		return d.giveBack(aRefund.FindStringSubmatch(path)[1], r)
	case r.Method == http.MethodGet && itsRefund.MatchString(path):
		return d.listRefunds(itsRefund.FindStringSubmatch(path)[1], r), nil
	default:
		return nil, wrong{description: "The requested URL was not found on the server."}
	}
}

func (d *double) id(kind string) string {
	d.made++
	return fmt.Sprintf("%s_%014d", kind, d.made)
}

// decode reads a body that has the given fields and no others.
func decode[T any](r *http.Request) (body T, err error) {
	if r.Header.Get("Content-Type") != "application/json" {
		return body, wrong{description: "no JSON"}
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return body, wrong{description: err.Error()}
	}
	return body, nil
}

func (d *double) open(r *http.Request) (any, error) {
	body, err := decode[struct {
		Amount   int64          `json:"amount"`
		Currency string         `json:"currency"`
		Receipt  string         `json:"receipt"`
		Notes    map[string]any `json:"notes"`
		Payment  struct {
			Capture string `json:"capture"`
			Options struct {
				Expiry int    `json:"manual_expiry_period"`
				Speed  string `json:"refund_speed"`
			} `json:"capture_options"`
		} `json:"payment"`
	}](r)
	options := body.Payment.Options
	switch {
	case err != nil:
		return nil, err
	case body.Amount < 100:
		return nil, wrong{"amount", "Order amount less than minimum amount allowed"}
	case len(body.Receipt) > 40:
		return nil, wrong{"receipt", "The receipt may not be greater than 40 characters."}
	case body.Payment.Capture != "manual" || options.Expiry < 12 || options.Expiry > 7200 || options.Speed != "normal":
		return nil, wrong{"payment", "The capture settings are invalid."}
	}
	o := &doubleOrder{
		ID: d.id("order"), Receipt: body.Receipt, Currency: body.Currency, Amount: body.Amount, Notes: body.Notes,
		Expiry: options.Expiry, CreatedAt: time.Now().Unix(),
	}
	d.orders = append(d.orders, o)
	switch body.Amount % 100 {
	case 0, 65:
	case 51:
		d.pay(o, "failed")
	case 9:
		d.pay(o, "created")
	case 91:
		d.pay(o, "authorized")
		return nil, errLost
	default:
		d.pay(o, "authorized")
	}
	return o.json(nil), nil
}

// pay is the customer at the checkout.
func (d *double) pay(o *doubleOrder, status string) *doublePayment {
	p := &doublePayment{ID: d.id("pay"), Status: status, Amount: o.Amount}
	if status == "failed" {
		p.Reason = "insufficient_funds"
	}
	o.Payments = append(o.Payments, p)
	return p
}

func (d *double) note(id string, r *http.Request) (any, error) {
	body, err := decode[struct {
		Notes map[string]any `json:"notes"`
	}](r)
	i := slices.IndexFunc(d.orders, func(o *doubleOrder) bool { return o.ID == id })
	if err != nil || i < 0 {
		return nil, errors.Join(err, wrong{description: "The id provided does not exist"})
	}
	d.orders[i].Notes = body.Notes
	return d.orders[i].json(nil), nil
}

func (d *double) payment(id string) (*doubleOrder, *doublePayment) {
	for _, o := range d.orders {
		for _, p := range o.Payments {
			if p.ID == id {
				return o, p
			}
		}
	}
	return nil, nil
}

func (d *double) capture(id string, r *http.Request) (any, error) {
	body, err := decode[struct {
		Amount   int64  `json:"amount"`
		Currency string `json:"currency"`
	}](r)
	o, p := d.payment(id)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return nil, wrong{description: "The id provided does not exist"}
	case p.Captured:
		return nil, wrong{description: "This payment has already been captured"}
	case p.Status != "authorized":
		return nil, wrong{description: "Only payments which have been authorized and not yet captured can be captured"}
	case body.Amount != o.Amount || body.Currency != o.Currency:
		return nil, wrong{"amount", "Capture amount must be equal to the amount authorized"}
	}
	p.Status, p.Captured = "captured", true
	return p.json(o, nil), nil
}

func (d *double) giveBack(id string, r *http.Request) (any, error) {
	body, err := decode[struct {
		Amount  int64  `json:"amount"`
		Speed   string `json:"speed"`
		Receipt string `json:"receipt"`
	}](r)
	once := r.Header.Get("X-Refund-Idempotency")
	_, p := d.payment(id)
	switch {
	case err != nil:
		return nil, err
	case p == nil || !p.Captured:
		return nil, wrong{description: "The payment status should be captured for action to be taken"}
	case !aOnce.MatchString(once) || body.Speed != "normal" || len(body.Receipt) > 40:
		return nil, wrong{description: "The refund request is invalid."}
	}
	if i := slices.IndexFunc(d.refunds, func(f *doubleRefund) bool { return f.once == once }); i >= 0 {
		if f := d.refunds[i]; f.Amount != body.Amount || f.Payment != id || f.Receipt != body.Receipt {
			return nil, wrong{description: "Different request body sent with the same idempotency key"}
		}
		return d.refunds[i].json(), nil
	}
	if body.Amount > p.Amount-d.given(id, "processed", "pending") {
		return nil, wrong{"amount", "The total refund amount is greater than the refund payment amount"}
	}
	f := &doubleRefund{ID: d.id("rfnd"), Payment: id, Receipt: body.Receipt, Status: "processed", Amount: body.Amount, once: once}
	if body.Amount%100 == 9 {
		f.Status = "pending"
	}
	d.refunds = append(d.refunds, f)
	return f.json(), nil
}

// given adds up the refunds of a payment.
func (d *double) given(id string, statuses ...string) (sum int64) {
	for _, f := range d.refunds {
		if f.Payment == id && slices.Contains(statuses, f.Status) {
			sum += f.Amount
		}
	}
	return sum
}

// list finds orders by a part of their receipt, the newest first.
func (d *double) list(r *http.Request) any {
	query, items := r.URL.Query(), []any{}
	for _, o := range slices.Backward(d.orders) {
		from, _ := strconv.ParseInt(query.Get("from"), 10, 64)
		to, err := strconv.ParseInt(query.Get("to"), 10, 64)
		if !strings.Contains(o.Receipt, query.Get("receipt")) || o.CreatedAt < from || err == nil && o.CreatedAt > to {
			continue
		}
		var payments []any
		if query.Get("expand[]") == "payments" {
			payments = []any{}
			for _, p := range slices.Backward(o.Payments) {
				payments = append(payments, p.json(o, d))
			}
		}
		items = append(items, o.json(payments))
	}
	return page(items, query.Get("count"), query.Get("skip"))
}

func (d *double) listRefunds(id string, r *http.Request) any {
	items := []any{}
	for _, f := range d.refunds {
		if f.Payment == id {
			items = append(items, f.json())
		}
	}
	return page(items, r.URL.Query().Get("count"), r.URL.Query().Get("skip"))
}

// page cuts a list as Razorpay does: ten items, unless it is told otherwise.
func page(items []any, count, skip string) any {
	n, err := strconv.Atoi(count)
	if err != nil || n > 100 {
		n = 10
	}
	from, _ := strconv.Atoi(skip)
	items = items[min(from, len(items)):]
	items = items[:min(n, len(items))]
	return map[string]any{"entity": "collection", "count": len(items), "items": items}
}

func (o *doubleOrder) json(payments []any) map[string]any {
	entity := map[string]any{
		"id": o.ID, "entity": "order", "amount": o.Amount, "amount_paid": 0, "amount_due": o.Amount, "currency": o.Currency,
		"receipt": o.Receipt, "offer_id": nil, "status": "created", "attempts": len(o.Payments), "notes": []any{}, "created_at": o.CreatedAt,
	}
	if len(o.Notes) > 0 {
		entity["notes"] = o.Notes
	}
	if payments != nil {
		entity["payments"] = map[string]any{"entity": "collection", "count": len(payments), "items": payments}
	}
	return entity
}

func (p *doublePayment) json(o *doubleOrder, d *double) map[string]any {
	entity := map[string]any{
		"id": p.ID, "entity": "payment", "amount": p.Amount, "currency": o.Currency, "status": p.Status, "order_id": o.ID, "captured": p.Captured,
		"amount_refunded": 0, "refund_status": nil, "error_code": nil, "error_reason": nil, "notes": []any{}, "created_at": o.CreatedAt,
		"email": "asha@example.com", "contact": "+919900000000",
	}
	if p.Reason != "" {
		entity["error_code"], entity["error_reason"] = "BAD_REQUEST_ERROR", p.Reason
	}
	if d == nil {
		return entity
	}
	if given := d.given(p.ID, "processed"); given > 0 {
		entity["amount_refunded"], entity["refund_status"] = given, "partial"
		if given == p.Amount {
			entity["status"], entity["refund_status"] = "refunded", "full"
		}
	}
	return entity
}

func (f *doubleRefund) json() map[string]any {
	return map[string]any{
		"id": f.ID, "entity": "refund", "amount": f.Amount, "currency": "", "payment_id": f.Payment, "notes": []any{}, "receipt": f.Receipt,
		"status": f.Status, "speed_processed": "normal", "speed_requested": "normal",
	}
}

// of returns the orders of a key.
func (d *double) of(key string) []*doubleOrder {
	return slices.DeleteFunc(slices.Clone(d.orders), func(o *doubleOrder) bool { return o.Receipt != key })
}

// resolve lets the customer pay, or the bank decide, or refunds arrive, or fail to.
func (d *double) resolve(key string, well bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	end, back := map[bool]string{true: "authorized", false: "failed"}[well], map[bool]string{true: "processed", false: "failed"}[well]
	orders := d.of(key)
	if len(orders) == 0 {
		return payment.ErrNoSuchCharge
	}
	for _, o := range orders {
		if len(o.Payments) == 0 {
			d.pay(o, end)
		}
		for _, p := range o.Payments {
			if p.Status == "created" {
				p.Status = end
			}
			for _, f := range d.refunds {
				if f.Payment == p.ID && f.Status == "pending" {
					f.Status = back
				}
			}
		}
	}
	return nil
}

// count returns how many requests there were whose method and path begin so.
func (d *double) count(prefix string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, asked := range d.asked {
		if strings.HasPrefix(asked, prefix) {
			n++
		}
	}
	return n
}

// set changes the books.
func (d *double) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}
