package booking

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/payment"
)

// route is where a new payment goes.
type route struct {
	gateway  sql.NullString // NULL: nowhere, for the reason in refusal
	siblings []string       // where it goes when that one is not reached, the preferred one first
	refusal  error
}

// notNull is the SQLSTATE of an attempt without a gateway.
const notNull = "23502"

// route chooses the gateway of a new payment: the one that the customer wants, else the first of the theater's that is healthy, for
// the currency of the showtime. What a form of one gateway made of a card is worth nothing at another: then it is the theater's first.
// Whether the reservation exists, and needs a gateway, is not asked here.
func (s *Service) route(ctx context.Context, in PayInput) (route, error) {
	if in.StoreCredit {
		return route{gateway: sql.NullString{String: payment.CreditName, Valid: true}}, nil
	}
	offer, err := s.showtimes.Offer(ctx, in.ShowtimeID)
	if apperr.CodeOf(err) == apperr.NotFound {
		return route{}, apperr.Missing("reservation")
	}
	if err != nil {
		return route{}, err
	}
	names, err := s.gatewaysAt(ctx, offer.TheaterID, offer.Currency)
	if err != nil {
		return route{}, err
	}
	to := func(name string, siblings ...string) route {
		return route{gateway: sql.NullString{String: name, Valid: true}, siblings: siblings}
	}
	switch {
	case in.Gateway != "" && !slices.Contains(names, in.Gateway):
		return route{refusal: errNoSuchGateway()}, nil
	case len(names) == 0:
		return route{refusal: apperr.New(apperr.Conflict, "Payments in %s are taken at the counter only.", offer.Currency)}, nil
	case in.Gateway != "":
		return to(in.Gateway), nil
	}
	healthy := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !s.gateways.Healthy(name) })
	if len(healthy) == 0 || in.Token != "" {
		return to(names[0]), nil
	}
	return to(healthy[0], healthy[1:]...), nil
}

func errNoSuchGateway() error {
	var bad apperr.Fields
	bad.Add("input.gateway", "Give one that paymentMethods names.")
	return bad.Err()
}

// gatewaysAt returns the names of the gateways at which payments of a theater in a currency are begun, the preferred one first.
func (s *Service) gatewaysAt(ctx context.Context, theaterID uuid.UUID, currency string) ([]string, error) {
	chosen, err := s.choices.of(choiceKey{theaterID, currency}, s.clock.Now(), func() ([]string, error) {
		return s.chosenGateways(ctx, theaterID, currency)
	})
	if err != nil {
		return nil, err
	}
	offered := s.gateways.Offered()
	if chosen == nil {
		for _, gateway := range offered {
			chosen = append(chosen, gateway.Name())
		}
	}
	return slices.DeleteFunc(slices.Clone(chosen), func(name string) bool {
		return !slices.ContainsFunc(offered, func(g payment.Gateway) bool { return g.Name() == name && g.Capabilities().Takes(currency) })
	}), nil
}

// choices remember what theaters have chosen, for choiceAge.
type choices struct {
	mu    sync.Mutex
	known map[choiceKey]choice
}

type choiceKey struct {
	theater  uuid.UUID
	currency string
}

type choice struct {
	gateways []string // nil: those of the installation
	until    time.Time
}

// choiceAge is how old a choice may be that payments follow.
const choiceAge = 5 * time.Second

func (c *choices) of(key choiceKey, now time.Time, read func() ([]string, error)) ([]string, error) {
	c.mu.Lock()
	found, ok := c.known[key]
	c.mu.Unlock()
	if ok && now.Before(found.until) {
		return found.gateways, nil
	}
	gateways, err := read()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[choiceKey]choice{}
	}
	c.known[key] = choice{gateways, now.Add(choiceAge)}
	return gateways, nil
}

func (c *choices) forget(key choiceKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, key)
}

