package review_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/booking"
	"marquee/internal/identity"
	"marquee/internal/page"
	"marquee/internal/postgres"
	"marquee/internal/review"
	"marquee/internal/typeid"
)

func TestMain(m *testing.M) { os.Exit(apitest.Main(m)) }

// house is a world whose showtimes are over.
type house struct {
	*apitest.App
	*review.Service

	t *testing.T
}

func newHouse(t *testing.T, cfg review.Config) *house {
	t.Helper()
	a := apitest.New(t, apitest.Still())
	a.Exec(`UPDATE showtimes SET starts_at = starts_at - interval '7 days', ends_at = ends_at - interval '7 days', occupied_until = occupied_until - interval '7 days'`)
	return &house{App: a, Service: review.NewService(a.DB(), a.Booking, a.Identity, cfg), t: t}
}

// people makes accounts that nobody signs in to.
func (h *house) people(n int) []auth.Viewer {
	h.t.Helper()
	viewers := make([]auth.Viewer, n)
	ids := make(postgres.UUIDs, n)
	for i := range viewers {
		ids[i] = typeid.New()
		viewers[i].UserID = ids[i]
	}
	h.Exec(`INSERT INTO users (id, email_sealed, email_index, name_sealed) SELECT id, '\x00', sha256(id::text::bytea) || '\x00000000'::bytea, '\x00' FROM unnest($1::uuid[]) AS p (id)`, ids)
	return viewers
}

// attend gives somebody a ticket of a showtime.
func (h *house) attend(viewer auth.Viewer, show apitest.Showtime, status booking.TicketStatus) {
	h.t.Helper()
	reservation := typeid.New()
	h.Exec(`INSERT INTO reservations (showtime_id, id, viewer_id, status, seats, amount_minor, currency, lines, confirmed_at)
		VALUES ($1, $2, $3, 'CONFIRMED', '{1}', 1200, 'EUR', '[]', now())`, show.Key, reservation, viewer.UserID)
	h.Exec(`INSERT INTO tickets (showtime_id, id, reservation_id, seat_no, code, status)
		SELECT $1, gen_random_uuid(), $2, 1 + count(*), gen_random_uuid(), $3 FROM tickets WHERE showtime_id = $1`, show.Key, reservation, status)
}

// write writes a review, which must work.
func (h *house) write(viewer auth.Viewer, movie uuid.UUID, content review.Content) review.Review {
	h.t.Helper()
	result, err := h.Write(h.t.Context(), viewer, review.WriteInput{MovieID: movie, Content: content})
	written, ok := result.(review.Written)
	if err != nil || !ok {
		h.t.Fatalf("%+v, %v", result, err)
	}
	return written.Review
}

var moderator = auth.Viewer{UserID: typeid.New(), Grants: auth.NewGrants(auth.Grant{Role: auth.RoleSupport}), Strong: true}

func TestRating(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		histogram [10]int32
		mean      int32
		score     int32
	}{
		{[10]int32{}, 0, 55},
		{[10]int32{9: 1}, 100, 59},              // one 10 is no reason to lead
		{[10]int32{0: 1}, 10, 51},               // nor one 1 to come last
		{[10]int32{7: 1, 8: 1}, 85, 60},         // 8.5
		{[10]int32{0: 1, 1: 2}, 17, 46},         // 1.67
		{[10]int32{9: 2_000_000_000}, 100, 100}, // no number overflows
		{[10]int32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 55, 55},
	} {
		r := review.Rating{Histogram: test.histogram}
		if mean := r.MeanTenths(); (mean == nil) != (test.mean == 0) || mean != nil && *mean != test.mean {
			t.Errorf("the mean of %v is not %d", test.histogram, test.mean)
		}
		if score := r.ScoreTenths(); score != test.score {
			t.Errorf("the score of %v is %d, not %d", test.histogram, score, test.score)
		}
	}
}

