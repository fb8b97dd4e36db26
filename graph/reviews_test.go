package graph_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"marquee/internal/apitest"
	"marquee/internal/apperr"
	"marquee/internal/auth"
	"marquee/internal/gqlclient"
)

const reviewFields = `id rating text spoiler authorName mine helpfulVotes status hiddenFor createdAt editedAt
	aspects { movie picture sound seat } movie { id reviewRating { count meanTenths scoreTenths histogram } }`

const writeReview = `mutation ($in: WriteReviewInput!) { writeReview(input: $in) {
	__typename
	... on WriteReviewPayload { review { ` + reviewFields + ` } }
	... on UserError { code message }
	... on AlreadyReviewed { review { ` + reviewFields + ` } }
} }`

type shownReview struct {
	ID, Status    string
	Rating        int32
	Text          *string
	AuthorName    *string
	HiddenFor     *string
	CreatedAt     time.Time
	EditedAt      *time.Time
	Spoiler, Mine bool
	HelpfulVotes  int32
	Aspects       struct{ Movie, Picture, Sound, Seat *int32 }
	Movie         struct {
		ID           string
		ReviewRating shownRating
	}
}

type shownRating struct {
	Count, ScoreTenths int32
	MeanTenths         *int32
	Histogram          []int32
}

// String is what a rating says in short: count, score and histogram.
func (r shownRating) String() string { return fmt.Sprint(r.Count, r.ScoreTenths, r.Histogram) }

type wroteReview struct {
	WriteReview struct {
		Typename string `json:"__typename"`
		Code     string
		Review   shownReview
	}
}

// pass makes a showtime one that is over, as time would.
func pass(a *apitest.App, show apitest.Showtime) {
	a.Exec(`UPDATE showtimes SET starts_at = starts_at - interval '30 days', ends_at = ends_at - interval '30 days',
		occupied_until = occupied_until - interval '30 days' WHERE id = $1`, show.Key)
}

// seen returns a customer who has been at a showtime. Others may have been, too, if it is not over yet.
func seen(t *testing.T, a *apitest.App, show apitest.Showtime, position int16) apitest.Client {
	t.Helper()
	c := a.Customer().With(t)
	pay(t, c, reserve(t, c, show, position))
	return c
}

// wrote writes a review, which must work.
func wrote(t *testing.T, c apitest.Client, movie apitest.Movie, more vars) shownReview {
	t.Helper()
	in := vars{"movieId": movie.ID(), "rating": 8}
	maps.Copy(in, more)
	var out wroteReview
	c.With(t).Get(writeReview, vars{"in": in}, &out)
	if out.WriteReview.Typename != "WriteReviewPayload" {
		t.Fatalf("%+v", out.WriteReview)
	}
	return out.WriteReview.Review
}

// ratingOf is what everybody reads of a movie.
func ratingOf(a *apitest.App, movie apitest.Movie) shownRating {
	var out struct {
		Movie struct{ ReviewRating shownRating }
	}
	a.Anonymous().Get(`query ($id: ID!) { movie(id: $id) { reviewRating { count meanTenths scoreTenths histogram } } }`, vars{"id": movie.ID()}, &out)
	return out.Movie.ReviewRating
}

// reviewsOf are the ids that everybody reads of a movie's reviews.
func reviewsOf(a *apitest.App, movie apitest.Movie, arguments string) []string {
	return list{who: a.Anonymous(), field: "reviews", arguments: `movieId: "` + movie.ID() + `", ` + arguments}.page("first: 100").ids()
}

