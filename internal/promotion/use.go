package promotion

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"marquee/internal/clock"
	"marquee/internal/postgres"
	"marquee/internal/pricing"
)

// ErrMoved is returned when a promotion is not what it was when it was read: read it again.
var ErrMoved = errors.New("promotion: changed, or used by others, since it was read")

// Service keeps promotions. It is safe for concurrent use.
type Service struct {
	db    *postgres.DB
	clock clock.Clock
}

// NewService returns a Service over db.
func NewService(db *postgres.DB, c clock.Clock) *Service { return &Service{db: db, clock: c} }

// Offer is what a code comes to for a customer at a showtime.
type Offer struct {
	Code      string
	Reason    Reason // why it is not used; "" while nothing speaks against it
	Promotion Promotion
}

// Offers says of each code whether the viewer may use it for a showtime, in the order of the codes, which are clean. What
// it costs is judged by Settle. What the reservation of use has used already, if there is one, does not count. THROTTLED
// for who has guessed too often.
func (s *Service) Offers(ctx context.Context, use Use, codes []string) ([]Offer, error) {
	if err := s.mayGuess(ctx, use.guesser()); err != nil {
		return nil, err
	}
	offers, err := s.OffersAgain(ctx, use, codes)
	if err != nil {
		return nil, err
	}
	unknown := 0
	for _, o := range offers {
		if o.Reason == Unknown {
			unknown++
		}
	}
	if unknown > 0 {
		if err := s.guessed(ctx, use.guesser(), unknown); err != nil {
			return nil, err
		}
	}
	return offers, nil
}

