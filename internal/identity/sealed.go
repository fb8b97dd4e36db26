package identity

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"

	entsql "entgo.io/ent/dialect/sql"
	"github.com/google/uuid"

	"marquee/ent"
	"marquee/ent/user"
	"marquee/internal/postgres"
	"marquee/internal/vault"
)

// Cells of what is personal.
func emailCell(id uuid.UUID) vault.Cell {
	return vault.Cell{Table: "users", Column: "email_sealed", Row: id}
}

func nameCell(id uuid.UUID) vault.Cell {
	return vault.Cell{Table: "users", Column: "name_sealed", Row: id}
}

func deviceCell(session uuid.UUID) vault.Cell {
	return vault.Cell{Table: "sessions", Column: "device_sealed", Row: session}
}

// emailIndex is what the vault calls indexes of addresses.
const emailIndex = "email"

// fromEnt opens what is sealed of an account. It is the only way from a row to a User.
func (s *Service) fromEnt(row *ent.User) (User, error) {
	email, err := s.vault.Open(emailCell(row.ID), row.EmailSealed)
	if err != nil {
		return User{}, fmt.Errorf("reading an account: %w", err)
	}
	name, err := s.vault.Open(nameCell(row.ID), row.NameSealed)
	if err != nil {
		return User{}, fmt.Errorf("reading an account: %w", err)
	}
	return User{
		ID: row.ID, Email: email, EmailVerified: row.EmailVerifiedAt != nil, Name: name, CreatedAt: row.CreatedAt.UTC(),
	}, nil
}

// userByEmail returns the account with a normalised address, nil when there is none. One statement.
func (s *Service) userByEmail(ctx context.Context, email string) (*ent.User, error) {
	row, err := s.ent.User.Query().Where(hasEmail(s.vault.Indexes(emailIndex, email)...)).Only(ctx)
	if ent.IsNotFound(err) {
		return nil, nil //nolint:nilnil // nobody is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("looking for an account: %w", err)
	}
	return row, nil
}

// KnownEmails returns those of the addresses that have an account, in their order. One statement.
func (s *Service) KnownEmails(ctx context.Context, emails ...string) ([]string, error) {
	var indexes [][]byte
	owner := map[string]string{}
	for _, email := range emails {
		for _, index := range s.vault.Indexes(emailIndex, normaliseEmail(email)) {
			indexes = append(indexes, index)
			owner[string(index)] = email
		}
	}
	rows, err := s.ent.User.Query().Where(hasEmail(indexes...)).Select(user.FieldEmailIndex).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for accounts: %w", err)
	}
	found := map[string]bool{}
	for _, row := range rows {
		found[owner[string(row.EmailIndex)]] = true
	}
	var known []string
	for _, email := range emails {
		if found[email] {
			known = append(known, email)
		}
	}
	return known, nil
}

// claimEmailTx makes sure that an address gets no second account while addresses are indexed with two keys, where the
// unique index alone does not: ErrEmailTaken. With one key it does nothing.
func (s *Service) claimEmailTx(ctx context.Context, tx *sql.Tx, email string) error {
	indexes := s.vault.Indexes(emailIndex, email)
	if len(indexes) == 1 {
		return nil
	}
	if err := lockIndexTx(ctx, tx, indexes); err != nil {
		return err
	}
	taken, err := ent.OverTx(tx).User.Query().Where(hasEmail(indexes...)).Exist(ctx)
	if err == nil && taken {
		return ErrEmailTaken
	}
	return err
}

// lockIndexTx makes those who claim a text, of which these are all indexes, wait for each other.
func lockIndexTx(ctx context.Context, tx *sql.Tx, indexes [][]byte) error {
	// Behind the number of the key is the digest, of which all nodes agree on the oldest.
	const digestAt = 4
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(binary.BigEndian.Uint64(indexes[0][digestAt:])))
	return err
}

func hasEmail(indexes ...[]byte) func(*entsql.Selector) {
	return ent.AnyOf(user.FieldEmailIndex, "bytea[]", postgres.Blobs(indexes))
}

// sealDevice returns the sealed name of a session's device, nil when it has none.
func (s *Service) sealDevice(session uuid.UUID, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	return s.vault.Seal(deviceCell(session), name)
}

// openDevice returns the name of a session's device.
func (s *Service) openDevice(session uuid.UUID, sealed *[]byte) (string, error) {
	if sealed == nil || len(*sealed) == 0 {
		return "", nil
	}
	return s.vault.Open(deviceCell(session), *sealed)
}