// TestAZ5_who_may_review: nobody without a past ticket of their own for the movie.
func TestAZ5_who_may_review(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	past, off, ahead := a.World.Showtimes[0], a.World.Showtimes[1], a.World.Showtimes[3]
	if past.Movie.Key == off.Movie.Key || past.Movie.Key == ahead.Movie.Key || off.Movie.Key == ahead.Movie.Key {
		t.Fatal("the world has changed: these are to show three movies")
	}
	guest, cancelled := seen(t, a, past, 1), seen(t, a, past, 2)
	wentOff := seen(t, a, off, 1)
	waiting := seen(t, a, ahead, 1)
	held := a.Customer()
	reserve(t, held, past, 4)
	gaveBack := a.Customer()
	reservation := reserve(t, gaveBack, past, 3)
	pay(t, gaveBack, reservation)
	cancel(gaveBack, reservation)
	pass(a, past)
	pass(a, off)
	a.Exec(`UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1`, off.Key)
	a.Exec(`UPDATE tickets SET status = 'REVOKED' WHERE showtime_id = $1 AND seat_no = 2`, past.Key)

	cases := map[string]struct {
		who   apitest.Client
		movie apitest.Movie
	}{
		"no ticket":                      {a.Customer(), past.Movie},
		"somebody else's ticket":         {waiting, past.Movie},
		"ticket of a future showtime":    {waiting, ahead.Movie},
		"ticket of another movie":        {guest, off.Movie},
		"showtime that was called off":   {wentOff, off.Movie},
		"ticket that was revoked":        {cancelled, past.Movie},
		"reservation that was cancelled": {gaveBack, past.Movie},
		"hold that was never paid":       {held, past.Movie},
		"a manager who was not there":    {a.Manager(), past.Movie},
		"an administrator who was not":   {a.Admin(), past.Movie},
	}
	before := a.Dump()
	for name, test := range cases {
		var out wroteReview
		test.who.With(t).Get(writeReview, vars{"in": vars{"movieId": test.movie.ID(), "rating": 8}}, &out)
		if out.WriteReview.Typename != "TicketRequired" || out.WriteReview.Code != "TICKET_REQUIRED" {
			t.Errorf("%s: %+v", name, out.WriteReview)
		}
	}
	if code := gqlclient.CodeOf(a.Anonymous().Refused(writeReview, vars{"in": vars{"movieId": past.Movie.ID(), "rating": 8}})); code != apperr.Unauthenticated {
		t.Errorf("nobody: %s", code)
	}
	if code := gqlclient.CodeOf(guest.Refused(writeReview, vars{"in": vars{"movieId": "mov_" + nothing, "rating": 8}})); code != apperr.NotFound {
		t.Errorf("no such movie: %s", code)
	}
	for _, rating := range []string{"0", "11", "-1", "5.5", "NaN", `"NaN"`, `"8"`, "1e400", "null", "true", "[8]", "4294967304"} {
		raw := guest.Post(`{"query": "mutation ($r: Int!) { writeReview(input: {movieId: \"` + past.Movie.ID() + `\", rating: $r}) { __typename } }", "variables": {"r": ` + rating + `}}`)
		if body := string(raw.Body); !strings.Contains(body, `"BAD_USER_INPUT"`) || strings.Contains(body, "WriteReviewPayload") {
			t.Errorf("rating %s: %s", rating, raw)
		} else if (rating == "0" || rating == "11" || rating == "-1") && !strings.Contains(body, `"input.rating"`) {
			t.Errorf("rating %s does not name the field: %s", rating, raw)
		}
	}
	if after := a.Dump(); after != before {
		t.Errorf("a refused review left something:\n%s", difference(before, after))
	}
	wrote(t, guest, past.Movie, nil)
}

// TestAZ5_twice: one review for each movie and author, however they come.
func TestAZ5_twice(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show := a.World.Showtimes[0]
	guest := seen(t, a, show, 1)
	pass(a, show)
	const attempts = 32
	var wait sync.WaitGroup
	results := make([]wroteReview, attempts)
	errs := make([]error, attempts)
	for i := range attempts {
		wait.Go(func() {
			errs[i] = guest.Try(writeReview, vars{"in": vars{"movieId": show.Movie.ID(), "rating": 1 + i%10}}, &results[i])
		})
	}
	wait.Wait()
	kinds, ids := map[string]int{}, map[string]bool{}
	for i, result := range results {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		kinds[result.WriteReview.Typename]++
		ids[result.WriteReview.Review.ID] = true
	}
	if kinds["WriteReviewPayload"] != 1 || kinds["AlreadyReviewed"] != attempts-1 || len(ids) != 1 {
		t.Errorf("%v, of %d reviews", kinds, len(ids))
	}
	if rating := ratingOf(a, show.Movie); rating.Count != 1 {
		t.Errorf("%s", rating)
	}
}

