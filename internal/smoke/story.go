package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"marquee/internal/apperr"
	"marquee/internal/bench/server"
	"marquee/internal/gqlclient"
)

// story is what the steps hand on to each other.
type story struct {
	binary, dir, logPath string

	marquee *server.Server
	visitor gqlclient.Client
	ann     *customer
	ben     *customer

	showtimeID string
	states     string // letters by position, before anybody books
	watcher    *watcher

	wanted     []seat // what both customers want
	reserveKey string
	held       reservation // Ann's, of the wanted seats
	payKey     string
	paid       reservation
	others     []seat      // what Ben takes instead
	unpaid     reservation // Ben's, of these
	kept       reservation // Ann's second, which must survive the restart
}

// step is one line of the report.
type step struct {
	name string
	do   func(context.Context) error
	// within is how long the step may take; 0 means stepTime.
	within time.Duration
}

const (
	// firstStart covers a cluster, a database and a world that are made from nothing on a busy machine.
	firstStart = 45 * time.Second

	// secondStart is how soon a server that finds its data must be ready.
	secondStart = 3 * time.Second

	// stepTime is enough for every other step, and too little for what the server only does when a hint was lost.
	stepTime = 5 * time.Second
)

// run takes the step.
func (s step) run(ctx context.Context) error {
	within := s.within
	if within == 0 {
		within = stepTime
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it took longer than %s", within))
	defer cancel()
	return s.do(ctx)
}

func (s *story) steps() []step {
	return []step{
		{name: "the server starts from nothing and loads the demo world", do: s.start, within: firstStart},
		{name: "liveness and readiness answer 200", do: s.probe},
		{name: "two customers sign up by the letters that come to them", do: s.signUp},
		{name: "the catalogue shows movies with showtimes and ratings, and twelve theaters", do: s.browse},
		{name: "a showtime has a seat map that agrees with itself", do: s.chooseShowtime},
		{name: "an anonymous watcher gets the whole map first", do: s.watch},
		{name: "Ann reserves two seats", do: s.reserve},
		{name: "the watcher sees exactly these become HELD", do: s.seeHeld},
		{name: "the same request again gives the same reservation, other seats under its key a refusal", do: s.repeatReserve},
		{name: "Ben is refused the same seats, and offered others", do: s.refuse},
		{name: "each of these may be taken: Ben reserves the first, the watcher sees it", do: s.takeAlternative},
		{name: "Ben can neither read nor pay Ann's reservation", do: s.keepOut},
		{name: "Ann pays and gets two tickets", do: s.pay},
		{name: "the watcher sees the seats become TAKEN", do: s.seeTaken},
		{name: "paying again with the same key gives the same payment and tickets", do: s.repeatPay},
		{name: "a card is declined where the price asks for it, and the hold remains", do: s.decline},
		{name: "Ben's hold runs out: the watcher sees the seats come back", do: s.seeExpired, within: hold + stepTime},
		{name: "a hold that has run out cannot be paid", do: s.payExpired},
		{name: "Ann cancels: refunded in full, tickets revoked, the watcher sees the seats come back", do: s.cancel},
		{name: "Ann books again", do: s.bookAgain},
		{name: "malformed JSON and a malformed id are typed refusals", do: s.malformed},
		{name: "SIGTERM: the watcher is told to move (1012), the exit code is 0, no PostgreSQL remains", do: s.terminate},
		{name: "a second start with the data there is ready within " + secondStart.String(), do: s.start, within: secondStart},
		{name: "Ann's reservations are still there", do: s.remember},
		{name: "the second server ends in order", do: s.end},
	}
}

// start starts the server on the story's folder and waits until it is ready.
func (s *story) start(ctx context.Context) error {
	log, err := os.OpenFile(s.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close() // the process has a handle of its own
	s.marquee, err = server.Start(server.Options{
		Binary: s.binary,
		Env: map[string]string{
			"MARQUEE_ENV":      "development",
			"MARQUEE_DATA_DIR": filepath.Join(s.dir, "data"),
			"MARQUEE_HOLD":     hold.String(),
		},
		Log: log,
	})
	if err != nil {
		return err
	}
	s.visitor = gqlclient.Client{URL: s.marquee.GraphQL(), HTTP: &http.Client{Transport: &http.Transport{}}}
	return s.marquee.Ready(ctx)
}

func (s *story) probe(ctx context.Context) error {
	for _, path := range []string{"/healthz", "/readyz"} {
		status, body, err := server.Get(ctx, s.marquee.URL()+path)
		if err != nil || status != http.StatusOK {
			return errors.Join(fmt.Errorf("%s answers %d %q", path, status, body), err)
		}
	}
	return nil
}

func (s *story) signUp(ctx context.Context) (err error) {
	mailbox := s.marquee.Ops() + "/mailbox"
	if s.ann, err = signUp(ctx, s.visitor, mailbox, "ann"); err != nil {
		return err
	}
	s.ben, err = signUp(ctx, s.visitor, mailbox, "ben")
	return err
}

func (s *story) browse(ctx context.Context) error {
	var answer struct {
		Movies struct {
			Nodes []struct {
				ID, Title string
				Rating    *struct{ MeanTenths, Votes int }
				Showtimes struct{ Nodes []showtime }
			}
			PageInfo struct{ HasNextPage bool }
		}
		Theaters struct {
			Nodes []struct {
				Name, City string
				Screens    []struct{ ID string }
			}
		}
	}
	if err := s.visitor.Do(ctx, moviesDocument, nil, &answer); err != nil {
		return err
	}
	const theaters, screens, page = 12, 40, 20
	if len(answer.Movies.Nodes) != page || !answer.Movies.PageInfo.HasNextPage {
		return fmt.Errorf("%d movies are playing", len(answer.Movies.Nodes))
	}
	rated := 0
	for _, movie := range answer.Movies.Nodes {
		if movie.Title == "" || len(movie.Showtimes.Nodes) == 0 {
			return fmt.Errorf("movie %s %q is playing and has %d showtimes", movie.ID, movie.Title, len(movie.Showtimes.Nodes))
		}
		if movie.Rating != nil && movie.Rating.Votes > 0 && movie.Rating.MeanTenths > 0 {
			rated++
		}
	}
	if rated == 0 {
		return errors.New("no movie has a rating")
	}
	found := 0
	for _, theater := range answer.Theaters.Nodes {
		found += len(theater.Screens)
	}
	if len(answer.Theaters.Nodes) != theaters || found != screens {
		return fmt.Errorf("%d theaters with %d screens", len(answer.Theaters.Nodes), found)
	}
	return nil
}

// upcoming walks the showtimes that are well before the end of their sales until one suits. pages bounds the walk: the
// demo world shows everything it has within the first days.
func (s *story) upcoming(ctx context.Context, suits func(showtime) bool) (showtime, error) {
	const pages = 20
	variables := map[string]any{"from": time.Now().Add(2 * time.Hour).UTC()}
	for range pages {
		var answer struct {
			Showtimes struct {
				Nodes    []showtime
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
		if err := s.visitor.Do(ctx, showtimesDocument, variables, &answer); err != nil {
			return showtime{}, err
		}
		if i := slices.IndexFunc(answer.Showtimes.Nodes, suits); i >= 0 {
			return answer.Showtimes.Nodes[i], nil
		}
		if !answer.Showtimes.PageInfo.HasNextPage {
			break
		}
		variables["after"] = answer.Showtimes.PageInfo.EndCursor
	}
	return showtime{}, errors.New("no showtime suits")
}

// Cents at the end of a price by which the sandbox gateway declines a card.
const declinedCents = 51

// ordinary is true for a showtime at which every selection can be paid.
func ordinary(one showtime) bool {
	for _, tier := range one.Prices {
		if tier.Price.AmountMinor%50 != 0 {
			return false
		}
	}
	return len(one.Prices) > 0
}

// declining returns the category of which one seat is declined; "" where there is none.
func declining(one showtime) string {
	for _, tier := range one.Prices {
		if tier.Price.AmountMinor%100 == declinedCents {
			return tier.Category
		}
	}
	return ""
}

func (s *story) chooseShowtime(ctx context.Context) error {
	chosen, err := s.upcoming(ctx, ordinary)
	if err != nil {
		return err
	}
	s.showtimeID = chosen.ID
	if s.states, err = s.mapOf(ctx, chosen.ID); err != nil {
		return err
	}
	s.wanted, err = s.best(ctx, chosen.ID, 2)
	return err
}

// best asks for the seats that a party of one or two would take, which no rule of the theater forbids.
func (s *story) best(ctx context.Context, showtimeID string, party int, categories ...string) ([]seat, error) {
	var answer struct{ BestAvailable []struct{ Seats []seat } }
	wish := map[string]any{"showtimeId": showtimeID, "seats": party, "limit": 1, "allowSplit": false}
	if len(categories) > 0 {
		wish["categories"] = categories
	}
	if err := s.visitor.Do(ctx, bestDocument, input(wish), &answer); err != nil {
		return nil, err
	}
	if len(answer.BestAvailable) != 1 || len(answer.BestAvailable[0].Seats) != party {
		return nil, fmt.Errorf("a party of %d is offered %+v at %s", party, answer.BestAvailable, showtimeID)
	}
	return answer.BestAvailable[0].Seats, nil
}

// mapOf reads the seat map of a showtime on which nobody has booked yet, checks that its parts agree, and returns the
// letters. The house may have kept some seats back.
func (s *story) mapOf(ctx context.Context, showtimeID string) (states string, err error) {
	var answer struct {
		Showtime struct {
			ID    string
			Movie struct{ Title string }
		}
		SeatMap seatMap
	}
	if err := s.visitor.Do(ctx, seatMapDocument, map[string]any{"id": showtimeID}, &answer); err != nil {
		return "", err
	}
	m := answer.SeatMap
	free := 0
	if answer.Showtime.ID != showtimeID || answer.Showtime.Movie.Title == "" {
		return "", fmt.Errorf("showtime %s is %+v", showtimeID, answer.Showtime)
	}
	for i, one := range m.Seats {
		isNew := one.State == "AVAILABLE" || one.State == "BLOCKED"
		if !isNew || one.Seat.Position != i+1 || i >= len(m.StateLetters) || m.StateLetters[i] != letters[one.State] {
			return "", fmt.Errorf("seat %d of a showtime that nobody has booked is %+v", i+1, one)
		}
		if one.State == "AVAILABLE" {
			free++
		}
	}
	if free == 0 || free != m.AvailableCount || len(m.Seats) != len(m.StateLetters) {
		return "", fmt.Errorf("of %d seats %d are available in %q", len(m.Seats), m.AvailableCount, m.StateLetters)
	}
	return m.StateLetters, nil
}

func (s *story) watch(ctx context.Context) (err error) {
	if s.watcher, err = watch(ctx, s.visitor, s.showtimeID); err != nil {
		return err
	}
	if string(s.watcher.states) != s.states {
		return fmt.Errorf("the watcher's map is %s and the visitor's %s", s.watcher.states, s.states)
	}
	return nil
}

func (s *story) reserve(ctx context.Context) (err error) {
	s.reserveKey = newKey()
	s.held, err = s.ann.hold(ctx, s.showtimeID, s.reserveKey, s.wanted)
	return err
}

func (s *story) seeHeld(ctx context.Context) error {
	return s.watcher.expectAtOnce(ctx, "HELD", s.wanted)
}

func (s *story) repeatReserve(ctx context.Context) error {
	again, err := s.ann.hold(ctx, s.showtimeID, s.reserveKey, s.wanted)
	if err != nil {
		return err
	}
	if again.ID != s.held.ID || !again.HeldUntil.Equal(*s.held.HeldUntil) {
		return fmt.Errorf("reservation %+v became %+v", s.held, again)
	}
	_, err = s.ann.reserve(ctx, s.showtimeID, s.reserveKey, s.wanted[:1])
	return demand(err, apperr.IdempotencyKeyReused)
}

func (s *story) refuse(ctx context.Context) error {
	got, err := s.ben.reserve(ctx, s.showtimeID, newKey(), s.wanted)
	if err != nil {
		return err
	}
	if got.Typename != "SeatsUnavailable" || got.Code != "SEATS_UNAVAILABLE" || !samePlaces(got.Seats, s.wanted) {
		return fmt.Errorf("ben got %+v", got)
	}
	if len(got.Alternatives) == 0 {
		return errors.New("nothing else is offered in an empty house")
	}
	var offered []int
	for _, alternative := range got.Alternatives {
		if len(alternative.Seats) != len(s.wanted) || alternative.Total.AmountMinor <= 0 || !s.watcher.isFree(alternative.Seats) {
			return fmt.Errorf("instead of seats %v Ben is offered %+v", positions(s.wanted), alternative)
		}
		for _, one := range alternative.Seats {
			if slices.Contains(offered, one.Position) {
				return fmt.Errorf("seat %d is offered twice", one.Position)
			}
		}
		offered = append(offered, positions(alternative.Seats)...)
		if err := s.ben.mayReserve(ctx, s.showtimeID, alternative.Seats); err != nil {
			return err
		}
	}
	s.others = got.Alternatives[0].Seats
	return nil
}

func (s *story) takeAlternative(ctx context.Context) (err error) {
	if s.unpaid, err = s.ben.hold(ctx, s.showtimeID, newKey(), s.others); err != nil {
		return err
	}
	return s.watcher.expectAtOnce(ctx, "HELD", s.others)
}

func (s *story) keepOut(ctx context.Context) error {
	seen, err := s.ben.read(ctx, s.held.ID)
	if err != nil || seen != nil {
		return errors.Join(fmt.Errorf("ben reads %+v", seen), err)
	}
	if own, err := s.ann.read(ctx, s.held.ID); err != nil || own == nil || own.ID != s.held.ID {
		return errors.Join(fmt.Errorf("ann reads %+v", own), err)
	}
	_, err = s.ben.pay(ctx, s.held.ID, newKey())
	return demand(err, apperr.NotFound)
}

func (s *story) pay(ctx context.Context) (err error) {
	s.payKey = newKey()
	s.paid, err = s.ann.buy(ctx, s.held.ID, s.payKey)
	return err
}

func (s *story) seeTaken(ctx context.Context) error {
	return s.watcher.expectAtOnce(ctx, "TAKEN", s.wanted)
}

func (s *story) repeatPay(ctx context.Context) error {
	again, err := s.ann.buy(ctx, s.held.ID, s.payKey)
	if err != nil {
		return err
	}
	if again.Payment.ID != s.paid.Payment.ID || !slices.Equal(again.Tickets, s.paid.Tickets) {
		return fmt.Errorf("%+v became %+v", s.paid, again)
	}
	return nil
}

func (s *story) decline(ctx context.Context) error {
	chosen, err := s.upcoming(ctx, func(one showtime) bool { return declining(one) != "" })
	if err != nil {
		return err
	}
	seats, err := s.best(ctx, chosen.ID, 1, declining(chosen))
	if err != nil {
		return err
	}
	r, err := s.ben.hold(ctx, chosen.ID, newKey(), seats)
	if err != nil {
		return err
	}
	got, err := s.ben.pay(ctx, r.ID, newKey())
	if err != nil {
		return err
	}
	if got.Typename != "PaymentDeclined" || got.Code != "PAYMENT_DECLINED" || got.DeclineCode != "insufficient_funds" ||
		got.Reservation.Status != "HELD" || len(got.Reservation.Tickets) != 0 {
		return fmt.Errorf("ben paid %+v and got %+v", r.Total, got)
	}
	return nil
}

func (s *story) seeExpired(ctx context.Context) error {
	_, err := s.watcher.expect(ctx, "AVAILABLE", s.others)
	return err
}

func (s *story) payExpired(ctx context.Context) error {
	got, err := s.ben.pay(ctx, s.unpaid.ID, newKey())
	if err != nil {
		return err
	}
	if got.Typename != "ReservationExpired" || got.Code != "RESERVATION_EXPIRED" || got.Reservation.ID != s.unpaid.ID || got.Reservation.Status != "EXPIRED" {
		return fmt.Errorf("ben paid an expired reservation and got %+v", got)
	}
	return nil
}

func (s *story) cancel(ctx context.Context) error {
	var answer struct{ CancelReservation outcome }
	err := s.ann.Do(ctx, cancelDocument, input(map[string]any{"reservationId": s.paid.ID}), &answer)
	if err != nil {
		return err
	}
	got := answer.CancelReservation
	r := got.Reservation
	if got.Typename != "CancelReservationPayload" || r.ID != s.paid.ID || r.Status != "CANCELLED" ||
		r.Payment == nil || r.Payment.Status != "REFUNDED" || r.Payment.Refunded != s.paid.Total {
		return fmt.Errorf("ann cancelled and got %+v with the payment %+v", got, r.Payment)
	}
	for _, ticket := range r.Tickets {
		if ticket.Status != "REVOKED" {
			return fmt.Errorf("after the cancellation a ticket is %+v", ticket)
		}
	}
	return s.watcher.expectAtOnce(ctx, "AVAILABLE", s.wanted)
}

func (s *story) bookAgain(ctx context.Context) error {
	held, err := s.ann.hold(ctx, s.showtimeID, newKey(), s.wanted)
	if err != nil {
		return err
	}
	if err := s.watcher.expectAtOnce(ctx, "HELD", s.wanted); err != nil {
		return err
	}
	if s.kept, err = s.ann.buy(ctx, held.ID, newKey()); err != nil {
		return err
	}
	return s.watcher.expectAtOnce(ctx, "TAKEN", s.wanted)
}

func (s *story) malformed(ctx context.Context) error {
	err := s.visitor.Send(ctx, []byte(`{"query":`), nil)
	if failed, ok := errors.AsType[*gqlclient.Error](err); !ok || failed.Status != http.StatusBadRequest {
		return fmt.Errorf("malformed JSON is answered with: %w", told(err))
	}
	if err := demand(err, apperr.BadUserInput); err != nil {
		return err
	}
	return demand(s.visitor.Do(ctx, seatMapDocument, map[string]any{"id": "sho_nonsense"}, nil), apperr.BadUserInput)
}

func (s *story) terminate(ctx context.Context) error {
	return s.goAway(ctx, func() error {
		const restarting = 1012
		_, err := s.watcher.next(ctx)
		if closed, ok := errors.AsType[*gqlclient.CloseError](err); !ok || closed.Code != restarting {
			return fmt.Errorf("the watcher's stream ended with: %w", told(err))
		}
		return nil
	})
}

// goAway sends SIGTERM and demands an end in order, of Marquee and of its PostgreSQL; meanwhile is what clients see.
func (s *story) goAway(ctx context.Context, meanwhile func() error) error {
	database, err := findPostmaster(s.dir)
	if err != nil {
		return err
	}
	if !database.listens(ctx) {
		return fmt.Errorf("PostgreSQL does not listen on port %d", database.port)
	}
	if err := s.marquee.Terminate(); err != nil {
		return err
	}
	if err := meanwhile(); err != nil {
		return err
	}
	select {
	case <-s.marquee.Done():
	case <-ctx.Done():
		return fmt.Errorf("waiting for the server's end: %w", context.Cause(ctx))
	}
	if err := s.marquee.Exit(); err != nil {
		return err
	}
	if _, err := findPostmaster(s.dir); !errors.Is(err, errNoPostmaster) || database.listens(ctx) {
		return fmt.Errorf("PostgreSQL's process %d is still there", database.pid)
	}
	return nil
}

func (s *story) remember(ctx context.Context) error {
	ann := s.visitor
	ann.Token = s.ann.Token
	var answer struct {
		Me             user
		MyReservations struct{ Nodes []reservation }
	}
	if err := ann.Do(ctx, myReservationsDocument, nil, &answer); err != nil {
		return err
	}
	nodes := answer.MyReservations.Nodes
	if answer.Me.ID != s.ann.id || len(nodes) != 2 {
		return fmt.Errorf("%+v has %d reservations", answer.Me, len(nodes))
	}
	if newest := nodes[0]; newest.ID != s.kept.ID || newest.Status != "CONFIRMED" || !slices.Equal(newest.Tickets, s.kept.Tickets) {
		return fmt.Errorf("%+v became %+v", s.kept, newest)
	}
	if oldest := nodes[1]; oldest.ID != s.paid.ID || oldest.Status != "CANCELLED" {
		return fmt.Errorf("the cancelled reservation became %+v", oldest)
	}
	fresh, err := watch(ctx, s.visitor, s.showtimeID)
	if err != nil {
		return err
	}
	defer fresh.subscription.Close()
	if string(fresh.states) != string(s.watcher.states) {
		return fmt.Errorf("the map was %s and is %s", s.watcher.states, fresh.states)
	}
	return nil
}

func (s *story) end(ctx context.Context) error {
	return s.goAway(ctx, func() error { return nil })
}