func TestService_Write(t *testing.T) {
	t.Parallel()
	h := newHouse(t, review.Config{})
	show := h.World.Showtimes[0]
	viewer := h.people(1)[0]
	h.attend(viewer, show, booking.TicketIssued)
	r := h.write(viewer, show.Movie.Key, review.Content{Rating: 1})

	t.Run("texts_are_kept_in_one_form", func(t *testing.T) {
		for given, kept := range map[string]string{
			" Gut.\r\n\r\nSehr gut.\t": "Gut.\n\nSehr gut.",
			"Cafe\u0301":               "Café",
			"映画\u3000館":                "映画\u3000館",
			"Très bien\u00a0!":         "Très bien\u00a0!",
			"👩\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e007f": "👩\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e007f",
			"seen 1999 2001 2005 2010":                        "seen 1999 2001 2005 2010",
			"4111 1111 1111 1112":                             "4111 1111 1111 1112", // checks nothing
			"On 24.12.2025 - 20:15, screen 3. 9 of 10":        "On 24.12.2025 - 20:15, screen 3. 9 of 10",
			"5 6 4 5 3, 4.5 and 6 - 2024, 2025":               "5 6 4 5 3, 4.5 and 6 - 2024, 2025",
			strings.Repeat("ß", 5000):                         strings.Repeat("ß", 5000),
		} {
			edited, err := h.Edit(t.Context(), viewer, review.EditInput{ReviewID: r.ID, Content: review.Content{Rating: 1, Text: &given}})
			if err != nil || edited.Text == nil || *edited.Text != kept {
				t.Errorf("%.40q: %v, %v", given, edited.Text, err)
			}
		}
		blank := " \n\t"
		if edited, err := h.Edit(t.Context(), viewer, review.EditInput{ReviewID: r.ID, Content: review.Content{Rating: 1, Text: &blank}}); err != nil || edited.Text != nil {
			t.Errorf("blanks: %v, %v", edited.Text, err)
		}
	})
	t.Run("texts_that_are_none_are_refused", func(t *testing.T) {
		for _, text := range []string{
			strings.Repeat("x", 5001), "a\x00b", "a\x1bb", "a\u202eb", "a\u2066b", "a\u200bb", "a\xff", "a\ufffdb", "a\ue000b",
			"4111 1111 1111 1111", "my card: 4111-1111-1111-1111.", "5555５555 5555 ４444", "3782.822463.10005", "2223003122003222",
			"4111 1111 1111 1111 12/27 123", "4111 1111 1111 1111 123", "Screen 3. 4111 1111 1111 1111", "in 2024. 4111 1111 1111 1111",
			"4111 1111 1111 1111 4111 1111 1111 1111", "4111–1111–1111–1111", "4111\u20111111\u20111111\u20111111",
		} {
			_, err := h.Edit(t.Context(), viewer, review.EditInput{ReviewID: r.ID, Content: review.Content{Rating: 1, Text: &text}})
			if problem, ok := errors.AsType[*apperr.Error](err); !ok || problem.Code != apperr.BadUserInput || problem.Fields[0].Path != "input.text" {
				t.Errorf("%.40q: %v", text, err)
			} else if strings.Contains(problem.Message, "1111") {
				t.Errorf("the answer repeats the number: %s", problem.Message)
			}
		}
	})
	t.Run("every_rating_out_of_range_is_named", func(t *testing.T) {
		for _, wrong := range []int32{-1, 0, 11, 1 << 30} {
			_, err := h.Edit(t.Context(), viewer, review.EditInput{ReviewID: r.ID, Content: review.Content{
				Rating: wrong, Aspects: review.Aspects{Movie: &wrong, Picture: &wrong, Sound: &wrong, Seat: &wrong},
			}})
			var paths []string
			if problem, ok := errors.AsType[*apperr.Error](err); ok {
				for _, field := range problem.Fields {
					paths = append(paths, field.Path)
				}
			}
			if got := strings.Join(paths, " "); got != "input.aspects.movie input.aspects.picture input.aspects.seat input.aspects.sound input.rating" {
				t.Errorf("%d: %s", wrong, got)
			}
		}
	})
}

