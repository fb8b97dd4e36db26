// Package server is the sandbox gateway: a bank that moves no money, and remembers everything.
//
// It keeps books of its own, in a journal to which each change is written, and brought to disk, before anybody is told of it.
// It needs no database and knows nothing of what the money is for, so that its books bear witness to what a real gateway would
// have done. On command, or by lot, it does wrong whatever gateways do wrong. It is served by `marquee sandbox-gateway`, or
// inside another process, which then reaches it without a network.
package server

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"marquee/internal/clock"
	"marquee/internal/payment"
	"marquee/internal/payment/sandbox"
)

// Options say how a gateway is run.
type Options struct {
	Journal    string        // path of the file
	Key        string        // that callers and operators must have
	Pages      string        // URL, without a slash at the end, under which customers reach the gateway
	WebhookURL string        // "": nobody is told of anything
	Unasked    bool          // webhooks tell only of what callers were not answered: what customers, banks and operators did
	Secret     string        // that webhooks are signed with
	Pause      time.Duration // before a webhook is sent again, doubled each time; 0: a second
	Seed       uint64
	Share      float64 // of calls and webhooks that go wrong by lot, from 0 to 1
	Clock      clock.Clock
	Log        *slog.Logger
}

// Server is a running gateway. It is an http.Handler; Close ends it.
type Server struct {
	books    *books
	journal  *journal
	faults   *faults
	webhooks *webhooks
	end      context.CancelFunc
	mux      *http.ServeMux
	key      string
}

// Open starts a gateway with what its journal says.
func Open(o Options) (*Server, error) {
	if o.Key == "" {
		return nil, errors.New("a sandbox gateway needs a key")
	}
	if o.WebhookURL != "" && o.Secret == "" {
		return nil, errors.New("a sandbox gateway with webhooks needs a secret to sign them with")
	}
	if o.Share < 0 || o.Share > 1 {
		return nil, errors.New("the share of calls that go wrong is from 0 to 1")
	}
	j, entries, err := openJournal(o.Journal)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	s := &Server{
		journal: j, books: newBooks(o.Clock, j, entries), end: end, mux: http.NewServeMux(), key: o.Key,
		faults: &faults{seed: o.Seed, share: o.Share, calls: map[drawn]uint64{}},
	}
	s.webhooks = &webhooks{
		url: o.WebhookURL, secret: o.Secret, pause: cmp.Or(o.Pause, webhookPause), clock: o.Clock, faults: s.faults, log: o.Log, http: &http.Client{},
		ctx: ctx, turns: make(chan struct{}, webhooksAtOnce),
	}
	s.books.pages = o.Pages + pagePath
	s.books.told = func(e Entry, by whom) {
		if by == others || !o.Unasked {
			s.webhooks.tell(e, s.books.withPage(e.Charge))
		}
	}
	s.routes()
	return s, nil
}

// Close ends what is being told, and brings the journal to its end.
func (s *Server) Close() error {
	s.end()
	s.webhooks.all.Wait()
	s.webhooks.http.CloseIdleConnections()
	return s.journal.Close()
}

// ServeHTTP answers calls of Marquee, of operators and of customers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) routes() {
	for pattern, call := range map[string]http.HandlerFunc{
		"PUT /v1/charges/{key}": call(s, Authorize, s.authorize), "GET /v1/charges/{key}": call(s, Lookup, s.lookup),
		"GET /v1/charges":                s.list,
		"POST /v1/charges/{key}/capture": call(s, Capture, s.capture), "POST /v1/charges/{key}/void": call(s, Void, s.void),
		"POST /v1/charges/{key}/refunds": call(s, Refund, s.refund), "GET /v1/charges/{key}/refunds": call(s, Lookup, s.lookupRefund),

		"GET /admin/charges": s.showAll, "POST /admin/faults": s.addFault, "DELETE /admin/faults": s.heal,
		"POST /admin/charges/{key}/resolve": s.resolve, "POST /admin/charges/{key}/dispute": s.dispute,
		"POST /admin/charges/{key}/refunds": s.refundByHand,
	} {
		s.mux.Handle(pattern, s.withKey(call))
	}
	s.mux.HandleFunc("GET "+pagePath+"{page}", s.page)
	s.mux.HandleFunc("POST "+pagePath+"{page}", s.confirm)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
}