// PaymentOption is a way in which a reservation can be paid.
type PaymentOption struct {
	Method      payment.Method
	Gateway     *string // nil at the counter
	Instruments []payment.Instrument
	Step        *payment.StepKind // what customers do after they have asked to pay; nil at the counter
	PublicKey   *string           // with which the gateway's own form is opened in the customer's browser or app; nil: it needs none
}

// PaymentOptions returns the ways in which the viewer can pay a reservation at this moment, the preferred one first; none when nothing
// is to be paid, or not any more, or a payment has secured the seats. NOT_FOUND when it is missing or someone else's.
func (s *Service) PaymentOptions(ctx context.Context, viewer auth.Viewer, showtimeID, id uuid.UUID) ([]PaymentOption, error) {
	r, now, err := s.reservation(ctx, viewer.UserID, showtimeID, id)
	if err != nil {
		return nil, err
	}
	if r.Status != StatusHeld && r.Status != StatusReserved || r.HeldUntil == nil || !r.HeldUntil.After(now) || r.Total.AmountMinor == 0 {
		return nil, nil
	}
	offer, err := s.showtimes.Offer(ctx, showtimeID)
	if err != nil || offer.CalledOff {
		return nil, err
	}
	names, err := s.gatewaysAt(ctx, offer.TheaterID, r.Total.Currency)
	if err != nil {
		return nil, err
	}
	var options []PaymentOption
	for _, name := range names {
		gateway, err := s.gateways.Named(name)
		if err != nil {
			return nil, err
		}
		if !s.gateways.Healthy(name) {
			continue
		}
		can := gateway.Capabilities()
		option := PaymentOption{Method: payment.MethodOnline, Gateway: &name, Instruments: can.Instruments, Step: &can.Step}
		if can.PublicKey != "" {
			option.PublicKey = &can.PublicKey
		}
		options = append(options, option)
	}
	// What a swap has to pay hangs on seats that the counter does not hand over.
	swap, err := s.isSwap(ctx, r.Reference())
	if err != nil || swap {
		return options, err
	}
	return append(options, PaymentOption{Method: payment.MethodCash}, PaymentOption{Method: payment.MethodCard, Instruments: []payment.Instrument{payment.InstrumentCard}}), nil
}

func (s *Service) isSwap(ctx context.Context, of payment.Reference) (swap bool, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error { return notSwapTx(ctx, tx, of) })
	if apperr.CodeOf(err) == apperr.Conflict {
		return true, nil
	}
	return false, err
}

// unreached goes on with an attempt that its gateway never heard of: at the next of the siblings, or nowhere.
func (s *Service) unreached(ctx context.Context, a payment.Attempt, in PayInput, siblings []string) (payment.Attempt, error) {
	if len(siblings) == 0 {
		return s.authorized(ctx, a, payment.Charge{Status: payment.ChargeDeclined, DeclineCode: payment.DeclineUnreached})
	}
	next, ok, err := s.payments.Reroute(ctx, a, siblings[0], s.cfg.AttemptLease)
	if err != nil || !ok {
		return next, err
	}
	s.log.WarnContext(ctx, "payment goes to another gateway", "attempt", a.ID, "from", a.Gateway, "next", next.ID, "to", next.Gateway)
	return s.authorize(ctx, next, in, siblings[1:])
}

// elsewhere opens an attempt at the gateway that its customer wants now, and gives up the one at another gateway that keeps it from
// being opened and has not come to anything; payment.ErrMoved where that one has.
func (s *Service) elsewhere(ctx context.Context, viewer auth.Viewer, in PayInput, to route) (string, payment.Attempt, error) {
	left, err := s.payments.Leave(ctx, payment.Reference{ShowtimeID: in.ShowtimeID, ID: in.ReservationID}, viewer.UserID, to.gateway.String)
	if err != nil {
		return "", payment.Attempt{}, err
	}
	if !left {
		return "", payment.Attempt{}, payment.ErrMoved
	}
	return s.payReservation(ctx, s.db.SQL(), viewer, in, to)
}
