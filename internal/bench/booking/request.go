package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// document asks for what a client needs to go on: the hold and its price, or the seats that are lost and others.
// __typename comes first in the answer because it does here.
const document = `mutation Reserve($input: ReserveSeatsInput!) {
  reserveSeats(input: $input) {
    __typename
    ... on ReserveSeatsPayload { reservation { id status heldUntil total { amountMinor currency } } serverTime }
    ... on SeatsUnavailable { seats { id } alternatives { seats { id } total { amountMinor currency } } }
  }
}`

// payDocument asks for what a client shows after a payment.
const payDocument = `mutation Pay($input: PayReservationInput!) {
  payReservation(input: $input) {
    __typename
    ... on PayReservationPayload { reservation { id status tickets { code } } }
  }
}`

// outcome is what came of a request.
type outcome int

const (
	reserved outcome = iota
	refused
	failed
)

const answerPrefix = `{"data":{"reserveSeats":{"__typename":"`

// heldPrefix stands before the id of a reservation, and nothing else does.
const heldPrefix = answerPrefix + `ReserveSeatsPayload","reservation":{"id":"`

var (
	reservedPrefix = []byte(answerPrefix + `ReserveSeatsPayload"`)
	refusedPrefix  = []byte(answerPrefix + `SeatsUnavailable"`)
	paidPrefix     = []byte(`{"data":{"payReservation":{"__typename":"PayReservationPayload"`)
)

// judge tells the outcome by the beginning of the answer. That is exact: errors would stand before the data, and the
// fields come in the order in which the document asks for them.
func judge(status int, body []byte) outcome {
	switch {
	case status == http.StatusOK && bytes.HasPrefix(body, reservedPrefix):
		return reserved
	case status == http.StatusOK && bytes.HasPrefix(body, refusedPrefix):
		return refused
	default:
		return failed
	}
}

// judgePaid is judge for a payment, which nothing refuses.
func judgePaid(status int, body []byte) outcome {
	if status == http.StatusOK && bytes.HasPrefix(body, paidPrefix) {
		return reserved
	}
	return failed
}

// heldID is the id of the reservation that an answer promises.
func heldID(body []byte) []byte {
	rest, _ := bytes.CutPrefix(body, []byte(heldPrefix))
	id, _, _ := bytes.Cut(rest, []byte{'"'})
	return id
}

// keyForm is what idempotency keys look like, on both sides of the comparison.
const keyForm = "bench-%016x"

// writer makes the bytes of requests. It belongs to one goroutine.
type writer struct {
	names     *names
	head      []byte // up to the token
	opening   []byte // of the body that reserves, up to the showtime
	paying    []byte // of the body that pays, up to the reservation
	out, body []byte
}

func newWriter(n *names, address string) (*writer, error) {
	query, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("write a request: %w", err)
	}
	pay, err := json.Marshal(payDocument)
	if err != nil {
		return nil, fmt.Errorf("write a request: %w", err)
	}
	return &writer{
		names:   n,
		head:    []byte("POST /graphql HTTP/1.1\r\nHost: " + address + "\r\nContent-Type: application/json\r\nAuthorization: Bearer "),
		opening: []byte(`{"query":` + string(query) + `,"variables":{"input":{"showtimeId":"`),
		paying:  []byte(`{"query":` + string(pay) + `,"variables":{"input":{"reservationId":"`),
	}, nil
}

// write returns the request for a selection under a numbered idempotency key. It is valid until the next call.
func (w *writer) write(s selection, number uint64) []byte {
	b := append(w.body[:0], w.opening...)
	b = append(b, w.names.showtimes[s.showtime]...)
	b = append(b, `","seatIds":[`...)
	for i := range s.count {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, w.names.seats[screenOf(s.showtime)][s.seat(i)]...)
		b = append(b, '"')
	}
	b = append(b, `],"idempotencyKey":"`...)
	b = fmt.Appendf(b, keyForm, number)
	w.body = append(b, `"}}}`...)
	return w.request(s.viewer)
}

// pay returns the request that pays a reservation of a viewer. It is valid until the next call.
func (w *writer) pay(reservation []byte, viewer int, number uint64) []byte {
	b := append(w.body[:0], w.paying...)
	b = append(b, reservation...)
	b = append(b, `","idempotencyKey":"pay-`...)
	b = fmt.Appendf(b, keyForm, number)
	w.body = append(b, `"}}}`...)
	return w.request(viewer)
}

// request puts the head before the body.
func (w *writer) request(viewer int) []byte {
	o := append(w.out[:0], w.head...)
	o = append(o, w.names.tokens[viewer]...)
	o = append(o, "\r\nContent-Length: "...)
	o = strconv.AppendInt(o, int64(len(w.body)), 10)
	o = append(o, "\r\n\r\n"...)
	w.out = append(o, w.body...)
	return w.out
}

// newKey returns an idempotency key's number, of 63 random bits, as pgbench makes it.
func newKey(random *rand.Rand) uint64 { return random.Uint64() >> 1 }
