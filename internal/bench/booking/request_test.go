package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"

	"marquee/internal/typeid"
)

func TestWriter_Write(t *testing.T) {
	t.Parallel()
	names := newNames()
	if err := names.sign(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	w, err := newWriter(names, "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []selection{
		{showtime: 0, first: 1, count: 1, step: 1},
		{showtime: 1999, first: 250, count: 6, step: -1, viewer: 1999},
		{showtime: 41, first: 7, count: 2, step: 1, viewer: 3}, // shorter than the one before
	} {
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(w.write(s, 0xabc))))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil || int64(len(body)) != request.ContentLength {
			t.Fatalf("read %d bytes of %d: %v", len(body), request.ContentLength, err)
		}
		if request.Method != http.MethodPost || request.URL.Path != "/graphql" || request.Host != "127.0.0.1:1" ||
			request.Header.Get("Content-Type") != "application/json" {
			t.Errorf("sent %+v", request)
		}
		var sent struct {
			Query     string
			Variables struct {
				Input struct {
					ShowtimeID     string
					SeatIDs        []string
					IdempotencyKey string
				}
			}
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		in := sent.Variables.Input
		if showtime, err := typeid.Decode(typeid.Showtime, in.ShowtimeID); err != nil || showtime != key(kindShowtime, s.showtime) {
			t.Errorf("asked for showtime %s, %v", showtime, err)
		}
		var want []string
		for i := range s.count {
			want = append(want, typeid.Encode(typeid.Seat, seatKey(s.showtime%screens, s.first+i*s.step)))
		}
		if !slices.Equal(in.SeatIDs, want) {
			t.Errorf("asked for seats %v, not %v", in.SeatIDs, want)
		}
		if sent.Query != document || in.IdempotencyKey != "bench-0000000000000abc" {
			t.Errorf("sent key %s with %s", in.IdempotencyKey, sent.Query)
		}
		if got := request.Header.Get("Authorization"); got != "Bearer "+names.tokens[s.viewer] {
			t.Errorf("sent %q, not the token of viewer %d", got, s.viewer)
		}
	}
}

func TestWriter_Pay(t *testing.T) {
	t.Parallel()
	names := newNames()
	if err := names.sign(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	w, err := newWriter(names, "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	held := heldID([]byte(`{"data":{"reserveSeats":{"__typename":"ReserveSeatsPayload","reservation":{"id":"res_1","status":"HELD"}}}}`))
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(w.pay(held, 7, 0xabc))))
	if err != nil {
		t.Fatal(err)
	}
	var sent struct {
		Query     string
		Variables struct{ Input map[string]string }
	}
	if err := json.NewDecoder(request.Body).Decode(&sent); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"reservationId": "res_1", "idempotencyKey": "pay-bench-0000000000000abc"}
	if sent.Query != payDocument || !maps.Equal(sent.Variables.Input, want) || request.Header.Get("Authorization") != "Bearer "+names.tokens[7] {
		t.Errorf("sent %+v with %q", sent, request.Header.Get("Authorization"))
	}
}

func TestJudgePaid(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]outcome{
		`{"data":{"payReservation":{"__typename":"PayReservationPayload","reservation":{}}}}`: reserved,
		`{"data":{"payReservation":{"__typename":"PaymentDeclined"}}}`:                        failed,
		`{"errors":[{}],"data":null}`: failed,
	} {
		if got := judgePaid(http.StatusOK, []byte(body)); got != want {
			t.Errorf("%s gives %d, not %d", body, got, want)
		}
		if got := judgePaid(http.StatusInternalServerError, []byte(body)); got != failed {
			t.Errorf("%s with status 500 gives %d", body, got)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status int
		body   string
		want   outcome
	}{
		"a reservation":             {200, `{"data":{"reserveSeats":{"__typename":"ReserveSeatsPayload","reservation":{}}}}`, reserved},
		"a refusal":                 {200, `{"data":{"reserveSeats":{"__typename":"SeatsUnavailable","seats":[]}}}`, refused},
		"a refusal of another kind": {200, `{"data":{"reserveSeats":{"__typename":"ShowtimeClosed"}}}`, failed},
		"a longer name":             {200, `{"data":{"reserveSeats":{"__typename":"SeatsUnavailableToday"}}}`, failed},
		"an error":                  {200, `{"errors":[{}],"data":{"reserveSeats":{"__typename":"ReserveSeatsPayload"}}}`, failed},
		"another status":            {500, `{"data":{"reserveSeats":{"__typename":"ReserveSeatsPayload"}}}`, failed},
		"nothing":                   {200, ``, failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := judge(row.status, []byte(row.body)); got != row.want {
				t.Errorf("got %d, not %d", got, row.want)
			}
		})
	}
}