// TestReview_life: what everybody reads of a review from its writing to its end.
func TestReview_life(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show := a.World.Showtimes[0]
	author, second := seen(t, a, show, 1), seen(t, a, show, 2)
	author.Get(`mutation { updateProfile(input: {name: "Lotte Reiniger"}) { __typename } }`, nil, nil)
	pass(a, show)
	if rating := ratingOf(a, show.Movie); rating.MeanTenths != nil || rating.String() != "0 55 [0 0 0 0 0 0 0 0 0 0]" {
		t.Errorf("before: %s", rating)
	}
	r := wrote(t, author, show.Movie, vars{
		"rating": 9, "text": " Shadows.\r\nAnd light. ", "spoiler": true, "showName": true, "aspects": vars{"picture": 10, "seat": 3},
	})
	if !r.Mine || !r.Spoiler || *r.Text != "Shadows.\nAnd light." || *r.AuthorName != "Lotte" || *r.Aspects.Picture != 10 || *r.Aspects.Seat != 3 ||
		r.Aspects.Movie != nil || r.Aspects.Sound != nil || r.EditedAt != nil || r.Movie.ReviewRating.String() != "1 58 [0 0 0 0 0 0 0 0 1 0]" {
		t.Errorf("%+v", r)
	}
	mute := wrote(t, second, show.Movie, vars{"rating": 4})
	if mute.Text != nil || mute.AuthorName != nil {
		t.Errorf("%+v", mute)
	}
	if ids := reviewsOf(a, show.Movie, ""); !slices.Equal(ids, []string{mute.ID, r.ID}) {
		t.Errorf("%v", ids)
	}
	if ids := reviewsOf(a, show.Movie, "filter: {spoiler: false}, "); !slices.Equal(ids, []string{mute.ID}) {
		t.Errorf("without spoilers: %v", ids)
	}
	if ids := reviewsOf(a, show.Movie, "filter: {rating: 9}, "); !slices.Equal(ids, []string{r.ID}) {
		t.Errorf("with a 9: %v", ids)
	}
	if body := string(a.Anonymous().Raw(`query ($id: ID!) { node(id: $id) { ... on Review { `+reviewFields+` } } }`, vars{"id": r.ID}).Body); !strings.Contains(body, `"Lotte"`) ||
		strings.Contains(body, "Reiniger") || strings.Contains(body, "apitest.example") || !strings.Contains(body, `"mine":false`) {
		t.Errorf("nobody reads %s", body)
	}

	var edited struct{ EditReview struct{ Review shownReview } }
	const editReview = `mutation ($in: EditReviewInput!) { editReview(input: $in) { review { ` + reviewFields + ` } } }`
	author.Get(editReview, vars{"in": vars{"reviewId": r.ID, "rating": 2}}, &edited)
	if e := edited.EditReview.Review; e.Rating != 2 || e.Text != nil || e.Spoiler || e.AuthorName != nil || e.EditedAt == nil || e.Aspects.Seat != nil ||
		e.Movie.ReviewRating.String() != "2 51 [0 1 0 1 0 0 0 0 0 0]" {
		t.Errorf("%+v", e)
	}
	for _, stranger := range []apitest.Client{second, a.Manager(), a.Admin()} {
		if code := gqlclient.CodeOf(stranger.With(t).Refused(editReview, vars{"in": vars{"reviewId": r.ID, "rating": 10}})); code != apperr.NotFound {
			t.Errorf("a stranger's edit: %s", code)
		}
		if code := gqlclient.CodeOf(stranger.With(t).Refused(`mutation ($id: ID!) { deleteReview(input: {reviewId: $id}) { __typename } }`, vars{"id": r.ID})); code != apperr.NotFound {
			t.Errorf("a stranger's deletion: %s", code)
		}
	}
	if code := gqlclient.CodeOf(author.Refused(editReview, vars{"in": vars{"reviewId": r.ID, "rating": 11, "text": "\u202e"}})); code != apperr.BadUserInput {
		t.Errorf("a bad edit: %s", code)
	}
	author.Get(`mutation ($id: ID!) { deleteReview(input: {reviewId: $id}) { ... on DeleteReviewPayload { reviewId } } }`, vars{"id": r.ID}, nil)
	if rating := ratingOf(a, show.Movie); rating.String() != "1 54 [0 0 0 1 0 0 0 0 0 0]" {
		t.Errorf("after a deletion: %s", rating)
	}
	again := wrote(t, author, show.Movie, nil)
	if again.ID == r.ID {
		t.Error("another review with the same id")
	}
	// What one said goes with the account.
	author.Get(`mutation { deleteAccount(input: {leaveReservations: true}) { __typename ... on DeleteAccountPayload { userId } } }`, nil, nil)
	if rating := ratingOf(a, show.Movie); rating.String() != "1 54 [0 0 0 1 0 0 0 0 0 0]" {
		t.Errorf("after an erasure: %s", rating)
	}
	if ids := reviewsOf(a, show.Movie, ""); !slices.Equal(ids, []string{mute.ID}) {
		t.Errorf("after an erasure: %v", ids)
	}
}