// TestService_Write_database: what the program would let through by mistake, the database does not.
// What the database itself refuses to keep, whoever writes it.
func TestService_Write_database(t *testing.T) {
	t.Parallel()
	h := newHouse(t, review.Config{})
	movie, people := h.World.Movies[0].Key, h.people(2)
	const whole = `INSERT INTO reviews (id, movie_id, user_id, rating, document, status, hidden_for, helpful) SELECT $1, $2, $3, `
	write := func(viewer auth.Viewer, values string) error {
		_, err := h.DB().SQL().ExecContext(t.Context(), whole+values, typeid.New(), movie, viewer.UserID)
		return err
	}
	const rest = `, 'VISIBLE', NULL, 0`
	refused := map[string]string{ // values -> constraint
		`0, '{}'` + rest:                                          "reviews_rating_check",
		`11, '{}'` + rest:                                         "reviews_rating_check",
		`5, '[]'` + rest:                                          "reviews_aspects_check",
		`5, '{"text": ""}'` + rest:                                "reviews_text_check",
		`5, '{}', 'GONE', NULL, 0`:                                "reviews_status_check",
		`5, '{}', 'HIDDEN', NULL, 0`:                              "reviews_hidden_check",
		`5, '{}', 'VISIBLE', 'SPAM', 0`:                           "reviews_hidden_check",
		`5, '{}', 'HIDDEN', 'BORING', 0`:                          "reviews_fault_check",
		`5, '{}', 'VISIBLE', NULL, -1`:                            "reviews_helpful_check",
		`5, jsonb_build_object('text', repeat('x', 5001))` + rest: "reviews_text_check",
	}
	for _, aspect := range []string{"movie", "picture", "sound", "seat"} {
		for _, rating := range []int{0, 11} {
			refused[fmt.Sprintf(`5, '{"aspects": {%q: %d}}'%s`, aspect, rating, rest)] = "reviews_aspects_check"
		}
	}
	for values, constraint := range refused {
		if err := write(people[0], values); !postgres.IsCheckViolation(err, constraint) {
			t.Errorf("%s: %v, want %s", values, err, constraint)
		}
	}
	if err := write(people[1], `10, '{"text": "x", "aspects": {"movie": 10, "picture": 1, "sound": 10, "seat": 1}}'`+rest); err != nil {
		t.Error(err)
	}
	if err := write(people[1], `1, '{}'`+rest); !postgres.IsUniqueViolation(err, "reviews_author_key") {
		t.Errorf("a second one by the same author: %v", err)
	}
}

func TestService_Write_who(t *testing.T) {
	t.Parallel()
	strict := newHouse(t, review.Config{Attendance: booking.AttendedByDoor})
	lenient := review.NewService(strict.DB(), strict.Booking, strict.Identity, review.Config{Attendance: booking.AttendedByTicket})
	show := strict.World.Showtimes[0]
	running := strict.AddShowtime(strict.World.Movies[5], show.Theater, show.Screen, -time.Hour)
	for name, test := range map[string]struct {
		show            apitest.Showtime
		status          booking.TicketStatus
		lenient, strict bool
	}{
		"redeemed":                 {show, booking.TicketRedeemed, true, true},
		"not_redeemed":             {show, booking.TicketIssued, true, false},
		"revoked":                  {show, booking.TicketRevoked, false, false},
		"redeemed_and_running":     {running, booking.TicketRedeemed, false, true},
		"not_redeemed_and_running": {running, booking.TicketIssued, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			for service, may := range map[*review.Service]bool{lenient: test.lenient, strict.Service: test.strict} {
				viewer := strict.people(1)[0]
				strict.attend(viewer, test.show, test.status)
				result, err := service.Write(t.Context(), viewer, review.WriteInput{MovieID: test.show.Movie.Key, Content: review.Content{Rating: 5}})
				if err != nil {
					t.Fatal(err)
				}
				if _, did := result.(review.Written); did != may {
					t.Errorf("%T, want it written: %t", result, may)
				}
			}
		})
	}
}

