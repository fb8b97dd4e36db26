package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/bench/server"
	"marquee/internal/gqlclient"
)

// What the answers hold, as far as the story needs it.
type (
	money struct {
		AmountMinor int64 `json:"amountMinor,string"`
		Currency    string
	}
	seat struct {
		ID       string
		Position int
	}
	showtime struct {
		ID       string
		StartsAt time.Time
		Prices   []struct {
			Category string
			Price    money
		}
	}
	seatMap struct {
		StateLetters   string
		AvailableCount int
		Seats          []struct {
			State string
			Seat  seat
		}
	}
	reservation struct {
		ID        string
		Status    string
		Seats     []seat
		Total     money
		HeldUntil *time.Time
		Payment   *struct {
			ID       string
			Status   string
			Refunded money
		}
		Tickets []struct {
			Code   string
			Status string
			Seat   seat
		}
	}
	// outcome is a member of any of the result unions.
	outcome struct {
		Typename     string `json:"__typename"`
		Code         string
		DeclineCode  string
		Reservation  reservation
		Seats        []seat
		Alternatives []struct {
			Seats []seat
			Total money
		}
	}
	user struct {
		ID    string
		Email string
	}
)

const reservationFields = `
fragment R on Reservation {
  id status heldUntil seats { id position } total { amountMinor currency }
  payment { id status refunded { amountMinor currency } } tickets { code status seat { id position } }
}`

const (
	signUpDocument        = `mutation ($input: SignUpInput!) { signUp(input: $input) { email } }`
	confirmSignUpDocument = `mutation ($input: ConfirmSignUpInput!) {
  confirmSignUp(input: $input) { __typename ... on SessionPayload { token user { id email } } ... on UserError { code message } }
}`
	reserveDocument = `mutation ($input: ReserveSeatsInput!) {
  reserveSeats(input: $input) {
    __typename
    ... on ReserveSeatsPayload { reservation { ...R } }
    ... on UserError { code message }
    ... on SeatsUnavailable { seats { id position } alternatives { seats { id position } total { amountMinor currency } } }
  }
}` + reservationFields
	payDocument = `mutation ($input: PayReservationInput!) {
  payReservation(input: $input) {
    __typename
    ... on PayReservationPayload { reservation { ...R } }
    ... on UserError { code message }
    ... on ReservationExpired { reservation { ...R } }
    ... on PaymentDeclined { declineCode reservation { ...R } }
    ... on PaymentPending { reservation { ...R } }
  }
}` + reservationFields
	cancelDocument = `mutation ($input: CancelReservationInput!) {
  cancelReservation(input: $input) {
    __typename ... on CancelReservationPayload { reservation { ...R } } ... on UserError { code message }
  }
}` + reservationFields
	nodeDocument           = `query ($id: ID!) { node(id: $id) { ...R } }` + reservationFields
	myReservationsDocument = `{ me { id email } myReservations(first: 10) { nodes { ...R } } }` + reservationFields
	moviesDocument         = `{
  movies(first: 20, filter: { playing: true }) {
    nodes { id title rating { meanTenths votes source } showtimes(first: 3) { nodes { id startsAt } } }
    pageInfo { hasNextPage endCursor }
  }
  theaters(first: 100) { nodes { id name city timeZone currency screens { id name } } }
}`
	showtimesDocument = `query ($after: String, $from: DateTime) {
  showtimes(first: 100, after: $after, filter: { from: $from }) {
    nodes { id startsAt prices { category price { amountMinor currency } } }
    pageInfo { hasNextPage endCursor }
  }
}`
	seatMapDocument = `query ($id: ID!) {
  showtime(id: $id) { id startsAt movie { title } theater { name } screen { name } }
  seatMap(showtimeId: $id) { stateLetters availableCount seats { state seat { id position } } }
}`
	bestDocument  = `query ($input: BestAvailableInput!) { bestAvailable(input: $input) { seats { id position } } }`
	checkDocument = `query ($input: ValidateSelectionInput!) { validateSelection(input: $input) { reservable problems { message } } }`
	watchDocument = `subscription ($id: ID!) {
  seatMapChanged(showtimeId: $id) {
    __typename
    ... on SeatMapSnapshot { version seatMap { stateLetters } }
    ... on SeatMapDelta { fromVersion version changes { seatId position state } }
  }
}`
)

// input wraps the one argument of a mutation.
func input(fields map[string]any) map[string]any { return map[string]any{"input": fields} }

// newKey returns an idempotency key for a fresh intent.
func newKey() string { return "smoke-" + rand.Text() }

// mailedTokens finds the token of a link in the mailbox, the last letter first.
var mailedTokens = regexp.MustCompile(`#token=(\w+)`)

// customer is a client with an account.
type customer struct {
	gqlclient.Client

	name string
	id   string
}

// signUp makes an account with the token of the letter that comes to its address.
func signUp(ctx context.Context, visitor gqlclient.Client, mailbox, name string) (*customer, error) {
	email := name + "@smoke.example"
	if err := visitor.Do(ctx, signUpDocument, input(map[string]any{"email": email}), nil); err != nil {
		return nil, err
	}
	token, err := mailedToken(ctx, mailbox, email)
	if err != nil {
		return nil, err
	}
	var answer struct {
		ConfirmSignUp struct {
			outcome

			Token string
			User  user
		}
	}
	err = visitor.Do(ctx, confirmSignUpDocument, input(map[string]any{
		"token": token, "name": name, "password": "one more password for " + name,
	}), &answer)
	if err != nil {
		return nil, err
	}
	got := answer.ConfirmSignUp
	if got.Typename != "SessionPayload" || got.Token == "" || got.User.Email != email {
		return nil, fmt.Errorf("%s got %+v", name, got)
	}
	visitor.Token = got.Token
	return &customer{Client: visitor, name: name, id: got.User.ID}, nil
}

