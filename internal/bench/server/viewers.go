package server

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/postgres"
	"marquee/internal/vault"
)

// Viewers makes an account for each id, with which nobody can sign in, and returns the keyset that a server on the
// database needs for it.
func Viewers(ctx context.Context, db *postgres.DB, ids []uuid.UUID) (keyset string, err error) {
	ks, err := vault.NewKeyset()
	if err != nil {
		return "", err
	}
	v, err := vault.New(ks)
	if err != nil {
		return "", err
	}
	err = db.InTx(ctx, func(tx *sql.Tx) error {
		for i, id := range ids {
			address := fmt.Sprintf("viewer%d@bench.example", i)
			email, err := v.Seal(vault.Cell{Table: "users", Column: "email_sealed", Row: id}, address)
			if err != nil {
				return err
			}
			name, err := v.Seal(vault.Cell{Table: "users", Column: "name_sealed", Row: id}, fmt.Sprintf("Viewer %d", i))
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO users (id, email_sealed, email_index, name_sealed, password_hash)
				VALUES ($1, $2, $3, $4, 'none')`, id, email, v.Index("email", address), name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("make the viewers: %w", err)
	}
	return ks.Text()
}
