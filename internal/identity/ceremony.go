package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"marquee/internal/vault"
)

// A ceremony is what takes two requests. Between them a row holds its state, and whoever began it a token, of which the
// database has a keyed hash only. It ends once, or runs out.
type ceremony struct {
	kind    string
	user    *uuid.UUID
	session *uuid.UUID
	state   []byte
}

// The kinds of ceremony.
const (
	ceremonySignIn = "SIGN_IN" // waits for a second factor
)

// ceremonyPrefix makes a leaked token recognisable to scanners.
const ceremonyPrefix = "mqc_"

// beginTx keeps a ceremony and returns its token.
func (s *Service) beginTx(ctx context.Context, tx *sql.Tx, c ceremony, age time.Duration) (token string, expiresAt time.Time, err error) {
	token, expiresAt = ceremonyPrefix+rand.Text(), s.now().Add(age)
	id := s.ceremonyID(token)
	sealed, err := s.vault.Seal(ceremonyCell(id), string(c.state))
	if err != nil {
		return "", time.Time{}, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO ceremonies (id, kind, user_id, session_id, state_sealed, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, c.kind, c.user, c.session, sealed, expiresAt)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("keeping a ceremony: %w", err)
	}
	return token, expiresAt, nil
}

// take ends a ceremony, whatever comes of it: ErrInvalidProof when there is none of the kind under the token.
func (s *Service) take(ctx context.Context, token, kind string) (ceremony, error) {
	c, id := ceremony{kind: kind}, s.ceremonyID(token)
	var sealed []byte
	err := s.db.SQL().QueryRowContext(ctx, `DELETE FROM ceremonies WHERE id = $1 AND kind = $2 AND expires_at > $3 RETURNING user_id, session_id, state_sealed`,
		id, kind, s.now()).Scan(&c.user, &c.session, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return c, ErrInvalidProof
	}
	if err != nil {
		return c, fmt.Errorf("ending a ceremony: %w", err)
	}
	c.state, err = s.openState(id, sealed)
	return c, err
}

func ceremonyCell(id uuid.UUID) vault.Cell {
	return vault.Cell{Table: "ceremonies", Column: "state_sealed", Row: id}
}

// openState returns what is kept between the requests of a ceremony.
func (s *Service) openState(id uuid.UUID, sealed []byte) ([]byte, error) {
	state, err := s.vault.Open(ceremonyCell(id), sealed)
	return []byte(state), err
}

// endPendingTx ends the sign-ins to an account that wait for a second factor: what was proved before counts no more.
func endPendingTx(ctx context.Context, tx *sql.Tx, user uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM ceremonies WHERE user_id = $1 AND kind = $2`, user, ceremonySignIn)
	return err
}

// ForgetCeremonies deletes ceremonies that ran out and returns how many. One statement.
func (s *Service) ForgetCeremonies(ctx context.Context) (int, error) {
	done, err := s.db.SQL().ExecContext(ctx, `DELETE FROM ceremonies WHERE expires_at <= $1`, s.now())
	if err != nil {
		return 0, fmt.Errorf("forgetting ceremonies: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}

// ceremonyID is where the row of a token is.
func (s *Service) ceremonyID(token string) uuid.UUID {
	mac := hmac.New(sha256.New, s.ceremonyKey)
	mac.Write([]byte(token))
	return uuid.UUID(mac.Sum(nil)[:16])
}
