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

// ErrLinkExpired is returned when the token of a mail was used, is too old, or never was one; which is not said.
var ErrLinkExpired = errors.New("identity: the link is used up or too old")

// purpose is what a mailed token is good for, and nothing else.
type purpose string

const (
	purposeSignUp purpose = "SIGN_UP" // makes an account of the address
	purposeVerify purpose = "VERIFY"  // proves that the account's address is its owner's
	purposeReset  purpose = "RESET"   // sets another password
	purposeTake   purpose = "TAKE"    // confirms or cancels a change of an address, as the next one
	purposeLeave  purpose = "LEAVE"   // confirms or cancels it, as the present one
)

// age is how long a token for the purpose can be used.
func (p purpose) age() time.Duration {
	switch p {
	case purposeReset:
		return time.Hour
	case purposeTake:
		return takeTime
	case purposeLeave:
		return leaveTime
	default:
		return 24 * time.Hour
	}
}

// mailedPrefix makes a leaked token recognisable to scanners.
const mailedPrefix = "mqm_"

// mailed is what a token was made for.
type mailed struct {
	user  uuid.UUID // nil for an address without an account
	email string    // the address that it was sent to, and that it therefore proves
}

// mintTx makes a token for a mail to an address. The database keeps a keyed hash of it.
func (s *Service) mintTx(ctx context.Context, tx *sql.Tx, p purpose, m mailed) (token string, err error) {
	token = mailedPrefix + rand.Text()
	id := s.mailedID(p, token)
	sealed, err := s.vault.Seal(mailedCell(id), m.email)
	if err != nil {
		return "", fmt.Errorf("sealing an address: %w", err)
	}
	now := s.now()
	if _, err := tx.ExecContext(ctx, `INSERT INTO mailed_tokens (id, purpose, user_id, email_sealed, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, string(p), uuid.NullUUID{UUID: m.user, Valid: m.user != uuid.Nil}, sealed, now, now.Add(p.age())); err != nil {
		return "", fmt.Errorf("keeping a mailed token: %w", err)
	}
	return token, nil
}

// spendTx uses a token up: ErrLinkExpired. Of all who try at once, one succeeds.
func (s *Service) spendTx(ctx context.Context, tx *sql.Tx, p purpose, token string) (mailed, error) {
	id := s.mailedID(p, token)
	return s.scanMailed(id, tx.QueryRowContext(ctx, `DELETE FROM mailed_tokens WHERE id = $1 AND expires_at > $2 RETURNING user_id, email_sealed`, id, s.now()))
}

// peek returns what a token is for, and leaves it: ErrLinkExpired.
func (s *Service) peek(ctx context.Context, db rowQuerier, p purpose, token string) (mailed, error) {
	id := s.mailedID(p, token)
	return s.scanMailed(id, db.QueryRowContext(ctx, `SELECT user_id, email_sealed FROM mailed_tokens WHERE id = $1 AND expires_at > $2`, id, s.now()))
}

func (s *Service) scanMailed(id uuid.UUID, row *sql.Row) (m mailed, err error) {
	var user uuid.NullUUID
	var sealed []byte
	switch err = row.Scan(&user, &sealed); {
	case errors.Is(err, sql.ErrNoRows):
		return m, ErrLinkExpired
	case err != nil:
		return m, fmt.Errorf("reading a mailed token: %w", err)
	}
	m.user = user.UUID
	if m.email, err = s.vault.Open(mailedCell(id), sealed); err != nil {
		return m, fmt.Errorf("opening an address: %w", err)
	}
	return m, nil
}

func mailedCell(id uuid.UUID) vault.Cell {
	return vault.Cell{Table: "mailed_tokens", Column: "email_sealed", Row: id}
}

// mailedID is where the row of a token is. A token for one purpose is none for another.
func (s *Service) mailedID(p purpose, token string) uuid.UUID {
	mac := hmac.New(sha256.New, s.mailedKey)
	mac.Write([]byte(p))
	mac.Write([]byte{0})
	mac.Write([]byte(token))
	return uuid.UUID(mac.Sum(nil)[:16])
}

// ForgetMailedTokens deletes tokens that are too old and returns how many. One statement.
func (s *Service) ForgetMailedTokens(ctx context.Context) (int, error) {
	done, err := s.db.SQL().ExecContext(ctx, `DELETE FROM mailed_tokens WHERE expires_at < $1`, s.now())
	if err != nil {
		return 0, fmt.Errorf("forgetting mailed tokens: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}