// TestReview_moderated: what is reported, hidden and shown, and who sees which of it.
func TestReview_moderated(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show := a.World.Showtimes[0]
	author, second := seen(t, a, show, 1), seen(t, a, show, 2)
	pass(a, show)
	r, other := wrote(t, author, show.Movie, vars{"rating": 1, "text": "Buy watches"}), wrote(t, second, show.Movie, vars{"rating": 9})
	support, admin, reader := a.As(auth.Grant{Role: auth.RoleSupport}), a.Admin(), a.Customer()
	report := func(who apitest.Client, id, fault string) error {
		return who.Try(`mutation ($in: ReportReviewInput!) { reportReview(input: $in) { review { id } } }`, vars{"in": vars{"reviewId": id, "fault": fault}}, nil)
	}
	for _, who := range []apitest.Client{reader, second} {
		if err := report(who, r.ID, "SPAM"); err != nil {
			t.Fatal(err)
		}
	}
	if err := report(reader, r.ID, "ABUSE"); err != nil {
		t.Errorf("a second report: %v", err)
	}
	if err := report(author, r.ID, "SPAM"); err == nil {
		t.Error("an author reports their own")
	}
	if err := report(admin, r.ID, "OTHER"); err != nil {
		t.Error(err)
	}
	type inQueue struct {
		ID      string
		Reports []struct {
			Fault string
			Count int
		}
		Edits []struct {
			Rating int
			Text   *string
		}
	}
	queue := func(who apitest.Client) []inQueue {
		var out struct{ ReviewQueue struct{ Nodes []inQueue } }
		who.Get(`{ reviewQueue(first: 10) { nodes { id reports { fault count } edits { rating text } } } }`, nil, &out)
		return out.ReviewQueue.Nodes
	}
	if q := queue(support); len(q) != 1 || q[0].ID != r.ID || fmt.Sprint(q[0].Reports) != "[{SPAM 2} {OTHER 1}]" || len(q[0].Edits) != 0 {
		t.Errorf("%+v", q)
	}
	for _, who := range []apitest.Client{reader, author, a.Manager()} {
		for _, document := range []string{
			`{ reviewQueue(first: 10) { nodes { id } } }`, `{ node(id: "` + r.ID + `") { ... on Review { reports { count } } } }`,
			`{ node(id: "` + r.ID + `") { ... on Review { edits { rating } } } }`,
			`mutation { moderateReview(input: {reviewId: "` + r.ID + `", hideFor: SPAM}) { review { id } } }`,
		} {
			if code := gqlclient.CodeOf(who.Refused(document, nil)); code != apperr.Forbidden {
				t.Errorf("%s: %s", document, code)
			}
		}
	}
	var waiting struct{ DeleteReview struct{ Code string } }
	author.Get(`mutation ($id: ID!) { deleteReview(input: {reviewId: $id}) { ... on UserError { code } } }`, vars{"id": r.ID}, &waiting)
	if waiting.DeleteReview.Code != "REVIEW_REPORTED" {
		t.Errorf("an author deletes what was reported: %+v", waiting)
	}
	moderate := func(who apitest.Client, id, fault string) shownReview {
		var out struct{ ModerateReview struct{ Review shownReview } }
		in := vars{"reviewId": id}
		if fault != "" {
			in["hideFor"] = fault
		}
		who.Get(`mutation ($in: ModerateReviewInput!) { moderateReview(input: $in) { review { `+reviewFields+` } } }`, vars{"in": in}, &out)
		return out.ModerateReview.Review
	}
	if hidden := moderate(support, r.ID, "SPAM"); hidden.Status != "HIDDEN" || *hidden.HiddenFor != "SPAM" || hidden.Movie.ReviewRating.String() != "1 58 [0 0 0 0 0 0 0 0 1 0]" {
		t.Errorf("%+v", hidden)
	}
	if q := queue(admin); len(q) != 0 {
		t.Errorf("%+v", q)
	}

	// Hidden, it is there for its author and for moderators alone.
	type asked struct{ Node *shownReview }
	for name, test := range map[string]struct {
		who   apitest.Client
		shown bool
	}{"nobody": {a.Anonymous(), false}, "reader": {reader, false}, "manager": {a.Manager(), false}, "author": {author, true}, "support": {support, true}, "admin": {admin, true}} {
		var out asked
		test.who.With(t).Get(`query ($id: ID!) { node(id: $id) { ... on Review { id status text } } }`, vars{"id": r.ID}, &out)
		if (out.Node != nil) != test.shown {
			t.Errorf("%s is shown %+v", name, out.Node)
		}
		if ids := (list{who: test.who.With(t), field: "reviews", arguments: `movieId: "` + show.Movie.ID() + `", `}).page("first: 10").ids(); !slices.Equal(ids, []string{other.ID}) {
			t.Errorf("%s reads %v", name, ids)
		}
	}
	if ids := (list{who: author, field: "myReviews"}).page("first: 10").ids(); !slices.Equal(ids, []string{r.ID}) {
		t.Errorf("the author's own: %v", ids)
	}
	for _, err := range []error{report(a.Customer(), r.ID, "SPAM"), a.Customer().Try(`mutation { voteReview(input: {reviewId: "`+r.ID+`"}) { review { id } } }`, nil, nil)} {
		if !strings.Contains(fmt.Sprint(err), "no such review") {
			t.Errorf("of a hidden review: %v", err)
		}
	}

	// Its author cannot get rid of the decision, and can mend what was wrong.
	var deletion struct {
		DeleteReview struct{ Code, HiddenFor string }
	}
	author.Get(`mutation ($id: ID!) { deleteReview(input: {reviewId: $id}) { ... on ReviewHidden { code hiddenFor } } }`, vars{"id": r.ID}, &deletion)
	if deletion.DeleteReview.Code != "REVIEW_HIDDEN" || deletion.DeleteReview.HiddenFor != "SPAM" {
		t.Errorf("%+v", deletion)
	}
	var seen struct{ Node shownReview }
	support.Get(`query ($id: ID!) { node(id: $id) { ... on Review { createdAt editedAt } } }`, vars{"id": r.ID}, &seen)
	author.Get(`mutation ($id: ID!) { editReview(input: {reviewId: $id, rating: 2, text: "Boring"}) { review { status } } }`, vars{"id": r.ID}, nil)
	const moderateSeen = `mutation ($in: ModerateReviewInput!) { moderateReview(input: $in) { review { ` + reviewFields + ` } } }`
	if code := gqlclient.CodeOf(support.Refused(moderateSeen, vars{"in": vars{"reviewId": r.ID, "seenEditedAt": seen.Node.CreatedAt}})); code != apperr.Conflict {
		t.Errorf("a decision on what was edited meanwhile: %s", code)
	}
	if q := queue(support); len(q) != 1 || len(q[0].Reports) != 0 || len(q[0].Edits) != 1 || *q[0].Edits[0].Text != "Buy watches" || q[0].Edits[0].Rating != 1 {
		t.Errorf("%+v", q)
	}
	if rating := ratingOf(a, show.Movie); rating.Count != 1 {
		t.Errorf("a hidden review counts: %s", rating)
	}
	if again := moderate(admin, r.ID, ""); again.Status != "VISIBLE" || again.HiddenFor != nil || again.Movie.ReviewRating.String() != "2 55 [0 1 0 0 0 0 0 0 1 0]" {
		t.Errorf("%+v", again)
	}
	moderate(admin, r.ID, "") // changes nothing, and is not recorded

	var log struct {
		AuditLog struct {
			Nodes []struct{ Action, UserID, Before, After string }
		}
	}
	admin.Get(`query ($id: String!) { auditLog(first: 10, filter: {subject: $id}) { nodes { action userId before after } } }`, vars{"id": r.ID}, &log)
	if got := fmt.Sprint(log.AuditLog.Nodes); got != fmt.Sprintf(`[{review.shown %s {"status":"HIDDEN","hiddenFor":"SPAM"} {"status":"VISIBLE"}} {review.hidden %s {"status":"VISIBLE"} {"status":"HIDDEN","hiddenFor":"SPAM"}}]`,
		admin.User.NodeID(), support.User.NodeID()) {
		t.Errorf("%s", got)
	}
}

