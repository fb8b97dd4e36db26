package dbtest

import (
	"sync"

	"github.com/google/uuid"

	"marquee/internal/vault"
)

// Keyset returns the keyset of this test binary, as the configuration of a program has it.
func Keyset() string { return made().text }

// Vault returns the vault of this test binary: what one test has sealed opens in another, so that fixtures and programs
// under test understand each other.
func Vault() *vault.Vault { return made().vault }

// Sealed returns a text as it stands in a sealed column of the row.
func Sealed(table, column string, row uuid.UUID, text string) []byte {
	sealed, err := Vault().Seal(vault.Cell{Table: table, Column: column, Row: row}, text)
	if err != nil {
		panic("dbtest: " + err.Error())
	}
	return sealed
}

type madeVault struct {
	text  string
	vault *vault.Vault
}

// made is a package variable for the same reason as shared.
var made = sync.OnceValue(func() madeVault {
	ks, err := vault.NewKeyset()
	if err != nil {
		panic("dbtest: make a keyset: " + err.Error())
	}
	text, err := ks.Text()
	if err != nil {
		panic("dbtest: write a keyset: " + err.Error())
	}
	v, err := vault.New(ks)
	if err != nil {
		panic("dbtest: make a vault: " + err.Error())
	}
	return madeVault{text: text, vault: v}
})
