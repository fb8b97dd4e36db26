package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/vault"
)

// SealedPeople is the version of the step that seals what accounts and sessions that are there already hold in the open.
const SealedPeople = 6

const sealedPeople = "00006_sealed_people/"

// errNoVault stops a step that finds somebody and cannot seal.
var errNoVault = errors.New("the database holds accounts, and what is personal of them cannot be sealed or opened without a keyset")

// SealPeople is the step up. Without a vault it refuses a database that holds accounts.
func SealPeople(ctx context.Context, tx *sql.Tx, v *vault.Vault) error {
	return between(ctx, tx, sealedPeople, "begin.sql", "end.sql", func() error {
		err := eachRow(ctx, tx, `SELECT id, email, name FROM users`, func(id uuid.UUID, email, name string) error {
			if v == nil {
				return errNoVault
			}
			sealedEmail, err := v.Seal(vault.Cell{Table: "users", Column: "email_sealed", Row: id}, email)
			if err != nil {
				return err
			}
			sealedName, err := v.Seal(vault.Cell{Table: "users", Column: "name_sealed", Row: id}, name)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE users SET email_sealed = $2, email_index = $3, name_sealed = $4 WHERE id = $1`,
				id, sealedEmail, v.Index("email", email), sealedName)
			return err
		})
		if err != nil {
			return err
		}
		return eachRow(ctx, tx, `SELECT id, device, '' FROM sessions WHERE device <> ''`, func(id uuid.UUID, device, _ string) error {
			sealed, err := v.Seal(vault.Cell{Table: "sessions", Column: "device_sealed", Row: id}, device)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE sessions SET device_sealed = $2 WHERE id = $1`, id, sealed)
			return err
		})
	})
}

// OpenPeople is the step down.
func OpenPeople(ctx context.Context, tx *sql.Tx, v *vault.Vault) error {
	return between(ctx, tx, sealedPeople, "down_begin.sql", "down_end.sql", func() error {
		err := eachRow(ctx, tx, `SELECT id, email_sealed, name_sealed FROM users`, func(id uuid.UUID, email, name []byte) error {
			if v == nil {
				return errNoVault
			}
			openEmail, err := v.Open(vault.Cell{Table: "users", Column: "email_sealed", Row: id}, email)
			if err != nil {
				return err
			}
			openName, err := v.Open(vault.Cell{Table: "users", Column: "name_sealed", Row: id}, name)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE users SET email = $2, name = $3 WHERE id = $1`, id, openEmail, openName)
			return err
		})
		if err != nil {
			return err
		}
		return eachRow(ctx, tx, `SELECT id, device_sealed, ''::bytea FROM sessions WHERE device_sealed IS NOT NULL`, func(id uuid.UUID, device, _ []byte) error {
			open, err := v.Open(vault.Cell{Table: "sessions", Column: "device_sealed", Row: id}, device)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE sessions SET device = $2 WHERE id = $1`, id, open)
			return err
		})
	})
}

// between runs do between two files of a folder.
func between(ctx context.Context, tx *sql.Tx, folder, before, after string, do func() error) error {
	run := func(name string) error {
		text, err := FS.ReadFile(folder + name)
		if err != nil {
			return fmt.Errorf("reading a migration: %w", err)
		}
		_, err = tx.ExecContext(ctx, string(text))
		return err
	}
	if err := run(before); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return run(after)
}

// eachRow reads all rows, which are a key and two values, and then calls do with each.
func eachRow[T any](ctx context.Context, tx *sql.Tx, query string, do func(id uuid.UUID, a, b T) error) (err error) {
	type row struct {
		id   uuid.UUID
		a, b T
	}
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.id, &r.a, &r.b); err != nil {
			return err
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, r := range all {
		if err := do(r.id, r.a, r.b); err != nil {
			return err
		}
	}
	return nil
}