// TestReview_votes: one for each viewer, however they come, and none of the author's own; MOST_HELPFUL goes by them.
func TestReview_votes(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Still())
	show := a.World.Showtimes[0]
	guests := []apitest.Client{seen(t, a, show, 1), seen(t, a, show, 2), seen(t, a, show, 3)}
	pass(a, show)
	var reviews []string
	for _, guest := range guests {
		reviews = append(reviews, wrote(t, guest, show.Movie, nil).ID)
	}
	const voteReview = `mutation ($in: VoteReviewInput!) { voteReview(input: $in) { review { helpfulVotes } } }`
	vote := func(who apitest.Client, id string, helpful bool) int32 {
		var out struct{ VoteReview struct{ Review shownReview } }
		who.Get(voteReview, vars{"in": vars{"reviewId": id, "helpful": helpful}}, &out)
		return out.VoteReview.Review.HelpfulVotes
	}
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if err := guests[0].Try(voteReview, vars{"in": vars{"reviewId": reviews[1]}}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := vote(guests[2], reviews[1], true); n != 2 {
		t.Errorf("%d votes of two", n)
	}
	if n := vote(guests[1], reviews[0], true); n != 1 {
		t.Errorf("%d votes", n)
	}
	if code := gqlclient.CodeOf(guests[1].Refused(voteReview, vars{"in": vars{"reviewId": reviews[1]}})); code != apperr.BadUserInput {
		t.Errorf("one's own: %s", code)
	}
	if ids := reviewsOf(a, show.Movie, "sort: MOST_HELPFUL, "); !slices.Equal(ids, []string{reviews[1], reviews[0], reviews[2]}) {
		t.Errorf("%v of %v", ids, reviews)
	}
	if n := vote(guests[0], reviews[1], false); n != 1 {
		t.Errorf("%d votes after one was taken back", n)
	}
	guests[2].Get(`mutation { deleteAccount(input: {leaveReservations: true}) { __typename } }`, nil, nil)
	if ids := reviewsOf(a, show.Movie, "sort: MOST_HELPFUL, "); !slices.Equal(ids, []string{reviews[0], reviews[1]}) {
		t.Errorf("after an erasure: %v of %v", ids, reviews)
	}
}

