package migrations

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"marquee/internal/vault"
)

// SealedProofs is the version of the step that seals second factors and who people are at providers.
const SealedProofs = 17

const sealedProofs = "00017_sealed_proofs/"

func factorCell(id uuid.UUID, column string) vault.Cell {
	return vault.Cell{Table: "factors", Column: column, Row: id}
}

func subjectCell(id uuid.UUID) vault.Cell {
	return vault.Cell{Table: "federated_identities", Column: "subject_sealed", Row: id}
}

// SealProofs is the step up. Without a vault it refuses a database that holds second factors or links to providers.
func SealProofs(ctx context.Context, tx *sql.Tx, v *vault.Vault) error {
	return between(ctx, tx, sealedProofs, "begin.sql", "end.sql", func() error {
		err := eachRow(ctx, tx, `SELECT id, convert_to(name, 'UTF8'), credential FROM factors`, func(id uuid.UUID, name, credential []byte) error {
			if v == nil {
				return errNoVault
			}
			sealed, err := v.Seal(factorCell(id, "name_sealed"), string(name))
			if err != nil {
				return err
			}
			if credential == nil {
				_, err = tx.ExecContext(ctx, `UPDATE factors SET name_sealed = $2 WHERE id = $1`, id, sealed)
				return err
			}
			passkey, err := v.Seal(factorCell(id, "credential_sealed"), string(credential))
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE factors SET name_sealed = $2, credential_sealed = $3, credential_hash = sha256(credential_id) WHERE id = $1`,
				id, sealed, passkey)
			return err
		})
		if err != nil {
			return err
		}
		return eachRow(ctx, tx, `SELECT id, subject, '' FROM federated_identities`, func(id uuid.UUID, subject, _ string) error {
			if v == nil {
				return errNoVault
			}
			sealed, err := v.Seal(subjectCell(id), subject)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE federated_identities SET subject_sealed = $2, subject_index = $3 WHERE id = $1`,
				id, sealed, v.Index("subject", subject))
			return err
		})
	})
}

// OpenProofs is the step down.
func OpenProofs(ctx context.Context, tx *sql.Tx, v *vault.Vault) error {
	return between(ctx, tx, sealedProofs, "down_begin.sql", "down_end.sql", func() error {
		err := eachRow(ctx, tx, `SELECT id, name_sealed, credential_sealed FROM factors`, func(id uuid.UUID, name, credential []byte) error {
			if v == nil {
				return errNoVault
			}
			open, err := v.Open(factorCell(id, "name_sealed"), name)
			if err != nil {
				return err
			}
			if credential == nil {
				_, err = tx.ExecContext(ctx, `UPDATE factors SET name = $2 WHERE id = $1`, id, open)
				return err
			}
			passkey, err := v.Open(factorCell(id, "credential_sealed"), credential)
			if err != nil {
				return err
			}
			var named struct {
				ID []byte `json:"id"`
			}
			if err := json.Unmarshal([]byte(passkey), &named); err != nil {
				return fmt.Errorf("reading the passkey %s: %w", id, err)
			}
			_, err = tx.ExecContext(ctx, `UPDATE factors SET name = $2, credential_id = $3, credential = $4 WHERE id = $1`, id, open, named.ID, []byte(passkey))
			return err
		})
		if err != nil {
			return err
		}
		return eachRow(ctx, tx, `SELECT id, subject_sealed, ''::bytea FROM federated_identities`, func(id uuid.UUID, subject, _ []byte) error {
			if v == nil {
				return errNoVault
			}
			open, err := v.Open(subjectCell(id), subject)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE federated_identities SET subject = $2 WHERE id = $1`, id, open)
			return err
		})
	})
}
