package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"marquee/internal/postgres"
)

func TestIsViolation(t *testing.T) {
	t.Parallel()
	db := one(t)
	mustExec(t, db.SQL(), `
		CREATE TABLE room (id int CONSTRAINT room_pkey PRIMARY KEY, size int CONSTRAINT room_size_check CHECK (size > 0));
		CREATE TABLE use (
			room_id int CONSTRAINT use_room_fkey REFERENCES room,
			during int4range,
			CONSTRAINT use_during_excl EXCLUDE USING gist (during WITH &&)
		);
		INSERT INTO room VALUES (1, 1);
		INSERT INTO use VALUES (1, '[1,5)')`)
	predicates := map[string]func(error, ...string) bool{
		"unique":      postgres.IsUniqueViolation,
		"foreign key": postgres.IsForeignKeyViolation,
		"exclusion":   postgres.IsExclusionViolation,
		"check":       postgres.IsCheckViolation,
	}
	for _, c := range []struct{ kind, constraint, state, statement string }{
		{"unique", "room_pkey", "23505", "INSERT INTO room VALUES ($1, 1)"},
		{"foreign key", "use_room_fkey", "23503", "INSERT INTO use VALUES ($1 + 1, '[8,9)')"},
		{"exclusion", "use_during_excl", "23P01", "INSERT INTO use VALUES ($1, '[4,9)')"},
		{"check", "room_size_check", "23514", "INSERT INTO room VALUES ($1 + 1, 0)"},
	} {
		_, err := db.SQL().ExecContext(timeLimit(t), c.statement, 1)
		err = fmt.Errorf("wrapped: %w", err)
		if got := postgres.SQLState(err); got != c.state {
			t.Errorf("%s: SQLSTATE %q, want %q (%v)", c.kind, got, c.state, err)
		}
		for kind, is := range predicates {
			if want := kind == c.kind; is(err) != want || is(err, c.constraint) != want ||
				is(err, "another_key", c.constraint) != want || is(err, "another_key") {
				t.Errorf("a %s violation is judged wrongly as %s violation", c.kind, kind)
			}
		}
		if postgres.IsConnectionFailure(err) {
			t.Errorf("a %s violation is taken for a connection failure", c.kind)
		}
	}
	for _, err := range []error{nil, errors.New("23505"), sql.ErrNoRows, context.Canceled} {
		for kind, is := range predicates {
			if is(err) {
				t.Errorf("%v is taken for a %s violation", err, kind)
			}
		}
		if got := postgres.SQLState(err); got != "" {
			t.Errorf("%v has SQLSTATE %q", err, got)
		}
	}
}

func TestIsConnectionFailure(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, errors.New("any"), sql.ErrNoRows, context.Canceled, context.DeadlineExceeded} {
		if postgres.IsConnectionFailure(err) {
			t.Errorf("%v is taken for a connection failure", err)
		}
	}
	db := one(t)
	for condition, want := range map[string]bool{
		"connection_failure": true, "admin_shutdown": true, "cannot_connect_now": true, "too_many_connections": true,
		"division_by_zero": false, "query_canceled": false, "lock_not_available": false, "disk_full": false,
	} {
		_, err := db.SQL().ExecContext(timeLimit(t), "DO $$BEGIN RAISE "+condition+"; END$$")
		if err == nil || postgres.IsConnectionFailure(err) != want {
			t.Errorf("%s: IsConnectionFailure(%v) = %t, want %t", condition, err, !want, want)
		}
	}
}
