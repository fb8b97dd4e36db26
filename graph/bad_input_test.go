package graph_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/auth"
	"marquee/internal/identity"
	"marquee/internal/typeid"
)

// badInput is one request that cannot be served, or is refused by the house's rules.
type badInput struct {
	name  string
	who   apitest.Client
	query string
	vars  vars
	body  string                // instead of query and vars
	send  func() apitest.Answer // instead of all of them
}

func (b badInput) answer() apitest.Answer {
	switch {
	case b.send != nil:
		return b.send()
	case b.body != "":
		return b.who.Post(b.body)
	default:
		return b.who.Raw(b.query, b.vars)
	}
}

const (
	reserveSeats = `mutation ($in: ReserveSeatsInput!) { reserveSeats(input: $in) {
		__typename
		... on ReserveSeatsPayload { reservation { id status seats { position } total { formatted } heldUntil lines { description } } serverTime }
		... on UserError { code message }
		... on SeatsUnavailable { seats { label } alternatives { seats { label } total { formatted } } }
		... on ShowtimeClosed { reason }
		... on LimitExceeded { limit remaining }
		... on PriceTooHigh { total { formatted } }
	} }`
	payReservation = `mutation ($in: PayReservationInput!) { payReservation(input: $in) {
		__typename
		... on PayReservationPayload { reservation { status heldUntil payment { id status amount { formatted } refunded { formatted } } tickets { id code status seat { position } } } }
		... on UserError { code message }
		... on ReservationExpired { reservation { status } }
		... on PaymentDeclined { declineCode reservation { status } }
		... on PaymentPending { reservation { status } nextStep { __typename ... on PaymentRedirect { url } ... on PaymentClientConfirmation { publicKey clientSecret } } }
	} }`
	cancelReservation = `mutation ($in: CancelReservationInput!) { cancelReservation(input: $in) {
		__typename
		... on CancelReservationPayload { reservation { status heldUntil payment { status refunded { formatted } } tickets { status } } }
		... on UserError { code message }
		... on ShowtimeClosed { reason }
	} }`
	changeSeats = `mutation ($in: ChangeSeatsInput!) { changeSeats(input: $in) {
		__typename
		... on ChangeSeatsPayload { serverTime reservation { status seats { label } total { formatted } heldUntil } }
		... on UserError { code message }
		... on SeatsUnavailable { seats { label } alternatives { seats { label } total { formatted } } }
		... on SeatRuleBroken { rule seats { label } }
		... on PromotionRefused { promoCode refusal }
		... on LimitExceeded { limit remaining }
		... on ReservationExpired { reservation { status } }
	} }`
	extendHold = `mutation ($in: ExtendHoldInput!) { extendHold(input: $in) {
		__typename
		... on ExtendHoldPayload { serverTime reservation { status heldUntil } }
		... on UserError { code message }
		... on HoldLimitReached { serverTime reservation { status heldUntil } }
		... on ReservationExpired { reservation { status } }
	} }`
	payLater = `mutation ($in: PayLaterInput!) { payLater(input: $in) {
		__typename
		... on PayLaterPayload { serverTime reservation { status heldUntil payBy } }
		... on UserError { code message }
		... on PayLaterUnavailable { reason reservation { status } }
		... on ReservationExpired { reservation { status } }
	} }`
	setPayLaterPolicy = `mutation ($in: SetPayLaterPolicyInput!) { setPayLaterPolicy(input: $in) {
		theater { payLaterPolicy { leadMinutes maxOpen } }
	} }`
	refundPreview = `query ($in: RefundPreviewInput!) { refundPreview(input: $in) {
		__typename
		... on RefundPreview { refund { formatted } }
		... on UserError { code message }
	} }`
	swapSeats = `mutation ($in: SwapSeatsInput!) { swapSeats(input: $in) {
		__typename
		... on SwapSeatsPayload { serverTime reservation { id status total { formatted }
			swap { state replacesId seats { label } value { formatted } fee { formatted } credit { formatted } due { formatted } } } }
		... on UserError { code message }
		... on SwapUnavailable { why closedAt }
		... on PriceTooHigh { total { formatted } }
	} }`
	swapPreview = `query ($in: SwapPreviewInput!) { swapPreview(input: $in) {
		__typename
		... on SwapPreview { value { formatted } fee { formatted } price { formatted } credit { formatted } due { formatted } comesBack { formatted } until }
		... on UserError { code message }
		... on SwapUnavailable { why closedAt }
	} }`
	setRefundPolicy = `mutation ($in: SetRefundPolicyInput!) { setRefundPolicy(input: $in) {
		policy { version steps { minutesBefore } }
	} }`
	adjustStoreCredit = `mutation ($in: AdjustStoreCreditInput!) { adjustStoreCredit(input: $in) { balance { formatted } } }`
	retryRefund       = `mutation ($in: RetryRefundInput!) { retryRefund(input: $in) { status } }`
	refundReservation = `mutation ($in: RefundReservationInput!) { refundReservation(input: $in) { status returned { formatted } } }`
	bestAvailable     = `query ($in: BestAvailableInput!) { bestAvailable(input: $in) {
		seats { label } total { formatted } reasons
	} }`
	signUp        = `mutation ($email: String!) { signUp(input: {email: $email}) { email } }`
	confirmSignUp = `mutation ($in: ConfirmSignUpInput!) { confirmSignUp(input: $in) {
		__typename
		... on SessionPayload { token expiresAt user { id email name role } }
		... on UserError { code message }
	} }`
	signIn = `mutation ($in: SignInInput!) { signIn(input: $in) {
		__typename
		... on SessionPayload { token expiresAt user { id email name role } }
		... on UserError { code message }
	} }`
)

