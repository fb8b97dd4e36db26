package showtime

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// CreateResult is Created or Occupied.
type CreateResult interface{ isCreateResult() }

// UpdateResult is Updated, Occupied or Reserved.
type UpdateResult interface{ isUpdateResult() }

// Created says that a showtime was published.
type Created struct{ Showtime Showtime }

// Updated says that a showtime was changed.
type Updated struct{ Showtime Showtime }

// Occupied says that the screen is not free: other showtimes have it, cleaning included, soonest first. Nothing was changed.
type Occupied struct{ By []Showtime }

// Reserved says which fields of the input would change what customers have reserved. Nothing was changed.
type Reserved struct {
	Reservations int32 // that have seats, or are just being paid
	Fields       []string
}

func (Created) isCreateResult()  {}
func (Occupied) isCreateResult() {}
func (Updated) isUpdateResult()  {}
func (Occupied) isUpdateResult() {}
func (Reserved) isUpdateResult() {}

// refusedError carries a refusal out of a transaction that keeps nothing.
type refusedError struct {
	occupied *Occupied
	reserved *Reserved
}

func (*refusedError) Error() string { return "showtime: a change of the schedule is refused" }

// Create publishes a showtime on a screen, with the newest layout of its seats, and puts it on sale: NOT_FOUND when there is no
// such movie, or no such screen in a theater that the viewer manages; STEP_UP_REQUIRED, BAD_USER_INPUT. It is recorded.
func (s *Service) Create(ctx context.Context, v auth.Viewer, screen uuid.UUID, d Details) (CreateResult, error) {
	d, err := d.normalised()
	if err != nil {
		return nil, err
	}
	id := typeid.New()
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		at, err := s.lockSiteTx(ctx, tx, screen)
		if err != nil {
			return err
		}
		if err := s.requirePricing(v, at.theater, apperr.Missing("screen")); err != nil {
			return err
		}
		starts, err := s.start(at, d.Starts)
		if err != nil {
			return err
		}
		of, err := slotTx(ctx, tx, at, d.MovieID, starts)
		if err != nil {
			return err
		}
		opens := s.clock.Now()
		if d.SalesOpenAt != nil {
			opens = *d.SalesOpenAt
		}
		if err := d.fit(at, of, opens); err != nil {
			return err
		}
		if err := s.freeTx(ctx, tx, at, of, id); err != nil {
			return err
		}
		return s.publishTx(ctx, tx, v, id, at, of, opens, d)
	})
	if refusal, ok := errors.AsType[*refusedError](err); ok {
		return *refusal.occupied, nil
	}
	if err != nil {
		return nil, fmt.Errorf("publishing a showtime: %w", err)
	}
	made, err := s.ShowtimesByID(ctx, []uuid.UUID{id})
	return Created{made[id]}, err
}

// freeTx is *refusedError with the showtimes that have a slot of a screen, but for id.
func (s *Service) freeTx(ctx context.Context, tx *sql.Tx, at site, of slot, id uuid.UUID) error {
	rows, err := tx.QueryContext(ctx, `SELECT `+columns+source+` WHERE s.screen_id = $1 AND s.status <> 'CANCELLED' AND s.id <> $4
		AND tstzrange(s.starts_at, s.occupied_until) && tstzrange($2, $3) ORDER BY s.starts_at`, at.screen, of.starts, of.until, id)
	if err != nil {
		return fmt.Errorf("reading who has a screen: %w", err)
	}
	by, err := postgres.Collect(rows, func(rows *sql.Rows) (Showtime, error) { return s.scan(rows) })
	if err == nil && len(by) > 0 {
		return &refusedError{occupied: &Occupied{by}}
	}
	return err
}

