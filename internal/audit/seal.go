package audit

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"marquee/internal/clock"
	"marquee/internal/postgres"
)

// ErrBroken means that the log in the database is not the one that a head was signed of. Nothing is sealed any more, so
// that what is left can be looked at: verify-audit says where.
var ErrBroken = errors.New("the audit log does not agree with its last signed head")

const (
	// sealBatch bounds the work of one transaction.
	sealBatch = 500
	// headLogEvery is how often at most a head goes to the log.
	headLogEvery = time.Minute
)

// Sealer chains the entries of a database and signs the chain's head. Every node has one; they take turns by themselves.
type Sealer struct {
	db     *postgres.DB
	signer signer
	clock  clock.Clock
	log    *slog.Logger
	file   headFile // zero: heads go to the log alone
	last   *Head    // that this node has signed or found in its file
	logged struct {
		position int64
		at       time.Time
	}

	position atomic.Int64
	broken   atomic.Bool
}

// SealerConfig is what a Sealer needs.
type SealerConfig struct {
	DB     *postgres.DB
	Secret []byte // of the installation, of which the signing key is derived
	Heads  string // path of the file that heads are appended to; "": they go to the log alone
	Clock  clock.Clock
	Log    *slog.Logger
}

// NewSealer opens the file of heads.
func NewSealer(c SealerConfig) (*Sealer, error) {
	s := &Sealer{db: c.DB, clock: c.Clock, log: c.Log}
	var err error
	if s.signer, err = newSigner(c.Secret); err != nil {
		return nil, err
	}
	if c.Heads != "" {
		if s.file, s.last, err = openHeadFile(c.Heads); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close closes the file of heads.
func (s *Sealer) Close() error {
	if s.file.file == nil {
		return nil
	}
	return s.file.file.Close()
}

// Position is that of the newest head of this node; zero before there is one. Safe for concurrent use.
func (s *Sealer) Position() int64 { return s.position.Load() }

// Broken reports whether the log disagreed with this node's newest head when it last looked. Safe for concurrent use.
func (s *Sealer) Broken() bool { return s.broken.Load() }

// Seal chains what was committed since anybody did, unless another node is at it, and signs where the chain ends:
// ErrBroken when it does not go on from this node's last head. To be called by one goroutine, every few seconds.
//
// Positions are given here and not where an entry is written: only what is committed is seen, in whatever order that came
// about, so no position is left free for an entry that commits late, and no transaction waits for another.
func (s *Sealer) Seal(ctx context.Context) error {
	err := s.check(ctx)
	s.broken.Store(errors.Is(err, ErrBroken))
	for more := true; more && err == nil; {
		more, err = s.batch(ctx)
	}
	if err != nil {
		return err
	}
	return s.sign(ctx)
}

// check compares the log with this node's last head.
func (s *Sealer) check(ctx context.Context) error {
	if s.last == nil {
		return nil
	}
	if !s.signer.signedThis(*s.last) {
		return fmt.Errorf("%w: another secret signed it; move the file of heads away if the secret was changed on purpose", ErrBroken)
	}
	var seal string
	err := s.db.SQL().QueryRowContext(ctx, `SELECT encode(seal, 'hex') FROM audit_entries WHERE position = $1`, s.last.Position).Scan(&seal)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && seal != s.last.Seal:
		return fmt.Errorf("%w, at position %d: if the database was replaced on purpose, move the file of heads away", ErrBroken, s.last.Position)
	case err != nil:
		return fmt.Errorf("reading the audit log: %w", err)
	}
	return nil
}

// link is an entry's place in the chain.
type link struct {
	ID       uuid.UUID `json:"id"`
	Position int64     `json:"position"`
	Seal     string    `json:"seal"`
}

// batch seals some entries and reports whether there may be more.
func (s *Sealer) batch(ctx context.Context) (more bool, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		more = false
		mine, err := postgres.TryLockTx(ctx, tx, postgres.LockAuditSeal)
		if err != nil || !mine {
			return err
		}
		position, seal, err := end(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT `+recordColumns+` FROM audit_entries WHERE position IS NULL ORDER BY created_at, id LIMIT $1`, sealBatch)
		if err != nil {
			return err
		}
		open, err := postgres.Collect(rows, scanRecord)
		if err != nil || len(open) == 0 {
			return err
		}
		links := make([]link, len(open))
		for i, r := range open {
			position++
			seal = r.sealAt(position, seal)
			links[i] = link{r.ID, position, hex.EncodeToString(seal[:])}
		}
		chain, err := json.Marshal(links)
		if err != nil {
			return err
		}
		more = len(open) == sealBatch
		_, err = tx.ExecContext(ctx, `UPDATE audit_entries e SET position = l.position, seal = decode(l.seal, 'hex')
			FROM json_to_recordset($1) AS l(id uuid, position bigint, seal text) WHERE e.id = l.id`, string(chain))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("sealing the audit log: %w", err)
	}
	return more, nil
}

// querier is a pool or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// end returns where the chain ends; zero for an empty one.
func end(ctx context.Context, q querier) (position int64, seal hash, err error) {
	var raw []byte
	err = q.QueryRowContext(ctx, `SELECT position, seal FROM audit_entries WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1`).Scan(&position, &raw)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, hash{}, nil
	}
	copy(seal[:], raw)
	return position, seal, err
}

// sign keeps a head of where the chain ends, when that is not where the last one was.
func (s *Sealer) sign(ctx context.Context) error {
	position, seal, err := end(ctx, s.db.SQL())
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	now := s.clock.Now()
	if position > 0 && (s.last == nil || position > s.last.Position) {
		head := s.signer.sign(position, seal, now)
		if s.file.file != nil {
			if err := s.file.append(head); err != nil {
				return err
			}
		}
		s.last = &head
	}
	if s.last == nil {
		return nil
	}
	s.position.Store(s.last.Position)
	if s.last.Position > s.logged.position && now.Sub(s.logged.at) >= headLogEvery {
		s.log.InfoContext(ctx, "audit log sealed", "head", *s.last)
		s.logged.position, s.logged.at = s.last.Position, now
	}
	return nil
}