type reserved struct {
	ReserveSeats struct {
		Typename    string `json:"__typename"`
		Code        string
		Reservation struct {
			ID        string
			Status    string
			Seats     []struct{ Position int16 }
			Total     struct{ Formatted string }
			HeldUntil *time.Time
		}
		ServerTime   time.Time
		Seats        []struct{ Label string }
		Alternatives []struct {
			Seats []struct{ Label string }
			Total struct{ Formatted string }
		}
		Remaining int
		Reason    string
	}
}

// reserve holds seats of a showtime by their positions and returns the reservation's id.
func reserve(t *testing.T, c apitest.Client, show apitest.Showtime, positions ...int16) string {
	t.Helper()
	var out reserved
	c.Get(reserveSeats, vars{"in": seatsInput(show, positions...)}, &out)
	if out.ReserveSeats.Typename != "ReserveSeatsPayload" {
		t.Fatalf("reserving seats %v: %+v", positions, out.ReserveSeats)
	}
	return out.ReserveSeats.Reservation.ID
}

func seatsInput(show apitest.Showtime, positions ...int16) vars {
	return vars{"showtimeId": show.ID(), "seatIds": show.Screen.SeatIDs(positions...), "idempotencyKey": typeid.New().String()}
}

// pay pays a reservation and reads nothing of it.
func pay(t *testing.T, c apitest.Client, reservation string) {
	t.Helper()
	var out struct {
		PayReservation struct {
			Typename string `json:"__typename"`
		}
	}
	c.Get(`mutation ($in: PayReservationInput!) { payReservation(input: $in) { __typename } }`,
		vars{"in": vars{"reservationId": reservation, "idempotencyKey": typeid.New().String()}}, &out)
	if out.PayReservation.Typename != "PayReservationPayload" {
		t.Fatalf("paying: %+v", out.PayReservation)
	}
}

func cancel(c apitest.Client, reservation string) {
	c.Get(cancelReservation, vars{"in": vars{"reservationId": reservation}}, nil)
}

// askForLink asks for an account and returns the token that comes by mail.
func askForLink(a *apitest.App, email string) string {
	a.Anonymous().Get(signUp, vars{"email": email}, nil)
	return a.Mailed(email, "confirm-sign-up")
}