// withKey lets in who has the key.
func (s *Server) withKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer || subtle.ConstantTimeCompare([]byte(given), []byte(s.key)) != 1 {
			answer(w, http.StatusUnauthorized, sandbox.Problem{Code: "UNAUTHENTICATED"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// call answers a call of Marquee about a charge.
func call[T any](s *Server, op Op, do func(key string, in sandbox.Amount, fault Fault) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in sandbox.Amount
		if (op == Authorize || op == Capture || op == Refund) && !decode(w, r, &in) {
			return
		}
		if refund := r.URL.Query().Get("key"); op == Lookup && refund != "" {
			in.Key = refund
		}
		key := r.PathValue("key")
		s.through(w, r, s.faults.next(op, key, in.AmountMinor), func(fault Fault) (any, error) { return do(key, in, fault) })
	}
}

// through leads a call of Marquee through what goes wrong with it.
func (s *Server) through(w http.ResponseWriter, r *http.Request, fault Fault, do func(Fault) (any, error)) {
	switch fault.Do {
	case FailBefore:
		panic(http.ErrAbortHandler)
	case Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Delay:
		select {
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		case <-time.After(fault.delay()):
		}
	default: // for what comes of the call, below
	}
	out, err := do(fault)
	if fault.Do == FailAfter || errors.Is(err, errLost) {
		panic(http.ErrAbortHandler)
	}
	reply(w, out, err)
}

// list answers with a part of the books.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	from, fromErr := time.Parse(time.RFC3339Nano, query.Get("from"))
	to, toErr := time.Parse(time.RFC3339Nano, query.Get("to"))
	place, placeErr := strconv.Atoi(cmp.Or(query.Get("after"), "0"))
	if errors.Join(fromErr, toErr, placeErr) != nil || place < 0 {
		answer(w, http.StatusBadRequest, sandbox.Problem{Code: "BAD_REQUEST"})
		return
	}
	s.through(w, r, s.faults.next(List, "", 0), func(Fault) (any, error) {
		charges, next, err := s.books.page(from, to, place)
		page := sandbox.Page{Charges: charges}
		if next > 0 {
			page.Next = strconv.Itoa(next)
		}
		return page, err
	})
}

// errLost says that an answer does not arrive.
var errLost = errors.New("the answer is lost")

// lostAnswer are the last two digits of an amount whose first answer is lost.
const lostAnswer = 91

// declines maps the last two digits of an amount to the reason it is declined for.
var declines = map[int64]string{5: "do_not_honor", 51: "insufficient_funds", 54: "expired_card"}

func (s *Server) authorize(key string, in sandbox.Amount, fault Fault) (sandbox.Charge, error) {
	as := opened{status: payment.ChargeAuthorized}
	reason, declined := declines[in.AmountMinor%100]
	switch {
	case fault.Do == Decline:
		as = opened{payment.ChargeDeclined, fault.Code}
	case fault.Do == Challenge, in.Token == sandbox.TokenChallenge:
		as.status = payment.ChargeRequiresAction
	case fault.Do == Pend, in.Token == sandbox.TokenSlow:
		as.status = payment.ChargeProcessing
	case declined:
		as = opened{payment.ChargeDeclined, reason}
	}
	charge, first, err := s.books.authorize(key, in, as)
	if err == nil && first && in.AmountMinor%100 == lostAnswer {
		err = errLost
	}
	return charge, err
}

func (s *Server) capture(key string, in sandbox.Amount, fault Fault) (sandbox.Charge, error) {
	const all, half = 100, 50
	if fault.Do == Partial {
		return s.books.capture(key, in, half)
	}
	return s.books.capture(key, in, all)
}

func (s *Server) void(key string, _ sandbox.Amount, _ Fault) (sandbox.Charge, error) {
	return s.books.void(key)
}

func (s *Server) refund(key string, in sandbox.Amount, fault Fault) (sandbox.Refund, error) {
	switch fault.Do {
	case Pend:
		return s.books.refund(caller, key, in, payment.RefundPending, "")
	case Decline:
		return s.books.refund(caller, key, in, payment.RefundFailed, fault.Code)
	default:
		return s.books.refund(caller, key, in, payment.RefundDone, "")
	}
}

func (s *Server) lookupRefund(key string, in sandbox.Amount, _ Fault) (sandbox.Refund, error) {
	return s.books.lookupRefund(key, in.Key)
}

func (s *Server) lookup(key string, _ sandbox.Amount, _ Fault) (sandbox.Charge, error) {
	return s.books.lookup(key)
}

// maxBody is more than a call has.
const maxBody = 16 << 10

func decode(w http.ResponseWriter, r *http.Request, in any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		answer(w, http.StatusBadRequest, sandbox.Problem{Code: "BAD_REQUEST"})
		return false
	}
	return true
}

// reply answers with what came of a call.
func reply(w http.ResponseWriter, out any, err error) {
	switch {
	case err == nil:
		answer(w, http.StatusOK, out)
	case errors.Is(err, payment.ErrNoSuchCharge):
		answer(w, http.StatusNotFound, sandbox.Problem{Code: sandbox.NoSuchCharge})
	case errors.Is(err, payment.ErrNoSuchRefund):
		answer(w, http.StatusNotFound, sandbox.Problem{Code: sandbox.NoSuchRefund})
	case errors.Is(err, payment.ErrRefused):
		answer(w, http.StatusUnprocessableEntity, sandbox.Problem{Code: sandbox.Refused})
	default:
		answer(w, http.StatusInternalServerError, sandbox.Problem{Code: "NOT_WRITTEN"})
	}
}

func answer(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	//nolint:errchkjson // every out is a struct of texts and numbers, and a caller who has gone hears nothing
	_ = json.NewEncoder(w).Encode(out)
}
