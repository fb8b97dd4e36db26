package showtime

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/apperr"
	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
)

// SeatRules are what a theater demands of a selection of seats.
type SeatRules struct {
	NoSeatLeftAlone          bool  `json:"noSeatLeftAlone"`           // a selection leaves no seat beside it without a neighbour
	RelaxedAtFreePercent     int32 `json:"relaxedAtFreePercent"`      // unless at most so many of a hundred seats are free; 0: when none is
	RelaxedMinutes           int32 `json:"relaxedMinutesBeforeStart"` // or the showtime starts within so many minutes; 0: once it has started
	AccessibleReleaseMinutes int32 `json:"accessibleReleaseMinutes"`  // before the start, when places for wheelchairs and companions go to anybody; 0: at the start
}

// DefaultSeatRules are those of a theater that has set none.
func DefaultSeatRules() SeatRules {
	return SeatRules{NoSeatLeftAlone: true, RelaxedAtFreePercent: 10, RelaxedMinutes: 30, AccessibleReleaseMinutes: 60}
}

// RelaxedFrom returns when no rule about seats left alone counts any more at a showtime.
func (r SeatRules) RelaxedFrom(startsAt time.Time) time.Time {
	return startsAt.Add(-time.Duration(r.RelaxedMinutes) * time.Minute)
}

// ReleasedFrom returns when places for wheelchairs and companions of a showtime go to anybody.
func (r SeatRules) ReleasedFrom(startsAt time.Time) time.Time {
	return startsAt.Add(-time.Duration(r.AccessibleReleaseMinutes) * time.Minute)
}

// maxRuleMinutes is a week.
const maxRuleMinutes = 7 * 24 * 60

// Validate returns BAD_USER_INPUT and names each field that is not a share of a hundred, or not within a week.
func (r SeatRules) Validate() error {
	var bad apperr.Fields
	if r.RelaxedAtFreePercent < 0 || r.RelaxedAtFreePercent > 100 {
		bad.Add("input.relaxedAtFreePercent", "Give a number from 0 to 100.")
	}
	for path, minutes := range map[string]int32{
		"input.relaxedMinutesBeforeStart": r.RelaxedMinutes, "input.accessibleReleaseMinutes": r.AccessibleReleaseMinutes,
	} {
		if minutes < 0 || minutes > maxRuleMinutes {
			bad.Add(path, "Give a number from 0 to %d.", maxRuleMinutes)
		}
	}
	return bad.Err()
}

const seatRuleColumns = `rule.no_seat_left_alone, rule.relaxed_at_free_percent, rule.relaxed_minutes_before_start, rule.accessible_release_minutes`

// storedRules are seatRuleColumns, which are NULL for a theater without a row.
type storedRules struct {
	noSeatLeftAlone            sql.NullBool
	percent, relaxed, released sql.NullInt32
}

func (r *storedRules) fields() []any {
	return []any{&r.noSeatLeftAlone, &r.percent, &r.relaxed, &r.released}
}

func (r *storedRules) orDefault() SeatRules {
	if !r.noSeatLeftAlone.Valid {
		return DefaultSeatRules()
	}
	return SeatRules{
		NoSeatLeftAlone: r.noSeatLeftAlone.Bool, RelaxedAtFreePercent: r.percent.Int32,
		RelaxedMinutes: r.relaxed.Int32, AccessibleReleaseMinutes: r.released.Int32,
	}
}

// SeatRulesByTheater returns the rules of the theaters that exist among ids. One statement.
func (s *Service) SeatRulesByTheater(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]SeatRules, error) {
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT t.id, `+seatRuleColumns+` FROM theaters t
		LEFT JOIN seat_rules rule ON rule.theater_id = t.id WHERE t.id = ANY ($1::uuid[])`, postgres.UUIDs(ids))
	if err != nil {
		return nil, fmt.Errorf("reading seat rules: %w", err)
	}
	found := make(map[uuid.UUID]SeatRules, len(ids))
	_, err = postgres.Collect(rows, func(rows *sql.Rows) (id uuid.UUID, err error) {
		var rules storedRules
		err = rows.Scan(append([]any{&id}, rules.fields()...)...)
		found[id] = rules.orDefault()
		return id, err
	})
	return found, err
}

// SetSeatRules gives a theater other rules: FORBIDDEN to all but its managers and administrators, BAD_USER_INPUT,
// NOT_FOUND when there is no such theater. They count for every claim from here on: the offers of the theater's
// showtimes get another version, so that nobody's memory of the old ones does.
func (s *Service) SetSeatRules(ctx context.Context, v auth.Viewer, theaterID uuid.UUID, rules SeatRules) error {
	if !v.Has(auth.RoleTheaterManager, theaterID) {
		return apperr.New(apperr.Forbidden, "Your role does not allow this.")
	}
	if err := rules.Validate(); err != nil {
		return err
	}
	return s.changeRules(ctx, theaterID, func(tx *sql.Tx) error {
		var before storedRules
		err := tx.QueryRowContext(ctx, `SELECT `+seatRuleColumns+` FROM theaters t LEFT JOIN seat_rules rule ON rule.theater_id = t.id
			WHERE t.id = $1`, theaterID).Scan(before.fields()...)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO seat_rules (theater_id, no_seat_left_alone, relaxed_at_free_percent,
				relaxed_minutes_before_start, accessible_release_minutes) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (theater_id) DO UPDATE SET no_seat_left_alone = excluded.no_seat_left_alone,
				relaxed_at_free_percent = excluded.relaxed_at_free_percent,
				relaxed_minutes_before_start = excluded.relaxed_minutes_before_start,
				accessible_release_minutes = excluded.accessible_release_minutes, updated_at = now()`,
			theaterID, rules.NoSeatLeftAlone, rules.RelaxedAtFreePercent, rules.RelaxedMinutes, rules.AccessibleReleaseMinutes)
		if err != nil {
			return err
		}
		return audit.RecordTx(ctx, tx, audit.Entry{
			Action: audit.SeatRulesSet, Actor: v.UserID, Subject: typeid.Encode(typeid.Theater, theaterID), Theater: theaterID,
			Before: before.orDefault(), After: rules,
		})
	})
}