// TestReviews_pages visits every review once, in each order and direction.
func TestReviews_pages(t *testing.T) {
	t.Parallel()
	a := apitest.New(t, apitest.Batched(), apitest.Still())
	show := a.World.Showtimes[0]
	rating := []int{5, 9, 5, 1, 9, 5, 10}
	ids := make([]string, len(rating)) // in the order of their writing
	for i := range rating {
		var author apitest.Client
		author, ids[i] = withReview(a, show, false)
		a.Exec(`UPDATE reviews SET rating = $2, helpful = $3::integer, named = true, queued_at = timestamptz '2026-05-04 20:00Z' - $3::integer * interval '1 minute'
			WHERE user_id = $1`, author.User.ID, rating[i], i%3)
	}
	// Of these no list of the movie's, nor the queue, has any.
	hidden, _ := withReview(a, show, false)
	a.Exec(`UPDATE reviews SET status = 'HIDDEN', hidden_for = 'SPAM' WHERE user_id = $1`, hidden.User.ID)
	withReview(a, a.World.Showtimes[1], false)
	pick := func(indexes ...int) []string {
		var picked []string
		for _, i := range indexes {
			picked = append(picked, ids[i])
		}
		return picked
	}
	support := a.As(auth.Grant{Role: auth.RoleSupport})
	for name, test := range map[string]struct {
		list list
		want []string
	}{
		"NEWEST":       {list{field: "reviews", arguments: "sort: NEWEST, "}, pick(6, 5, 4, 3, 2, 1, 0)},
		"HIGHEST":      {list{field: "reviews", arguments: "sort: HIGHEST, "}, pick(6, 4, 1, 5, 2, 0, 3)},
		"LOWEST":       {list{field: "reviews", arguments: "sort: LOWEST, "}, pick(3, 0, 2, 5, 1, 4, 6)},
		"MOST_HELPFUL": {list{field: "reviews", arguments: "sort: MOST_HELPFUL, "}, pick(5, 2, 4, 1, 6, 3, 0)},
		"queue":        {list{who: support, field: "reviewQueue"}, pick(2, 5, 1, 4, 0, 3, 6)},
	} {
		l := test.list
		if l.who.URL == "" {
			l.who, l.arguments = a.Anonymous(), l.arguments+`movieId: "`+show.Movie.ID()+`", `
		}
		for _, size := range []int{1, 2, 3, 100} {
			for _, backwards := range []bool{false, true} {
				if got := l.walk(t, size, backwards); !slices.Equal(got, test.want) {
					t.Errorf("%s, %d at a time, backwards %t: %v, want %v", name, size, backwards, got, test.want)
				}
			}
		}
	}
	// A page with all that everybody can ask of it costs what its kinds of things cost, however many there are.
	query := `query ($id: ID!) { reviews(movieId: $id, first: 7) { nodes { ` + reviewFields + ` } } }`
	if texts := a.Statements(func() { a.Anonymous().Get(query, vars{"id": show.Movie.ID()}, nil) }); len(texts) != 4 {
		t.Errorf("%d statements:\n%s", len(texts), strings.Join(texts, "\n"))
	}
	if texts := a.Statements(func() {
		a.Anonymous().Get(`{ movies(first: 6) { nodes { reviewRating { count meanTenths scoreTenths histogram } } } }`, nil, nil)
	}); len(texts) != 2 {
		t.Errorf("%d statements for ratings:\n%s", len(texts), strings.Join(texts, "\n"))
	}
}
