package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"
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
	_, err = tx.ExecContext(ctx, `INSERT INTO ceremonies (id, kind, user_id, session_id, state, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		s.ceremonyID(token), c.kind, c.user, c.session, c.state, expiresAt)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("keeping a ceremony: %w", err)
	}
	return token, expiresAt, nil
}

// ceremonyID is where the row of a token is.
func (s *Service) ceremonyID(token string) uuid.UUID {
	mac := hmac.New(sha256.New, s.ceremonyKey)
	mac.Write([]byte(token))
	return uuid.UUID(mac.Sum(nil)[:16])
}