func (s *Service) publishTx(ctx context.Context, tx *sql.Tx, v auth.Viewer, id uuid.UUID, at site, of slot, opens time.Time, d Details) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO showtimes (id, movie_id, theater_id, screen_id, layout_id, starts_at, ends_at, occupied_until, format, language, subtitles)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		id, d.MovieID, at.theater, at.screen, at.layout, of.starts, of.ends, of.until, d.Format, d.Language, d.Subtitles)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO showtime_sales (showtime_id, opens_at, closes_at, seat_count, max_seats, currency)
		VALUES ($1, $2, $3, $4, $5, $6)`, id, opens, d.closes(of.starts), at.seats, d.MaxSeats, at.currency)
	if err != nil {
		return err
	}
	if err := priceTx(ctx, tx, id, d); err != nil {
		return err
	}
	return audit.RecordTx(ctx, tx, audit.Entry{
		Action: audit.ShowtimeCreated, Actor: v.UserID, Subject: typeid.Encode(typeid.Showtime, id), Theater: at.theater, After: d.recorded(of, opens),
	})
}

// priceTx gives a showtime its prices.
func priceTx(ctx context.Context, tx *sql.Tx, id uuid.UUID, d Details) error {
	prices, err := json.Marshal(d.Prices)
	if err != nil {
		return fmt.Errorf("encoding prices: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO price_tiers (id, showtime_id, category, amount_minor)
		SELECT gen_random_uuid(), $1, key, value::bigint FROM jsonb_each_text($2)`, id, string(prices))
	return err
}

func (d Details) recorded(of slot, opens time.Time) recorded {
	return recorded{
		Movie: d.MovieID, Starts: of.starts.UTC(), Ends: of.ends.UTC(), Format: d.Format, Language: d.Language, Subtitles: d.Subtitles,
		Prices: d.Prices, MaxSeats: d.MaxSeats, Opens: opens.UTC(), Closes: d.closes(of.starts).UTC(),
	}
}

// Update makes a showtime that has not begun another one: NOT_FOUND and the like as Create has them, CONFLICT when it is not of that version, was called off or has begun. Movie, time, format and languages stay from the first
// reservation on; prices, the seats of one customer and the window of sales may change after it, for those who come later. What
// was quoted before is quoted again.
//
// A claim of seats that is under way at the very moment may still get them. Nothing of it is paid: its customer sees the
// showtime as it is then, before paying.
func (s *Service) Update(ctx context.Context, v auth.Viewer, id uuid.UUID, version int32, d Details) (UpdateResult, error) {
	d, err := d.normalised()
	if err != nil {
		return nil, err
	}
	found, err := s.ShowtimesByID(ctx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	was, ok := found[id]
	if !ok {
		return nil, apperr.Missing("showtime")
	}
	if err := s.requirePricing(v, was.TheaterID, apperr.Missing("showtime")); err != nil {
		return nil, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		at, err := s.lockSiteTx(ctx, tx, was.ScreenID)
		if err != nil {
			return err
		}
		return s.updateTx(ctx, tx, v, id, version, at, d)
	})
	if refusal, ok := errors.AsType[*refusedError](err); ok {
		if refusal.reserved != nil {
			return *refusal.reserved, nil
		}
		return *refusal.occupied, nil
	}
	if err != nil {
		return nil, fmt.Errorf("changing a showtime: %w", err)
	}
	s.offers.Remove(id)
	found, err = s.ShowtimesByID(ctx, []uuid.UUID{id})
	return Updated{found[id]}, err
}

// published is a showtime as it stands, under its lock.
type published struct {
	Details

	slot

	opens   time.Time
	status  Status
	version int32
	sold    int32 // reservations that have seats, or are just being paid
}

// lockPublishedTx reads a showtime and the layout that at has of it.
func lockPublishedTx(ctx context.Context, tx *sql.Tx, id uuid.UUID, at *site) (was published, err error) {
	var closes time.Time
	var prices []byte
	var categories string
	err = tx.QueryRowContext(ctx, `SELECT s.movie_id, s.starts_at, s.ends_at, s.occupied_until, s.format, s.language, s.subtitles, s.status, s.version,
			sale.opens_at, sale.closes_at, sale.max_seats,
			(SELECT coalesce(json_object_agg(p.category, p.amount_minor), '{}') FROM price_tiers p WHERE p.showtime_id = s.id),
			(SELECT coalesce(string_agg(DISTINCT category, ' '), '') FROM seats WHERE layout_id = s.layout_id),
			(SELECT count(*) FROM reservations r WHERE r.showtime_id = s.id AND (r.status NOT IN ('CANCELLED', 'EXPIRED')
				OR EXISTS (SELECT FROM payments p JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id
					WHERE p.showtime_id = s.id AND p.reservation_id = r.id AND a.status IN ('STARTED', 'OFFERED', 'AUTHORIZED'))))
		FROM showtimes s JOIN showtime_sales sale ON sale.showtime_id = s.id WHERE s.id = $1 FOR NO KEY UPDATE OF s, sale`, id).
		Scan(&was.MovieID, &was.starts, &was.ends, &was.until, &was.Format, &was.Language, &was.Subtitles, &was.status, &was.version,
			&was.opens, &closes, &was.MaxSeats, &prices, &categories, &was.sold)
	if err != nil {
		return was, fmt.Errorf("reading a showtime: %w", err)
	}
	at.categories = strings.Fields(categories)
	was.SalesMinutes = int32(closes.Sub(was.starts) / time.Minute)
	return was, json.Unmarshal(prices, &was.Prices)
}

