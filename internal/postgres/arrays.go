package postgres

import (
	"database/sql/driver"
	"encoding/hex"

	"github.com/google/uuid"
)

// UUIDs is a list of keys that travels to PostgreSQL as one uuid[] parameter.
type UUIDs []uuid.UUID

// Value returns the array literal.
func (u UUIDs) Value() (driver.Value, error) {
	out := make([]byte, 0, 2+37*len(u))
	out = append(out, '{')
	for i, id := range u {
		if i > 0 {
			out = append(out, ',')
		}
		text, err := id.MarshalText()
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	return string(append(out, '}')), nil
}

// Blobs is a list of binary values that travels to PostgreSQL as one bytea[] parameter.
type Blobs [][]byte

// Value returns the array literal.
func (b Blobs) Value() (driver.Value, error) {
	out := []byte{'{'}
	for i, blob := range b {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `"\\x`...)
		out = append(hex.AppendEncode(out, blob), '"')
	}
	return string(append(out, '}')), nil
}