// mailedToken returns the token in the last letter to an address, once there is one: within a second or so.
func mailedToken(ctx context.Context, mailbox, email string) (string, error) {
	const poll = 50 * time.Millisecond
	for {
		status, page, err := server.Get(ctx, mailbox+"?to="+url.QueryEscape(email))
		if err != nil {
			return "", err
		}
		if status != http.StatusOK {
			return "", fmt.Errorf("the mailbox answers %d", status)
		}
		if token := mailedTokens.FindStringSubmatch(page); token != nil {
			return token[1], nil
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return "", fmt.Errorf("no letter came to %s: %w", email, context.Cause(ctx))
		}
	}
}

// reserve asks for seats and returns what came of it.
func (c *customer) reserve(ctx context.Context, showtimeID, key string, seats []seat) (outcome, error) {
	var answer struct{ ReserveSeats outcome }
	err := c.Do(ctx, reserveDocument, input(map[string]any{
		"showtimeId": showtimeID, "seatIds": ids(seats), "idempotencyKey": key,
	}), &answer)
	return answer.ReserveSeats, err
}

// mayReserve demands that nothing speaks against a selection.
func (c *customer) mayReserve(ctx context.Context, showtimeID string, seats []seat) error {
	var answer struct {
		ValidateSelection struct {
			Reservable bool
			Problems   []struct{ Message string }
		}
	}
	err := c.Do(ctx, checkDocument, input(map[string]any{"showtimeId": showtimeID, "seatIds": ids(seats)}), &answer)
	if err != nil {
		return err
	}
	if check := answer.ValidateSelection; !check.Reservable || len(check.Problems) > 0 {
		return fmt.Errorf("against seats %v speaks %+v", positions(seats), check.Problems)
	}
	return nil
}

// hold reserves seats and demands that it succeeds.
func (c *customer) hold(ctx context.Context, showtimeID, key string, seats []seat) (reservation, error) {
	got, err := c.reserve(ctx, showtimeID, key, seats)
	if err != nil {
		return reservation{}, err
	}
	r := got.Reservation
	if got.Typename != "ReserveSeatsPayload" || r.Status != "HELD" || r.HeldUntil == nil || !samePlaces(r.Seats, seats) || r.Total.AmountMinor <= 0 {
		return r, fmt.Errorf("%s asked for seats %v and got %+v", c.name, positions(seats), got)
	}
	return r, nil
}

func (c *customer) pay(ctx context.Context, reservationID, key string) (outcome, error) {
	var answer struct{ PayReservation outcome }
	err := c.Do(ctx, payDocument, input(map[string]any{"reservationId": reservationID, "idempotencyKey": key}), &answer)
	return answer.PayReservation, err
}

// buy pays a reservation and demands its tickets.
func (c *customer) buy(ctx context.Context, reservationID, key string) (reservation, error) {
	got, err := c.pay(ctx, reservationID, key)
	if err != nil {
		return reservation{}, err
	}
	r := got.Reservation
	if got.Typename != "PayReservationPayload" || r.ID != reservationID || r.Status != "CONFIRMED" || r.Payment == nil || r.Payment.Status != "CAPTURED" {
		return r, fmt.Errorf("%s paid and got %+v", c.name, got)
	}
	codes := map[string]bool{}
	for i, ticket := range r.Tickets {
		if ticket.Status != "ISSUED" || ticket.Code == "" || ticket.Seat.ID != r.Seats[i].ID {
			return r, fmt.Errorf("%s got the ticket %+v", c.name, ticket)
		}
		codes[ticket.Code] = true
	}
	if len(r.Tickets) != len(r.Seats) || len(codes) != len(r.Seats) {
		return r, fmt.Errorf("%s got %d tickets with %d codes for %d seats", c.name, len(r.Tickets), len(codes), len(r.Seats))
	}
	return r, nil
}

// read reads a reservation by its id; nil when the API knows none for this customer.
func (c *customer) read(ctx context.Context, id string) (*reservation, error) {
	var answer struct{ Node *reservation }
	err := c.Do(ctx, nodeDocument, map[string]any{"id": id}, &answer)
	return answer.Node, err
}

// demand returns an error unless err is the API's answer with this code.
func demand(err error, code apperr.Code) error {
	if gqlclient.CodeOf(err) == code {
		return nil
	}
	return fmt.Errorf("expected %s, got: %w", code, told(err))
}

// told is err, or an error that says that there was none.
func told(err error) error {
	if err == nil {
		return errors.New("no error at all")
	}
	return err
}

func ids(seats []seat) []string {
	list := make([]string, len(seats))
	for i, s := range seats {
		list[i] = s.ID
	}
	return list
}

// positions are those of seats.
func positions(seats []seat) []int {
	list := make([]int, len(seats))
	for i, s := range seats {
		list[i] = s.Position
	}
	return list
}

// samePlaces reports whether two lists hold the same seats in the same order.
func samePlaces(a, b []seat) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID {
			return false
		}
	}
	return true
}