// runOut makes the hold of a reservation run out, as time would.
func runOut(a *apitest.App, reservation string) {
	showtime, id, err := typeid.DecodeIn(typeid.Reservation, reservation)
	if err != nil {
		panic(err)
	}
	a.Exec(`UPDATE reservations SET held_until = now() - interval '1 second' WHERE showtime_id = $1 AND id = $2`, showtime, id)
	a.Exec(`UPDATE seat_claims SET held_until = now() - interval '1 second' WHERE showtime_id = $1 AND reservation_id = $2`, showtime, id)
}

// TestBadInput holds every refusal of the API against a golden file, and makes sure that nothing is changed by any.
func TestBadInput(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	w := newBadWorld(t, a)
	before := a.Dump()
	for group, cases := range w.cases() {
		t.Run(group, func(t *testing.T) {
			answers := map[string]any{}
			for _, b := range cases {
				if _, twice := answers[b.name]; twice {
					t.Errorf("two cases with the name %q", b.name)
				}
				b.who = b.who.With(t)
				answer := b.answer()
				answers[b.name] = map[string]any{"status": answer.Status, "answer": harmless(t, b.name, answer)}
			}
			golden(t, "bad_input_"+group, answers)
		})
	}
	if after := a.Dump(); after != before {
		t.Errorf("a refused request changed the database:\nbefore\n%s\nafter\n%s", before, after)
	}
}

// harmless checks what is true of each answer to bad input, and returns its body without what differs from run to run.
func harmless(t *testing.T, name string, answer apitest.Answer) any {
	t.Helper()
	if answer.Status >= http.StatusInternalServerError {
		t.Errorf("%s: %v", name, answer)
	}
	for _, leak := range []string{"pq:", "SQL", "SELECT", "goroutine", ".go:", "panic", "nil pointer", "INTERNAL", "strconv", "marquee/"} {
		if strings.Contains(string(answer.Body), leak) {
			t.Errorf("%s: the answer holds %q: %v", name, leak, answer)
		}
	}
	var body map[string]any
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		t.Fatalf("%s: %v: %v", name, err, answer)
	}
	errs, _ := body["errors"].([]any)
	for _, one := range errs {
		shown := one.(map[string]any)
		extensions, _ := shown["extensions"].(map[string]any)
		if _, coded := extensions["code"].(string); !coded {
			t.Errorf("%s: an error without a code: %v", name, answer)
		}
		if id, told := extensions["requestId"]; told {
			if id != answer.Header.Get("X-Request-Id") {
				t.Errorf("%s: the request is %q, the error says %q", name, answer.Header.Get("X-Request-Id"), id)
			}
			extensions["requestId"] = "<request id>"
		}
	}
	if answer.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s: an answer without a request id", name)
	}
	if len(errs) == 0 && !strings.Contains(string(answer.Body), `"code"`) && !strings.Contains(string(answer.Body), "null") {
		t.Errorf("%s was served: %v", name, answer)
	}
	return body
}

// badWorld is the world of bad input: reservations in every state.
type badWorld struct {
	*apitest.App

	anonymous, customer, other, admin, stale     apitest.Client // the last proved long ago who they are
	manager                                      apitest.Client // of the second theater
	show, elsewhere, started, notYet, calledOff  apitest.Showtime
	unpriced                                     apitest.Showtime
	held, expired, cancelled, paid, begun, alien string
	usedKey                                      string
	link, overtaken                              string // to make accounts; one whose address has got another since
	outrun                                       string // to confirm a change; its next address has got an account since
	movieCursor, theaterCursor                   string
}