func TestService_allowance(t *testing.T) {
	t.Parallel()
	twice := identity.Allowance{Burst: 2, Pause: time.Hour}
	h := newHouse(t, review.Config{Writes: twice, Reports: twice})
	show := h.World.Showtimes[0]
	people := h.people(4)
	var reviews []review.Review
	for _, viewer := range people[:3] {
		h.attend(viewer, show, booking.TicketIssued)
		reviews = append(reviews, h.write(viewer, show.Movie.Key, review.Content{Rating: 5}))
	}
	edit := func(rating int32) error {
		_, err := h.Edit(t.Context(), people[0], review.EditInput{ReviewID: reviews[0].ID, Content: review.Content{Rating: rating}})
		return err
	}
	if err := edit(6); err != nil {
		t.Fatal(err)
	}
	if err := edit(6); err != nil {
		t.Errorf("what changes nothing: %v", err)
	}
	if err := edit(7); apperr.CodeOf(err) != apperr.Throttled {
		t.Errorf("the third write: %v", err)
	}
	if r, err := h.Review(t.Context(), people[0], reviews[0].ID); err != nil || r.Rating != 6 {
		t.Errorf("a refused edit changed the rating to %d, %v", r.Rating, err)
	}
	for i, want := range []apperr.Code{"", "", apperr.Throttled} {
		_, err := h.Report(t.Context(), people[3], review.ReportInput{ReviewID: reviews[i].ID, Fault: review.FaultSpam})
		if apperr.CodeOf(err) != want {
			t.Errorf("report %d: %v", i, err)
		}
	}
	// Again is not once more.
	if _, err := h.Report(t.Context(), people[3], review.ReportInput{ReviewID: reviews[0].ID, Fault: review.FaultAbuse}); err != nil {
		t.Error(err)
	}
	p, err := h.Queue(t.Context(), moderator, page.Request{Limit: 10})
	if err != nil || len(p.Items) != 2 || p.Items[0].ID != reviews[0].ID {
		t.Errorf("the queue: %+v, %v", p.Items, err)
	}
}

