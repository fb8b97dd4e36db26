//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/auth"
	"marquee/internal/bench/server"
	"marquee/internal/clock"
	"marquee/internal/identity"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// The world that is watched: one showtime whose seats many viewers take and give back.
const (
	seats   = 250 // numbered from 1
	viewers = 200
)

// Keys follow from what a thing is and its number.
const (
	movieKey    = "01990000-0001-7000-8000-000000000000"
	theaterKey  = "01990000-0002-7000-8000-000000000000"
	screenKey   = "01990000-0003-7000-8000-000000000000"
	layoutKey   = "01990000-0004-7000-8000-000000000000"
	showtimeKey = "01990000-0005-7000-8000-000000000000"
	seatPrefix  = "01990000-0006-7000-8000-"
)

func seatID(seat int) string {
	return typeid.Encode(typeid.Seat, uuid.MustParse(seatPrefix+fmt.Sprintf("%012x", seat)))
}

func showtimeID() string { return typeid.Encode(typeid.Showtime, uuid.MustParse(showtimeKey)) }

const (
	viewerPrefix  = "01990000-0008-7000-8000-"
	sessionPrefix = "01990000-0009-7000-8000-"
)

// sign returns access tokens of the viewers, which a server with the secret accepts for a quarter of an hour.
func sign(secret []byte) (tokens [viewers]string, err error) {
	for i := range tokens {
		number := fmt.Sprintf("%012x", i)
		tokens[i], err = identity.MintAccessToken(secret, clock.System{}, auth.Viewer{
			UserID: uuid.MustParse(viewerPrefix + number), SessionID: uuid.MustParse(sessionPrefix + number),
			Generation: 1,
		})
		if err != nil {
			return tokens, err
		}
	}
	return tokens, nil
}

// patience bounds every statement.
const patience = time.Minute

// build migrates an empty database and fills it with the world. A viewer may have all the seats there are, so that no
// rule refuses anything. It returns the keyset that a server on it needs.
func build(ctx context.Context, db *postgres.DB) (keyset string, err error) {
	if err := postgres.Migrate(ctx, db, slog.New(slog.DiscardHandler), nil); err != nil {
		return "", err
	}
	ids := make([]uuid.UUID, viewers)
	for i := range ids {
		ids[i] = uuid.MustParse(viewerPrefix + fmt.Sprintf("%012x", i))
	}
	if keyset, err = server.Viewers(ctx, db, ids); err != nil {
		return "", err
	}
	for _, statement := range []string{
		`INSERT INTO movies (id, title, release_date, run_time_minutes) VALUES ('` + movieKey + `', 'Load', '2026-01-01', 120)`,
		`INSERT INTO theaters (id, name, address, city, country_code, latitude, longitude, time_zone, currency, opens_minute, closes_minute)
			VALUES ('` + theaterKey + `', 'Bench', '1 Loop', 'Berlin', 'DE', 52.5, 13.4, 'Europe/Berlin', 'EUR', 0, 1440)`,
		`INSERT INTO seat_rules (theater_id, no_seat_left_alone, relaxed_at_free_percent, relaxed_minutes_before_start, accessible_release_minutes)
			VALUES ('` + theaterKey + `', false, 0, 0, 0)`,
		`INSERT INTO screens (id, theater_id, name, trailer_minutes, cleaning_minutes)
			VALUES ('` + screenKey + `', '` + theaterKey + `', 'Screen', 15, 15)`,
		fmt.Sprintf(`INSERT INTO seat_layouts (id, screen_id, version, seat_count) VALUES ('%s', '%s', 1, %d)`, layoutKey, screenKey, seats),
		fmt.Sprintf(`INSERT INTO seats (id, layout_id, seat_no, row_label, number, x, y, category)
			SELECT ('%s' || lpad(to_hex(n), 12, '0'))::uuid, '%s', n, chr(65 + (n - 1) / 25), (n - 1) %% 25 + 1, (n - 1) %% 25 + 1, (n - 1) / 25 + 1, 'STANDARD'
			FROM generate_series(1, %d) AS n`, seatPrefix, layoutKey, seats),
		`INSERT INTO showtimes (id, movie_id, theater_id, screen_id, layout_id, starts_at, ends_at, occupied_until, format, language)
			SELECT '` + showtimeKey + `', '` + movieKey + `', '` + theaterKey + `', '` + screenKey + `', '` + layoutKey + `',
			at, at + interval '2 hours', at + interval '3 hours', '2D', 'en' FROM (SELECT now() + interval '1 day' AS at) AS tomorrow`,
		fmt.Sprintf(`INSERT INTO showtime_sales (showtime_id, opens_at, closes_at, seat_count, max_seats, currency)
			SELECT id, now() - interval '1 day', starts_at, %d, %[1]d, 'EUR' FROM showtimes`, seats),
		`INSERT INTO price_tiers (id, showtime_id, category, amount_minor)
			VALUES ('01990000-0007-7000-8000-000000000000', '` + showtimeKey + `', 'STANDARD', 1200)`,
		fmt.Sprintf(`INSERT INTO sessions (id, user_id, salt, renewed_at, expires_at)
			SELECT ('%s' || lpad(to_hex(n), 12, '0'))::uuid, ('%s' || lpad(to_hex(n), 12, '0'))::uuid,
			'\x00', now(), now() + interval '1 day' FROM generate_series(0, %d) AS n`, sessionPrefix, viewerPrefix, viewers-1),
		`VACUUM (ANALYZE)`,
	} {
		if _, err := db.SQL().ExecContext(ctx, statement); err != nil {
			return "", fmt.Errorf("fill the database: %w: %s", err, strings.TrimSpace(statement))
		}
	}
	return keyset, nil
}

// reset frees all seats.
func reset(ctx context.Context, db *postgres.DB) error {
	for _, statement := range []string{
		// In the order in which the end of a hold locks them: a sweeper may be at work.
		`TRUNCATE reservations, seat_claims, idempotency_keys, payments, payment_attempts, refunds, till_entries, swaps, handovers, store_credit_charges, store_credit_entries, store_credits, payment_recoveries, tickets, promotion_redemptions`,
		`CHECKPOINT`,
	} {
		if _, err := db.SQL().ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare a run: %w", err)
		}
	}
	return nil
}
