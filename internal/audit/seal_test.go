package audit_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"marquee/internal/audit"
	"marquee/internal/clock"
	"marquee/internal/dbtest"
	"marquee/internal/postgres"
)

var secret = bytes.Repeat([]byte{7}, 32)

func newSealer(t *testing.T, db *postgres.DB, heads string, log *slog.Logger) *audit.Sealer {
	t.Helper()
	s, err := audit.NewSealer(audit.SealerConfig{DB: db, Secret: secret, Heads: heads, Clock: clock.System{}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func seal(t *testing.T, s *audit.Sealer) {
	t.Helper()
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db *postgres.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.SQL().ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, db *postgres.DB, heads ...string) audit.Report {
	t.Helper()
	report, err := verifyIn(t.Context(), db, heads...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func verifyIn(ctx context.Context, db *postgres.DB, heads ...string) (audit.Report, error) {
	var all bytes.Buffer
	for _, path := range heads {
		text, err := os.ReadFile(path)
		if err != nil {
			return audit.Report{}, err
		}
		all.Write(text)
	}
	return audit.Verify(ctx, db, secret, &all)
}

func TestSealer(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)

	// An entry that was written first and committed last comes after those that were there before it.
	t.Run("takes_what_commits_late", func(t *testing.T) {
		t.Parallel()
		db, heads := dbtest.New(t), filepath.Join(t.TempDir(), "heads")
		s := newSealer(t, db, heads, quiet)
		err := db.InTx(t.Context(), func(tx *sql.Tx) error {
			if err := audit.RecordTx(t.Context(), tx, audit.Entry{Action: audit.SessionStarted, Subject: "late"}); err != nil {
				return err
			}
			record(t, t.Context(), db, audit.Entry{Action: audit.SessionStarted, Subject: "early"})
			seal(t, s)
			if s.Position() != 1 {
				t.Errorf("the chain ends at %d while one entry is committed", s.Position())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		seal(t, s)
		var order string
		if err := db.SQL().QueryRowContext(t.Context(), `SELECT string_agg(subject, ' ' ORDER BY position) FROM audit_entries`).Scan(&order); err != nil || order != "early late" {
			t.Errorf("sealed %q, %v", order, err)
		}
		if r := verify(t, db, heads); len(r.Findings) > 0 || r.Sealed != 2 || r.Heads != 2 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("nodes_take_turns", func(t *testing.T) {
		t.Parallel()
		db, folder := dbtest.New(t), t.TempDir()
		const nodes, writers, each = 3, 4, 30
		var paths []string
		var wait sync.WaitGroup
		for range writers {
			wait.Go(func() {
				for range each {
					if err := db.InTx(t.Context(), func(tx *sql.Tx) error {
						return audit.RecordTx(t.Context(), tx, audit.Entry{Action: audit.SessionStarted})
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var sealers []*audit.Sealer
		for i := range nodes {
			paths = append(paths, filepath.Join(folder, string(rune('a'+i))))
			sealer := newSealer(t, db, paths[i], quiet)
			sealers = append(sealers, sealer)
			wait.Go(func() {
				for range each {
					if err := sealer.Seal(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
		for _, s := range sealers {
			seal(t, s)
			if s.Position() != writers*each {
				t.Errorf("a node has seen the chain end at %d, want %d", s.Position(), writers*each)
			}
		}
		if r := verify(t, db, paths...); len(r.Findings) > 0 || r.Sealed != writers*each || r.Heads < nodes {
			t.Errorf("%+v", r)
		}
	})
	t.Run("more_than_a_batch", func(t *testing.T) {
		t.Parallel()
		db, heads := dbtest.New(t), filepath.Join(t.TempDir(), "heads")
		exec(t, db, `INSERT INTO audit_entries (id, action) SELECT gen_random_uuid(), 'session.started' FROM generate_series(1, 2501)`)
		seal(t, newSealer(t, db, heads, quiet))
		if r := verify(t, db, heads); len(r.Findings) > 0 || r.Sealed != 2501 || r.Waiting != 0 || r.Heads != 1 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("goes_on_where_its_file_ends", func(t *testing.T) {
		t.Parallel()
		db, heads := dbtest.New(t), filepath.Join(t.TempDir(), "data", "heads")
		record(t, t.Context(), db, audit.Entry{Action: audit.SessionStarted})
		seal(t, newSealer(t, db, heads, quiet))
		// The power went while the next head was written.
		file, err := os.OpenFile(heads, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(`{"position":2,"se`); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		s := newSealer(t, db, heads, quiet)
		seal(t, s)
		if s.Position() != 1 {
			t.Errorf("the chain ends at %d", s.Position())
		}
		record(t, t.Context(), db, audit.Entry{Action: audit.SessionEnded})
		seal(t, s)
		if r := verify(t, db, heads); len(r.Findings) > 0 || r.Heads != 2 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("says_where_the_chain_ends_in_the_log_too", func(t *testing.T) {
		t.Parallel()
		db := dbtest.New(t)
		var log bytes.Buffer
		s := newSealer(t, db, "", slog.New(slog.NewJSONHandler(&log, nil)))
		seal(t, s)
		if log.Len() > 0 {
			t.Errorf("a head of nothing: %s", &log)
		}
		record(t, t.Context(), db, audit.Entry{Action: audit.SessionStarted})
		seal(t, s)
		seal(t, s)
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines of one head", n)
		}
		r, err := audit.Verify(t.Context(), db, secret, &log)
		if err != nil || len(r.Findings) > 0 || r.Heads != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("stops_when_the_log_is_not_the_one_it_signed", func(t *testing.T) {
		t.Parallel()
		db, heads := dbtest.New(t), filepath.Join(t.TempDir(), "heads")
		for range 3 {
			record(t, t.Context(), db, audit.Entry{Action: audit.SessionStarted})
		}
		s := newSealer(t, db, heads, quiet)
		seal(t, s)
		exec(t, db, `ALTER TABLE audit_entries DISABLE TRIGGER USER; DELETE FROM audit_entries WHERE position = 3`)
		record(t, t.Context(), db, audit.Entry{Action: audit.SessionEnded})
		for _, s := range []*audit.Sealer{s, newSealer(t, db, heads, quiet)} {
			if err := s.Seal(t.Context()); !errors.Is(err, audit.ErrBroken) || !s.Broken() {
				t.Errorf("%v", err)
			}
		}
		if r := verify(t, db, heads); r.Waiting != 1 || len(r.Findings) != 1 || r.Findings[0].Kind != audit.FindingCut {
			t.Errorf("%+v", r)
		}
	})
	t.Run("knows_the_heads_of_another_secret", func(t *testing.T) {
		t.Parallel()
		db, heads := dbtest.New(t), filepath.Join(t.TempDir(), "heads")
		record(t, t.Context(), db, audit.Entry{Action: audit.SessionStarted})
		seal(t, newSealer(t, db, heads, quiet))
		other, err := audit.NewSealer(audit.SealerConfig{DB: db, Secret: bytes.Repeat([]byte{8}, 32), Heads: heads, Clock: clock.System{}, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(other.Seal(t.Context()), other.Close()); !errors.Is(err, audit.ErrBroken) {
			t.Errorf("%v", err)
		}
	})
	t.Run("needs_a_file_it_can_write", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.NewSealer(audit.SealerConfig{Secret: secret, Heads: filepath.Join(file, "heads"), Clock: clock.System{}, Log: quiet}); err == nil {
			t.Error("a file inside a file was opened")
		}
	})
}
