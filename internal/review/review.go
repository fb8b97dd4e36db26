// Package review owns what people say of movies that they saw: ratings, texts, aspects, helpful votes, reports and what
// moderators make of them.
//
// It refuses reviews of those who have no past ticket for the movie (Config says what counts), second reviews by the same
// person, ratings that are no whole number from 1 to 10, and texts with characters that show nothing or with numbers of
// payment cards. It knows no seats and no money: whether somebody saw a movie it asks booking.
//
// Invariants, which the database holds (internal/postgres/migrations/00018_reviews.sql):
//   - one review for each movie and author;
//   - the histogram of a movie equals a count of its visible reviews, and the votes of a review a count of theirs, at every
//     commit, whoever changed them: triggers keep both. Nothing is counted again when they are read;
//   - what a review said before an edit is kept, for moderators, as long as the review;
//   - everything of a person, text and history included, goes with the account.
//
// Hidden reviews exist for their authors and for moderators alone, and count in no rating. An author may edit a hidden
// review, which brings it before the moderators again, and not delete it: it could be written anew. Nor is one deleted that
// waits for the moderators. Erasing the account deletes both.
//
// Locks are taken in this order: review -> histogram, rating by rating -> the account's allowance. An erasure begins with
// the reviews of the account and those that it voted for, by id; what the person writes or votes for at that very moment can
// still meet it in a deadlock, which is repeated.
package review

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"marquee/internal/typeid"
)

// Status is whether a review is shown.
type Status string

// The statuses.
const (
	StatusVisible Status = "VISIBLE"
	StatusHidden  Status = "HIDDEN"
)

// Fault is what is wrong with a review, as those who report it and those who hide it say.
type Fault string

// The faults.
const (
	FaultSpam         Fault = "SPAM"
	FaultAbuse        Fault = "ABUSE"
	FaultSpoiler      Fault = "SPOILER"
	FaultOffTopic     Fault = "OFF_TOPIC"
	FaultPersonalData Fault = "PERSONAL_DATA"
	FaultOther        Fault = "OTHER"
)

// Aspects are ratings of what makes an evening at the movies, 1 to 10 each; nil: not rated.
type Aspects struct {
	Movie   *int32 `json:"movie,omitempty"`
	Picture *int32 `json:"picture,omitempty"`
	Sound   *int32 `json:"sound,omitempty"`
	Seat    *int32 `json:"seat,omitempty"`
}

// document is what a review says, as it is stored.
type document struct {
	Text    *string `json:"text,omitempty"`
	Aspects Aspects `json:"aspects"`
}

// Review is what somebody says of a movie.
type Review struct {
	ID       uuid.UUID
	MovieID  uuid.UUID
	AuthorID uuid.UUID // for the house alone: shown to nobody
	Rating   int32     // 1 to 10
	Text     *string   // nil: only rated
	Aspects  Aspects
	Spoiler  bool
	Named    bool // the author lets a part of their name be shown
	Status   Status
	// HiddenFor is why moderators have hidden it; nil: it is visible.
	HiddenFor    *Fault
	HelpfulVotes int32
	CreatedAt    time.Time
	EditedAt     *time.Time // nil: it says what it said first

	queuedAt *time.Time
}

// NodeID returns the review's public id.
func (r Review) NodeID() string { return typeid.Encode(typeid.Review, r.ID) }

// IsNode marks what clients can read again by its id.
func (Review) IsNode() {}

// Edit is what a review said before it was edited.
type Edit struct {
	Rating     int32
	Text       *string
	Aspects    Aspects
	Spoiler    bool
	ReplacedAt time.Time
}

// ReportCount is how many report a review for one fault, whom nobody has looked after yet.
type ReportCount struct {
	Fault Fault
	Count int32
}

// Rating is what all visible reviews of a movie come to.
type Rating struct {
	// Histogram counts the reviews by rating: those that give a 1 first.
	Histogram [10]int32
}

// Counts returns the histogram as a list.
func (r Rating) Counts() []int32 { return r.Histogram[:] }

// Count returns how many reviews there are.
func (r Rating) Count() int32 {
	var count int32
	for _, n := range r.Histogram {
		count += n
	}
	return count
}

func (r Rating) sum() int64 {
	var sum int64
	for i, n := range r.Histogram {
		sum += int64(i+1) * int64(n)
	}
	return sum
}

// MeanTenths returns the mean in tenths, 10 to 100; nil without reviews.
func (r Rating) MeanTenths() *int32 {
	count := r.Count()
	if count == 0 {
		return nil
	}
	mean := rounded(10*r.sum(), int64(count))
	return &mean
}

// The score of a movie is its mean as if so many others had given it the middle of the scale before, so that a movie with
// few ratings neither leads the list nor ends it. It depends on no other movie.
const (
	priorCount     = 10
	priorSumTenths = priorCount * 55
)

// ScoreTenths returns the Bayesian score in tenths, 10 to 100; 55 without reviews.
func (r Rating) ScoreTenths() int32 {
	return rounded(10*r.sum()+priorSumTenths, int64(r.Count())+priorCount)
}

// rounded divides, and rounds half up.
func rounded(dividend, divisor int64) int32 { return int32((2*dividend + divisor) / (2 * divisor)) }

// Sort is an ordering of a movie's reviews.
type Sort string

// The orderings. Reviews that are alike stand newest first, in SortLowest oldest first: it is SortHighest backwards.
const (
	SortNewest      Sort = "NEWEST"
	SortHighest     Sort = "HIGHEST"
	SortLowest      Sort = "LOWEST"
	SortMostHelpful Sort = "MOST_HELPFUL"
)

// CursorName is what cursors of the ordering are signed for.
func (s Sort) CursorName() string { return "reviews:" + string(s) }

// CursorKey returns where r stands in the ordering.
func (s Sort) CursorKey(r Review) []string {
	switch s {
	case SortHighest, SortLowest:
		return []string{strconv.Itoa(int(r.Rating)), r.ID.String()}
	case SortMostHelpful:
		return []string{strconv.Itoa(int(r.HelpfulVotes)), r.ID.String()}
	default:
		return []string{r.ID.String()}
	}
}

// OwnCursor is what cursors of the list of somebody's own reviews are signed for.
const OwnCursor = "reviews:own"

// OwnKey returns where r stands in the list of its author's reviews.
func (r Review) OwnKey() []string { return []string{r.ID.String()} }

// QueueCursor is what cursors of the moderators' queue are signed for.
const QueueCursor = "reviews:queue"

// QueueKey returns where r stands in the moderators' queue.
func (r Review) QueueKey() []string {
	var at time.Time
	if r.queuedAt != nil {
		at = *r.queuedAt
	}
	return []string{at.UTC().Format(time.RFC3339Nano), r.ID.String()}
}

// Filter restricts a list of reviews; nil conditions do not.
type Filter struct {
	Spoiler *bool
	Rating  *int32
}