func newBadWorld(t *testing.T, a *apitest.App) *badWorld {
	t.Helper()
	w := &badWorld{App: a, anonymous: a.Anonymous(), customer: a.Customer(), other: a.Customer(), admin: a.Admin()}
	shows := a.World.Showtimes
	w.show, w.elsewhere = shows[0], shows[1]
	movie, theater := a.World.Movies[0], a.World.Theaters[0]
	w.started = a.AddShowtime(movie, theater, theater.Screens[0], -time.Hour)
	w.notYet = a.AddShowtime(movie, theater, theater.Screens[0], 70*24*time.Hour)
	w.calledOff = a.AddShowtime(movie, theater, theater.Screens[0], 20*24*time.Hour)
	a.Exec(`UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, w.calledOff.Key)
	a.Exec(`UPDATE showtime_sales SET status = 'CLOSED' WHERE showtime_id = $1`, w.calledOff.Key)
	w.unpriced = a.AddShowtime(movie, theater, theater.Screens[0], 21*24*time.Hour)
	a.Exec(`DELETE FROM price_tiers WHERE showtime_id = $1 AND category = 'STANDARD'`, w.unpriced.Key)

	a.Exec(`UPDATE movies SET run_time_minutes = 100 WHERE id = $1`, movie.Key)

	w.link = askForLink(a, "someone@apitest.example")
	w.overtaken = askForLink(a, "overtaken@apitest.example")
	if _, err := a.Identity.CreateUser(t.Context(), identity.SignUpInput{Email: "overtaken@apitest.example", Password: apitest.Password, Name: "First"}); err != nil {
		t.Fatal(err)
	}

	w.stale = proved(t, a, "1 hour")
	w.manager = a.As(auth.Grant{Role: auth.RoleTheaterManager, Theater: a.World.Theaters[1].Key})
	mover := a.Customer()
	mover.Get(changeEmail, vars{"email": "outrun@apitest.example"}, nil)
	w.Anonymous().Get(confirmEmailChange, vars{"token": a.Mailed("outrun@apitest.example", "take-address")}, nil)
	w.outrun = a.Mailed(mover.User.Email, "leave-address")
	if _, err := a.Identity.CreateUser(t.Context(), identity.SignUpInput{Email: "outrun@apitest.example", Password: apitest.Password, Name: "Faster"}); err != nil {
		t.Fatal(err)
	}

	w.held = reserve(t, w.customer, w.show, 1, 2)
	w.expired = reserve(t, w.customer, w.show, 3)
	runOut(a, w.expired)
	w.cancelled = reserve(t, w.customer, w.show, 4)
	cancel(w.customer, w.cancelled)
	w.paid = reserve(t, w.customer, w.show, 5)
	pay(t, w.customer, w.paid)
	w.alien = reserve(t, w.other, w.show, 9, 10)
	begun := a.AddShowtime(movie, theater, theater.Screens[1], 7*24*time.Hour)
	w.begun = reserve(t, w.customer, begun, 1)
	pay(t, w.customer, w.begun)
	a.Exec(`UPDATE showtimes SET starts_at = now() - interval '1 minute', ends_at = now() + interval '1 hour',
		occupied_until = now() + interval '2 hours' WHERE id = $1`, begun.Key)
	w.usedKey = "a key that was used"
	var out reserved
	w.customer.Get(reserveSeats, vars{"in": vars{
		"showtimeId": w.elsewhere.ID(), "seatIds": w.elsewhere.Screen.SeatIDs(7), "idempotencyKey": w.usedKey,
	}}, &out)

	var cursors struct {
		Movies, Theaters struct{ PageInfo struct{ EndCursor string } }
	}
	w.customer.Get(`{ movies(first: 2) { pageInfo { endCursor } } theaters(first: 2) { pageInfo { endCursor } } }`, nil, &cursors)
	w.movieCursor, w.theaterCursor = cursors.Movies.PageInfo.EndCursor, cursors.Theaters.PageInfo.EndCursor
	return w
}

func (w *badWorld) cases() map[string][]badInput {
	return map[string][]badInput{
		"ids":        w.ids(),
		"pages":      w.pages(),
		"texts":      w.texts(),
		"documents":  w.documents(),
		"requests":   w.requests(),
		"seats":      w.seats(),
		"payments":   w.payments(),
		"others":     w.otherSeats(),
		"deadlines":  w.deadlines(),
		"refunds":    w.refunds(),
		"gateways":   w.gateways(),
		"schedule":   w.schedule(),
		"books":      w.reconciliation(),
		"accounts":   w.accounts(),
		"changes":    w.changes(),
		"anonymous":  w.withoutSession(),
		"operations": w.tooLarge(),
	}
}
