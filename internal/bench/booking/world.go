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

// The world that is booked: a chain of equal screens. Everything has a number, counted from 0, and a key and a token
// that follow from it, so that neither side of the comparison has to look anything up.
const (
	screens   = 40
	showtimes = 2000
	seats     = 250 // of a screen, numbered from 1
	viewers   = 2000
	perScreen = showtimes / screens

	rowLength  = 25
	priceMinor = 1200
	currency   = "EUR"
)

// kind tells the keys of different tables apart.
type kind int

const (
	kindMovie kind = iota + 1
	kindTheater
	kindScreen
	kindLayout
	kindSeat
	kindShowtime
	kindSale
	kindViewer
	kindSession
)

// key returns the key of thing number n.
func key(k kind, n int) uuid.UUID {
	return uuid.MustParse(keyPrefix(k) + fmt.Sprintf("%012x", n))
}

// keyPrefix is what the keys of a kind begin with. They have the form of a UUID of version 7.
func keyPrefix(k kind) string { return fmt.Sprintf("01990000-%04x-7000-8000-", int(k)) }

// sqlKey is key as an SQL expression over an integer expression.
func sqlKey(k kind, n string) string {
	return fmt.Sprintf("('%s' || lpad(to_hex(%s), 12, '0'))::uuid", keyPrefix(k), n)
}

// seatKey returns the key of a seat of a screen.
func seatKey(screen, seat int) uuid.UUID { return key(kindSeat, screen*(seats+1)+seat) }

// names are the public ids and tokens that requests carry.
type names struct {
	showtimes []string
	seats     [screens][seats + 1]string // by screen and seat number
	tokens    []string
}

func newNames() *names {
	n := &names{showtimes: make([]string, showtimes), tokens: make([]string, viewers)}
	for i := range n.showtimes {
		n.showtimes[i] = typeid.Encode(typeid.Showtime, key(kindShowtime, i))
	}
	for screen := range n.seats {
		for seat := 1; seat <= seats; seat++ {
			n.seats[screen][seat] = typeid.Encode(typeid.Seat, seatKey(screen, seat))
		}
	}
	return n
}

