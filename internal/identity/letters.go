package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"marquee/ent"
	"marquee/internal/auth"
	"marquee/internal/notify"
)

// Letters to the owner of an account say what was done with it, so that they notice when it was not they. They go out
// with the act, in the language of the profile; when that has none, in one that the owner's own request asked for.

// tellTx tells the owner of an account by mail what happened to it. data may be nil; the name is added.
func (s *Service) tellTx(ctx context.Context, tx *sql.Tx, u User, kind notify.Kind, data notify.Data) error {
	locale, err := localeOf(ctx, tx, u.ID)
	if err != nil {
		return err
	}
	if v, ok := auth.ViewerFrom(ctx); ok && v.UserID != u.ID && locale == "" {
		locale = notify.Mother // the request's languages are somebody else's
	}
	all := notify.Data{"name": u.Name}
	maps.Copy(all, data)
	return s.mails.EnqueueTx(ctx, tx, notify.Mail{To: u.Email, Locale: locale, Kind: kind, Data: all})
}

// tellOwnerTx is tellTx for who has only the account's id.
func (s *Service) tellOwnerTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID, kind notify.Kind, data notify.Data) error {
	row, err := ent.OverTx(tx).User.Get(ctx, userID)
	if err != nil {
		return err
	}
	u, err := s.fromEnt(row)
	if err != nil {
		return err
	}
	return s.tellTx(ctx, tx, u, kind, data)
}

// TellTx queues a letter to the owner of an account, whose name is added to the data, in the caller's transaction. It does nothing
// where there is no such account.
func (s *Service) TellTx(ctx context.Context, tx *sql.Tx, userID uuid.UUID, kind notify.Kind, data notify.Data) error {
	err := s.tellOwnerTx(ctx, tx, userID, kind, data)
	if ent.IsNotFound(err) {
		return nil
	}
	return err
}

// rowQuerier is a database or a transaction.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// localeOf returns the locale of an account's profile, "" when it has none.
func localeOf(ctx context.Context, db rowQuerier, userID uuid.UUID) (string, error) {
	var locale sql.NullString
	err := db.QueryRowContext(ctx, `SELECT locale FROM profiles WHERE user_id = $1`, userID).Scan(&locale)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("reading the locale of an account: %w", err)
	}
	return locale.String, nil
}