// TestService_Report_after_an_edit: what moderators have settled stays so until the review says something else, and what
// waits for them is not deleted.
func TestService_Report_after_an_edit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, review.Config{})
	show := h.World.Showtimes[0]
	people := h.people(2)
	author, reader := people[0], people[1]
	h.attend(author, show, booking.TicketIssued)
	r := h.write(author, show.Movie.Key, review.Content{Rating: 5})
	report := func(fault review.Fault) (queued int) {
		t.Helper()
		if _, err := h.Report(t.Context(), reader, review.ReportInput{ReviewID: r.ID, Fault: fault}); err != nil {
			t.Fatal(err)
		}
		p, err := h.Queue(t.Context(), moderator, page.Request{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Items)
	}
	moderate := func(seen *time.Time) error {
		_, err := h.Moderate(t.Context(), moderator, review.ModerateInput{ReviewID: r.ID, SeenEditedAt: seen})
		return err
	}
	remove := func() review.DeleteResult {
		t.Helper()
		result, err := h.Delete(t.Context(), author, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if report(review.FaultSpam) != 1 {
		t.Error("a report brings nothing before the moderators")
	}
	if result := remove(); result != (review.Reported{}) {
		t.Errorf("deleting what waits for the moderators: %+v", result)
	}
	if err := moderate(&r.CreatedAt); err != nil {
		t.Fatal(err)
	}
	if report(review.FaultAbuse) != 0 {
		t.Error("what was settled was reported again")
	}
	edited, err := h.Edit(t.Context(), author, review.EditInput{ReviewID: r.ID, Content: review.Content{Rating: 6}})
	if err != nil {
		t.Fatal(err)
	}
	if report(review.FaultAbuse) != 1 {
		t.Error("a report of what was edited is lost")
	}
	if counts, err := h.ReportsByReview(t.Context(), []uuid.UUID{r.ID}); err != nil || !slices.Equal(counts[r.ID], []review.ReportCount{{Fault: review.FaultAbuse, Count: 1}}) {
		t.Errorf("%+v, %v", counts, err)
	}
	if err := moderate(&r.CreatedAt); apperr.CodeOf(err) != apperr.Conflict {
		t.Errorf("a decision on what was edited meanwhile: %v", err)
	}
	if err := moderate(edited.EditedAt); err != nil {
		t.Error(err)
	}
	if result := remove(); result != (review.Deleted{ReviewID: r.ID}) {
		t.Errorf("deleting what was settled: %+v", result)
	}
}

// drifted lists the ratings and votes that are not what a count of all reviews and votes comes to, in one snapshot.
const drifted = `
	SELECT count(*) FROM (
		SELECT m.movie_id, m.rating, m.reviews FROM movie_ratings m WHERE m.reviews > 0
		EXCEPT SELECT movie_id, rating, count(*)::integer FROM reviews WHERE status = 'VISIBLE' GROUP BY 1, 2) AS too_many
	UNION ALL SELECT count(*) FROM (
		SELECT movie_id, rating, count(*)::integer FROM reviews WHERE status = 'VISIBLE' GROUP BY 1, 2
		EXCEPT SELECT m.movie_id, m.rating, m.reviews FROM movie_ratings m) AS too_few
	UNION ALL SELECT count(*) FROM reviews r WHERE r.helpful <> (SELECT count(*) FROM review_votes v WHERE v.review_id = r.id)`

func (h *house) checkCounts(ctx context.Context) error {
	rows, err := h.DB().SQL().QueryContext(ctx, drifted)
	if err != nil {
		return err
	}
	wrong, err := postgres.Collect(rows, func(rows *sql.Rows) (n int, err error) {
		err = rows.Scan(&n)
		return n, err
	})
	if err == nil && slices.Max(wrong) > 0 {
		err = fmt.Errorf("counts that are not what they count: %v", wrong)
	}
	return err
}

// TestRatings_equal_a_recount after 10,000 random edits by 32 writers, and at moments in between: reviews are written, edited,
// deleted, hidden, shown and voted for, and accounts are erased, whose people come back.
func TestRatings_equal_a_recount(t *testing.T) {
	t.Parallel()
	h := newHouse(t, review.Config{})
	shows := h.World.Showtimes[:3]
	people := h.people(40)
	for _, viewer := range people {
		for _, show := range shows {
			h.attend(viewer, show, booking.TicketIssued)
		}
	}
	const writers, edits = 32, 10_000
	var done, kinds atomic.Int64
	var wait sync.WaitGroup
	for writer := range writers {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(writer), 1))
			mine := map[uuid.UUID]review.Review{}
			for n := done.Add(1); n <= edits; n = done.Add(1) {
				if err := h.act(t.Context(), random, people, shows, mine); err != nil {
					t.Error(err)
					return
				}
				if n%1000 == 0 {
					if err := h.checkCounts(t.Context()); err != nil {
						t.Errorf("after some %d edits: %v", n, err)
					}
				}
				kinds.Add(1)
			}
		})
	}
	wait.Wait()
	if err := h.checkCounts(t.Context()); err != nil {
		t.Error(err)
	}
	if kinds.Load() != edits {
		t.Errorf("%d edits", kinds.Load())
	}
	if n := apitest.Value[int](h.App, `SELECT sum(reviews) FROM movie_ratings`); n == 0 {
		t.Error("no reviews are left: nothing was proved")
	}
	if _, err := h.Privacy.Replay(t.Context(), idsOf(people)); err != nil {
		t.Error(err)
	}
	if err := h.checkCounts(t.Context()); err != nil {
		t.Errorf("after all accounts were erased: %v", err)
	}
}

