package identity

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"

	"marquee/internal/auth"
	"marquee/internal/postgres"
)

const (
	// trusted is how long a node believes its list of revocations without having heard from the database. Past it every
	// request asks the database itself.
	trusted = 4 * time.Second
	// overlap is read again at each turn, for statements that were noted before and committed after the last one.
	overlap = 30 * time.Second
	// revocationAge is how long a revocation is kept: no access token lives that long.
	revocationAge = accessAge + time.Minute

	ended = math.MaxInt32 // the generation that no token of an ended session reaches
)

// revocations are the sessions of which access tokens were recalled, with the first generation that counts.
type revocations struct {
	mu      sync.RWMutex
	first   map[uuid.UUID]revoked
	heard   time.Time // when the database last answered, by this node's monotonic clock
	through time.Time // up to where its answers reach, by the database's clock
}

type revoked struct {
	generation int32
	at         time.Time
}

// note records that the tokens of a session before the generation count no more.
func (r *revocations) note(session uuid.UUID, generation int32, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.first[session]; generation >= known.generation {
		r.first[session] = revoked{generation, at}
	}
}

// counts reports whether the tokens of a session and generation still count; known is false when this node has not
// heard from the database for too long to say.
func (r *revocations) counts(session uuid.UUID, generation int32) (counts, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return generation >= r.first[session].generation, !r.heard.IsZero() && time.Since(r.heard) < trusted
}

// SyncRevocations learns which sessions were ended or changed on any node. Every node calls it about once a second;
// that, and an access token's own end, is how long such a change can take to be felt. One statement.
func (s *Service) SyncRevocations(ctx context.Context) error {
	s.revoked.mu.RLock()
	since := time.Unix(0, 0)
	if !s.revoked.through.IsZero() {
		since = s.revoked.through.Add(-overlap)
	}
	s.revoked.mu.RUnlock()
	began := time.Now()
	rows, err := s.db.SQL().QueryContext(ctx, `SELECT r.session_id, r.generation, r.noted_at, clock.now
		FROM (SELECT clock_timestamp() AS now) AS clock LEFT JOIN session_revocations r ON r.noted_at > $1`, since)
	if err != nil {
		return fmt.Errorf("reading revocations: %w", err)
	}
	var through time.Time
	type row struct {
		session    uuid.NullUUID
		generation sql.NullInt32
		at         sql.NullTime
	}
	found, err := postgres.Collect(rows, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.session, &r.generation, &r.at, &through)
		return r, err
	})
	if err != nil {
		return err
	}
	for _, r := range found {
		if r.session.Valid {
			s.revoked.note(r.session.UUID, r.generation.Int32, r.at.Time)
		}
	}
	s.revoked.mu.Lock()
	defer s.revoked.mu.Unlock()
	s.revoked.heard, s.revoked.through = began, through
	maps.DeleteFunc(s.revoked.first, func(_ uuid.UUID, r revoked) bool { return through.Sub(r.at) > revocationAge })
	return nil
}

// stands returns nil while the access token of v counts: UNAUTHENTICATED when its session was ended or changed or its
// time is over. No statement, unless this node has not heard from the database for a while.
func (s *Service) stands(ctx context.Context, v auth.Viewer) error {
	if !s.clock.Now().Before(v.ExpiresAt.Add(clockSkew)) {
		return errEnded()
	}
	counts, known := s.revoked.counts(v.SessionID, v.Generation)
	if !counts {
		return errEnded()
	}
	if known {
		return nil
	}
	err := s.db.SQL().QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM sessions s
		WHERE s.id = $1 AND s.user_id = $2 AND s.generation = $3 AND s.expires_at > $4)`,
		v.SessionID, v.UserID, v.Generation, s.clock.Now()).Scan(&counts)
	if err != nil {
		return fmt.Errorf("looking for a session: %w", err)
	}
	if !counts {
		return errEnded()
	}
	return nil
}