// changeable returns CONFLICT for a showtime that nobody can change any more, or that is not of a version.
func (was published) changeable(version int32, now time.Time) error {
	const field = "input.version"
	switch {
	case was.status == StatusCancelled:
		return apperr.New(apperr.Conflict, "This showtime was called off.")
	case !now.Before(was.starts):
		return apperr.New(apperr.Conflict, "This showtime has begun.")
	case was.version != version:
		const message = "Somebody changed this showtime meanwhile. Read it again."
		return &apperr.Error{Code: apperr.Conflict, Message: message, Fields: []apperr.FieldError{{Path: field, Message: message}}}
	default:
		return nil
	}
}

// binding names the fields in which a showtime would be another one than what its customers reserved.
func (was published) binding(d Details, starts time.Time) (fields []string) {
	for name, differs := range map[string]bool{
		"movieId": was.MovieID != d.MovieID, "startsAtLocal": !was.starts.Equal(starts), "format": was.Format != d.Format,
		"language": was.Language != d.Language, "subtitles": (was.Subtitles == nil) != (d.Subtitles == nil) || was.Subtitles != nil && *was.Subtitles != *d.Subtitles,
	} {
		if differs {
			fields = append(fields, fieldOfDetails+name)
		}
	}
	slices.Sort(fields)
	return fields
}

func (s *Service) updateTx(ctx context.Context, tx *sql.Tx, v auth.Viewer, id uuid.UUID, version int32, at site, d Details) error {
	was, err := lockPublishedTx(ctx, tx, id, &at)
	if err != nil {
		return err
	}
	if err := was.changeable(version, s.clock.Now()); err != nil {
		return err
	}
	starts, err := s.start(at, d.Starts)
	if err != nil {
		return err
	}
	if fields := was.binding(d, starts); len(fields) > 0 && was.sold > 0 {
		return &refusedError{reserved: &Reserved{was.sold, fields}}
	}
	of, opens := was.slot, was.opens
	if d.MovieID != was.MovieID || !starts.Equal(was.starts) {
		if of, err = slotTx(ctx, tx, at, d.MovieID, starts); err != nil {
			return err
		}
		if err := s.freeTx(ctx, tx, at, of, id); err != nil {
			return err
		}
	}
	if d.SalesOpenAt != nil {
		opens = *d.SalesOpenAt
	}
	if err := d.fit(at, of, opens); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE showtimes SET movie_id = $2, starts_at = $3, ends_at = $4, occupied_until = $5, format = $6, language = $7,
			subtitles = $8, version = version + 1 WHERE id = $1`, id, d.MovieID, of.starts, of.ends, of.until, d.Format, d.Language, d.Subtitles)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE showtime_sales SET opens_at = $2, closes_at = $3, max_seats = $4, price_version = price_version + 1
		WHERE showtime_id = $1`, id, opens, d.closes(of.starts), d.MaxSeats)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM price_tiers WHERE showtime_id = $1`, id); err != nil {
		return err
	}
	if err := priceTx(ctx, tx, id, d); err != nil {
		return err
	}
	return audit.RecordTx(ctx, tx, audit.Entry{
		Action: audit.ShowtimeChanged, Actor: v.UserID, Subject: typeid.Encode(typeid.Showtime, id), Theater: at.theater,
		Before: was.recorded(was.slot, was.opens), After: d.recorded(of, opens),
	})
}