// sign gives the viewers access tokens that a server with the secret accepts for a quarter of an hour.
func (n *names) sign(secret []byte) (err error) {
	for i := range n.tokens {
		n.tokens[i], err = identity.MintAccessToken(secret, clock.System{}, auth.Viewer{
			UserID: key(kindViewer, i), SessionID: key(kindSession, i), Generation: 1,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// screenOf is where a showtime runs.
func screenOf(showtime int) int { return showtime % screens }

// build migrates an empty database, fills it with the world and returns the keyset that a server on it needs.
func build(ctx context.Context, db *postgres.DB) (keyset string, err error) {
	if err := postgres.Migrate(ctx, db, slog.New(slog.DiscardHandler), nil); err != nil {
		return "", err
	}
	ids := make([]uuid.UUID, viewers)
	for i := range ids {
		ids[i] = key(kindViewer, i)
	}
	if keyset, err = server.Viewers(ctx, db, ids); err != nil {
		return "", err
	}
	for _, statement := range worldStatements() {
		if _, err := db.SQL().ExecContext(ctx, statement); err != nil {
			return "", fmt.Errorf("fill the database: %w: %s", err, strings.TrimSpace(statement))
		}
	}
	return keyset, nil
}

// worldStatements makes the world. Showtimes of a screen follow each other every four hours, from tomorrow on; sales
// are open and a viewer may have as many seats as there are, so that no rule but the claim itself refuses anything.
func worldStatements() []string {
	series := func(last int) string { return fmt.Sprintf("generate_series(0, %d) AS n", last-1) }
	return []string{
		`INSERT INTO movies (id, title, release_date, run_time_minutes) VALUES ('` + key(kindMovie, 0).String() + `', 'Load', '2026-01-01', 120)`,
		`INSERT INTO theaters (id, name, address, city, country_code, latitude, longitude, time_zone, currency, opens_minute, closes_minute)
			VALUES ('` + key(kindTheater, 0).String() + `', 'Bench', '1 Loop', 'Berlin', 'DE', 52.5, 13.4, 'Europe/Berlin', '` + currency + `', 0, 1440)`,
		`INSERT INTO seat_rules (theater_id, no_seat_left_alone, relaxed_at_free_percent, relaxed_minutes_before_start, accessible_release_minutes)
			VALUES ('` + key(kindTheater, 0).String() + `', false, 0, 0, 0)`,
		`INSERT INTO screens (id, theater_id, name, trailer_minutes, cleaning_minutes)
			SELECT ` + sqlKey(kindScreen, "n") + `, '` + key(kindTheater, 0).String() + `', 'Screen ' || n, 15, 15 FROM ` + series(screens),
		`INSERT INTO seat_layouts (id, screen_id, version, seat_count)
			SELECT ` + sqlKey(kindLayout, "n") + `, ` + sqlKey(kindScreen, "n") + fmt.Sprintf(`, 1, %d FROM `, seats) + series(screens),
		`INSERT INTO seats (id, layout_id, seat_no, row_label, number, x, y, category)
			SELECT ` + sqlKey(kindSeat, fmt.Sprintf("n * %d + seat", seats+1)) + `, ` + sqlKey(kindLayout, "n") +
			fmt.Sprintf(`, seat, chr(65 + (seat - 1) / %[1]d), (seat - 1) %% %[1]d + 1, (seat - 1) %% %[1]d + 1, (seat - 1) / %[1]d + 1, 'STANDARD'
			FROM generate_series(1, %[2]d) AS seat, `, rowLength, seats) + series(screens),
		`INSERT INTO showtimes (id, movie_id, theater_id, screen_id, layout_id, starts_at, ends_at, occupied_until, format, language)
			SELECT ` + sqlKey(kindShowtime, "n") + `, '` + key(kindMovie, 0).String() + `', '` + key(kindTheater, 0).String() + `', ` +
			sqlKey(kindScreen, "screen") + `, ` + sqlKey(kindLayout, "screen") + `, starts_at, starts_at + interval '2 hours', starts_at + interval '3 hours', '2D', 'en'
			FROM (SELECT n, n % ` + fmt.Sprint(screens) + ` AS screen, now() + interval '1 day' + n / ` + fmt.Sprint(screens) + ` * interval '4 hours' AS starts_at
				FROM ` + series(showtimes) + `) AS plan`,
		`INSERT INTO showtime_sales (showtime_id, opens_at, closes_at, seat_count, max_seats, currency)
			SELECT id, now() - interval '1 day', starts_at, ` + fmt.Sprint(seats) + `, 32767, '` + currency + `' FROM showtimes`,
		`INSERT INTO price_tiers (id, showtime_id, category, amount_minor)
			SELECT ` + sqlKey(kindSale, "n") + `, ` + sqlKey(kindShowtime, "n") + `, 'STANDARD', ` + fmt.Sprint(priceMinor) + ` FROM ` + series(showtimes),
		`INSERT INTO sessions (id, user_id, salt, renewed_at, expires_at)
			SELECT ` + sqlKey(kindSession, "n") + `, ` + sqlKey(kindViewer, "n") + `, '\x00', now(), now() + interval '1 day'
			FROM ` + series(viewers),
		// What a gateway writes: by the script of pgbench, in two statements that commit by themselves, or, when the API was asked,
		// copied from the journal of its sandbox to be examined alike.
		`CREATE SCHEMA bench_gateway`,
		`CREATE TABLE bench_gateway.charges (
			key text PRIMARY KEY, reference text NOT NULL UNIQUE, amount_minor bigint NOT NULL, currency text NOT NULL, status text NOT NULL,
			captured_minor bigint NOT NULL DEFAULT 0, created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
			CHECK (status IN ('AUTHORIZED', 'DECLINED', 'CAPTURED', 'VOIDED')), CHECK (amount_minor >= 0 AND captured_minor BETWEEN 0 AND amount_minor))`,
		`VACUUM (ANALYZE)`,
	}
}

// reset empties the tables of the booking core and writes everything to disk, so that each run begins alike and no
// checkpoint falls into it for the sake of another.
func reset(ctx context.Context, db *postgres.DB) error {
	for _, statement := range []string{
		// In the order in which the end of a hold locks them: a sweeper may be at work.
		`TRUNCATE reservations, seat_claims, idempotency_keys, payments, payment_attempts, refunds, till_entries, swaps, handovers, store_credit_charges, store_credit_entries, store_credits, payment_recoveries, tickets, promotion_redemptions, bench_gateway.charges`,
		`CHECKPOINT`,
	} {
		if _, err := db.SQL().ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare a run: %w", err)
		}
	}
	return nil
}

// patience bounds every statement outside the runs.
const patience = time.Minute