// OffersAgain is Offers for codes that the reservation uses: nobody guesses them. One statement.
func (s *Service) OffersAgain(ctx context.Context, use Use, codes []string) ([]Offer, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT to_jsonb(p), s.movie_id, p.starts_at > now(), p.ends_at <= now(),
			(SELECT count(*) FROM promotion_redemptions r
				WHERE r.id = p.id AND r.viewer_id = $2 AND r.reservation_id NOT IN ($3, $5) AND r.returned_at IS NULL), own.amount_minor
		FROM showtimes s JOIN promotions p ON p.theater_id = s.theater_id
		LEFT JOIN promotion_redemptions own ON own.showtime_id = s.id AND own.reservation_id = $3 AND own.id = p.id AND own.returned_at IS NULL
		WHERE s.id = $1 AND p.code = ANY ($4::text[])`,
		use.ShowtimeID, use.ViewerID, use.ReservationID, "{"+strings.Join(slices.DeleteFunc(slices.Clone(codes), impossible), ",")+"}", use.GivesID)
	if err != nil {
		return nil, fmt.Errorf("reading promotions: %w", err)
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (o Offer, err error) {
		var (
			text        []byte
			movie       uuid.UUID
			early, late bool
			mine        int32
			own         sql.NullInt64
		)
		if err := rows.Scan(&text, &movie, &early, &late, &mine, &own); err != nil {
			return o, err
		}
		p, err := read(text)
		if err != nil {
			return o, err
		}
		if own.Valid {
			p.UsedCount, p.UsedMinor = p.UsedCount-1, p.UsedMinor-own.Int64
		}
		return Offer{Code: p.Code, Promotion: p, Reason: p.judge(movie, early, late, mine)}, nil
	})
	if err != nil {
		return nil, err
	}
	offers := make([]Offer, len(codes))
	for i, code := range codes {
		offers[i] = Offer{Code: code, Reason: Unknown}
		if at := slices.IndexFunc(found, func(o Offer) bool { return o.Code == code }); at >= 0 {
			offers[i] = found[at]
		}
		if offers[i].Reason == "" && len(codes) > 1 && !offers[i].Promotion.Combinable {
			offers[i].Reason = NotCombinable
		}
	}
	return offers, nil
}

// judge says what speaks against a use by somebody with so many uses. A promotion that is switched off is unknown.
func (p Promotion) judge(movie uuid.UUID, early, late bool, mine int32) Reason {
	switch {
	case !p.Active:
		return Unknown
	case early:
		return NotYet
	case late:
		return Ended
	case len(p.Scope.MovieIDs) > 0 && !slices.Contains(p.Scope.MovieIDs, movie):
		return NotForThis
	case p.MaxUses != nil && p.UsedCount >= *p.MaxUses, p.MaxMinor != nil && p.UsedMinor >= *p.MaxMinor:
		return UsedUp
	case p.PerUser != nil && mine >= *p.PerUser:
		return LimitReached
	default:
		return ""
	}
}

// Settle judges what usable offers take off a quote: a code that takes off nothing is not for it, and of one whose budget
// does not suffice nothing is used. It reports whether it refused one, so that the quote is to be made without it.
func Settle(offers []Offer, quote pricing.Quote) (refused bool) {
	for i := range offers {
		o := &offers[i]
		if o.Reason != "" {
			continue
		}
		off := quote.Off(o.Code)
		switch {
		case off == 0:
			o.Reason = NotForThis
		case o.Promotion.MaxMinor != nil && off > *o.Promotion.MaxMinor-o.Promotion.UsedMinor:
			o.Reason = TooLittleLeft
		}
		refused = refused || o.Reason != ""
	}
	return refused
}

// Use is who uses promotions for what. A reservation that is yet to be has no id.
type Use struct {
	ViewerID, ShowtimeID, ReservationID uuid.UUID

	// GivesID is a reservation of the viewer that ends when this one is paid: its uses do not count for what one customer may
	// have, and for what all may have until they are given back.
	GivesID uuid.UUID

	StaffID uuid.UUID // who names the codes for the customer; of nobody when they do so themselves
}

// UseTx uses offers for a reservation at what they take off its quote, in the transaction that claims its seats: ErrMoved
// when one of them is not as it was read. The rows are shared by all who use the codes, so it comes last, and goes by their ids.
func UseTx(ctx context.Context, tx *sql.Tx, use Use, offers []Offer, quote pricing.Quote) error {
	offers = slices.Clone(offers)
	slices.SortFunc(offers, func(a, b Offer) int { return compareIDs(a.Promotion.ID, b.Promotion.ID) })
	for _, o := range offers {
		if err := useTx(ctx, tx, use, o.Promotion, quote.Off(o.Code)); err != nil {
			return err
		}
	}
	return nil
}

// ReplaceTx is UseTx for a reservation that has its row locked by the caller and uses promotions already: they go back. Of
// one that it uses before and after, the two are one turn at the row, so that nobody comes between them.
func ReplaceTx(ctx context.Context, tx *sql.Tx, use Use, offers []Offer, quote pricing.Quote) error {
	rows, err := tx.QueryContext(ctx, `SELECT id FROM promotion_redemptions
		WHERE showtime_id = $1 AND reservation_id = $2 AND returned_at IS NULL`, use.ShowtimeID, use.ReservationID)
	if err != nil {
		return fmt.Errorf("reading what promotions are used: %w", err)
	}
	ids, err := postgres.Collect(rows, func(rows *sql.Rows) (id uuid.UUID, err error) {
		err = rows.Scan(&id)
		return id, err
	})
	if err != nil {
		return err
	}
	for _, o := range offers {
		ids = append(ids, o.Promotion.ID)
	}
	slices.SortFunc(ids, compareIDs)
	for _, id := range slices.Compact(ids) {
		_, err := tx.ExecContext(ctx, `WITH back AS (DELETE FROM promotion_redemptions
				WHERE showtime_id = $1 AND reservation_id = $2 AND id = $3 AND returned_at IS NULL RETURNING amount_minor)
			UPDATE promotions p SET used_count = p.used_count - 1, used_minor = p.used_minor - back.amount_minor FROM back WHERE p.id = $3`,
			use.ShowtimeID, use.ReservationID, id)
		if err != nil {
			return fmt.Errorf("giving a promotion back: %w", err)
		}
		if at := slices.IndexFunc(offers, func(o Offer) bool { return o.Promotion.ID == id }); at >= 0 {
			if err := useTx(ctx, tx, use, offers[at].Promotion, quote.Off(offers[at].Code)); err != nil {
				return err
			}
		}
	}
	return nil
}

// LessenTx makes a reservation of which some tickets go use its promotions at what they take off the rest; one that takes off
// nothing any more is given back. The caller has the reservation's row locked; the rows of promotions are shared by all who use
// the codes, so it comes last, and goes by their ids.
func LessenTx(ctx context.Context, tx *sql.Tx, use Use, before, rest pricing.Quote) error {
	rows, err := tx.QueryContext(ctx, `SELECT p.id, p.code, r.amount_minor FROM promotion_redemptions r JOIN promotions p ON p.id = r.id
		WHERE r.showtime_id = $1 AND r.reservation_id = $2 AND r.returned_at IS NULL ORDER BY p.id FOR UPDATE OF p`, use.ShowtimeID, use.ReservationID)
	if err != nil {
		return fmt.Errorf("reading what promotions are used: %w", err)
	}
	type redemption struct {
		id    uuid.UUID
		code  string
		minor int64
	}
	used, err := postgres.Collect(rows, func(rows *sql.Rows) (r redemption, err error) {
		err = rows.Scan(&r.id, &r.code, &r.minor)
		return r, err
	})
	if err != nil {
		return err
	}
	for _, r := range used {
		less := min(before.Off(r.code)-rest.Off(r.code), r.minor)
		if less == 0 {
			continue
		}
		change, fewer := `UPDATE promotion_redemptions SET amount_minor = amount_minor - $4`, 0
		if less == r.minor {
			change, fewer = `DELETE FROM promotion_redemptions`, 1
		}
		_, err := tx.ExecContext(ctx, `WITH changed AS (`+change+` WHERE showtime_id = $1 AND reservation_id = $2 AND id = $3)
			UPDATE promotions SET used_minor = used_minor - $4, used_count = used_count - $5 WHERE id = $3`,
			use.ShowtimeID, use.ReservationID, r.id, less, fewer)
		if err != nil {
			return fmt.Errorf("lessening the use of a promotion: %w", err)
		}
	}
	return nil
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// useTx is one use, which takes so much off.
func useTx(ctx context.Context, tx *sql.Tx, use Use, p Promotion, off int64) error {
	var used bool
	err := tx.QueryRowContext(ctx, `UPDATE promotions SET used_count = used_count + 1, used_minor = used_minor + $3
		WHERE id = $1 AND version = $2 AND active AND starts_at <= now() AND ends_at > now()
		  AND (max_uses IS NULL OR used_count < max_uses) AND (max_minor IS NULL OR used_minor + $3 <= max_minor) RETURNING true`,
		p.ID, p.Version, off).Scan(&used)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrMoved
	}
	if err != nil {
		return fmt.Errorf("using a promotion: %w", err)
	}
	// The row is locked: no other use of the viewer can come between counting and writing.
	done, err := tx.ExecContext(ctx, `INSERT INTO promotion_redemptions (showtime_id, reservation_id, id, viewer_id, amount_minor)
		SELECT $1, $2, $3, $4, $5 WHERE $6::integer IS NULL OR $6 >
			(SELECT count(*) FROM promotion_redemptions r WHERE r.id = $3 AND r.viewer_id = $4 AND r.reservation_id <> $7 AND r.returned_at IS NULL)`,
		use.ShowtimeID, use.ReservationID, p.ID, use.ViewerID, off, p.PerUser, use.GivesID)
	if err != nil {
		return fmt.Errorf("writing the use of a promotion: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrMoved)
	}
	return nil
}