// act does one random thing to a random review.
func (h *house) act(ctx context.Context, random *rand.Rand, people []auth.Viewer, shows []apitest.Showtime, known map[uuid.UUID]review.Review) error {
	viewer := people[random.IntN(len(people))]
	rating := int32(1 + random.IntN(10))
	if random.IntN(200) == 0 {
		return h.returns(ctx, viewer)
	}
	result, err := h.Write(ctx, viewer, review.WriteInput{MovieID: shows[random.IntN(len(shows))].Movie.Key, Content: review.Content{Rating: rating}})
	if code := apperr.CodeOf(err); code == apperr.Conflict || code == apperr.Unauthenticated { // deleted, or erased, at this moment
		return nil
	}
	if err != nil {
		return err
	}
	already, ok := result.(review.AlreadyReviewed)
	if !ok {
		return nil
	}
	r := already.Review
	fault := review.FaultSpam
	other := people[random.IntN(len(people))]
	switch random.IntN(6) {
	case 0, 1:
		_, err = h.Edit(ctx, viewer, review.EditInput{ReviewID: r.ID, Content: review.Content{Rating: rating}})
	case 2:
		_, err = h.Delete(ctx, viewer, r.ID)
	case 3:
		_, err = h.Moderate(ctx, moderator, review.ModerateInput{ReviewID: r.ID, HideFor: &fault})
	case 4:
		_, err = h.Moderate(ctx, moderator, review.ModerateInput{ReviewID: r.ID})
	default:
		_, err = h.Vote(ctx, other, review.VoteInput{ReviewID: r.ID, Helpful: random.IntN(3) > 0})
	}
	switch apperr.CodeOf(err) {
	case apperr.NotFound, apperr.BadUserInput, apperr.Unauthenticated: // deleted or hidden meanwhile; their own; erased
		return nil
	default:
		return err
	}
}

// returns erases an account, and makes one for the same person, who has been where they have been.
func (h *house) returns(ctx context.Context, viewer auth.Viewer) error {
	if _, err := h.Privacy.Replay(ctx, []uuid.UUID{viewer.UserID}); err != nil {
		return err
	}
	// Else the next to be erased would take everybody along who was erased before.
	for _, statement := range []string{`DELETE FROM erasures WHERE user_id = $1`, insertPerson} {
		if _, err := h.DB().SQL().ExecContext(ctx, statement, viewer.UserID); err != nil {
			return err
		}
	}
	return nil
}

const insertPerson = `INSERT INTO users (id, email_sealed, email_index, name_sealed)
	VALUES ($1::uuid, '\x00', sha256($1::uuid::text::bytea) || '\x00000000'::bytea, '\x00') ON CONFLICT DO NOTHING`

// TestErasure_takes_reviews_before_histograms, as everybody does: while it waits for the review of somebody else that the
// person voted for, it holds no histogram that this review's author may ask for.
func TestErasure_takes_reviews_before_histograms(t *testing.T) {
	t.Parallel()
	h := newHouse(t, review.Config{})
	show := h.World.Showtimes[0]
	people := h.people(2)
	for _, viewer := range people {
		h.attend(viewer, show, booking.TicketIssued)
	}
	own, others := h.write(people[0], show.Movie.Key, review.Content{Rating: 5}), h.write(people[1], show.Movie.Key, review.Content{Rating: 6})
	if _, err := h.Vote(t.Context(), people[0], review.VoteInput{ReviewID: others.ID, Helpful: true}); err != nil {
		t.Fatal(err)
	}
	author, err := h.DB().SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := author.ExecContext(t.Context(), `SELECT FROM reviews WHERE id = $1 FOR UPDATE`, others.ID); err != nil {
		t.Fatal(err)
	}
	erased := make(chan error, 1)
	go func() {
		_, err := h.Privacy.Replay(context.WithoutCancel(t.Context()), []uuid.UUID{people[0].UserID})
		erased <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), apitest.Patience)
	defer cancel()
	for waiting := 0; waiting == 0; {
		if err := h.DB().SQL().QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity, pg_sleep(0.002)
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting); err != nil {
			t.Fatalf("the erasure does not wait: %v", err)
		}
	}
	if _, err := author.ExecContext(t.Context(), `SELECT FROM movie_ratings WHERE movie_id = $1 FOR UPDATE NOWAIT`, show.Movie.Key); err != nil {
		t.Errorf("the erasure holds a histogram: %v", err)
	}
	if err := author.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-erased; err != nil {
		t.Fatal(err)
	}
	if _, err := h.Review(t.Context(), people[1], own.ID); apperr.CodeOf(err) != apperr.NotFound {
		t.Errorf("the review of who is gone: %v", err)
	}
	if err := h.checkCounts(t.Context()); err != nil {
		t.Error(err)
	}
}

func idsOf(people []auth.Viewer) postgres.UUIDs {
	ids := make(postgres.UUIDs, len(people))
	for i, viewer := range people {
		ids[i] = viewer.UserID
	}
	return ids
}
