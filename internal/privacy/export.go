package privacy

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"marquee/internal/audit"
	"marquee/internal/auth"
	"marquee/internal/postgres"
	"marquee/internal/typeid"
	"marquee/internal/vault"
)

// mostRows is how many rows of a table an export holds: more than anybody has who is not a program. Who has more gets
// the newest ones, and is told that there are others.
const mostRows = 5000

// Document is everything about a person: sections by name, each a list of rows.
type Document struct {
	Format     string               `json:"format"`
	ExportedAt time.Time            `json:"exportedAt"`
	User       string               `json:"user"`
	Sections   map[string][]Record  `json:"sections"`
	Cut        map[string]cutNotice `json:"cut,omitempty"` // sections that hold only the newest rows
}

// Record is one row: its columns by name.
type Record map[string]any

type cutNotice struct {
	Newest int `json:"newest"`
}

// Export returns everything that is known about the viewer, as JSON: STEP_UP_REQUIRED. It is recorded.
func (s *Service) Export(ctx context.Context, viewer auth.Viewer) ([]byte, error) {
	if err := viewer.Recent(s.clock.Now()); err != nil {
		return nil, err
	}
	public := typeid.Encode(typeid.User, viewer.UserID)
	var d Document
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		d = Document{Format: "marquee-export-1", User: public, Sections: map[string][]Record{}}
		if err := tx.QueryRowContext(ctx, `SELECT now()`).Scan(&d.ExportedAt); err != nil {
			return err
		}
		d.ExportedAt = d.ExportedAt.UTC()
		for _, table := range Tables() {
			if table.Section == "" {
				continue
			}
			records, err := s.readTx(ctx, tx, table, viewer.UserID, public)
			if err != nil {
				return fmt.Errorf("exporting %s: %w", table.Name, err)
			}
			if len(records) > mostRows {
				records = records[:mostRows]
				if d.Cut == nil {
					d.Cut = map[string]cutNotice{}
				}
				d.Cut[table.Section] = cutNotice{Newest: mostRows}
			}
			d.Sections[table.Section] = records
		}
		return audit.RecordTx(ctx, tx, audit.Entry{Action: audit.DataExported, Actor: viewer.UserID, Subject: public})
	})
	if err != nil {
		return nil, fmt.Errorf("exporting an account: %w", err)
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding an export: %w", err)
	}
	return text, nil
}

// readTx returns a person's rows of a table, those with the greatest first column first.
func (s *Service) readTx(ctx context.Context, tx *sql.Tx, table Table, userID uuid.UUID, public string) ([]Record, error) {
	var names []string
	var sealed []vault.Column
	for _, column := range table.Columns {
		if !column.Class.Exported() {
			continue
		}
		name := `"` + column.Name + `"`
		if column.Class == Doer {
			name = fmt.Sprintf(`CASE WHEN %s = $1 THEN %s END AS %s`, table.Doer, name, name)
		}
		names = append(names, name)
		for _, candidate := range vault.Columns() {
			if candidate.Table == table.Name && candidate.Name == column.Name {
				sealed = append(sealed, candidate)
			}
		}
	}
	args := []any{userID}
	if strings.Contains(table.Of, "$2") {
		args = append(args, public)
	}
	rows, err := tx.QueryContext(ctx, fmt.Sprintf(`SELECT to_jsonb(r) FROM (SELECT %s FROM %s WHERE %s ORDER BY 1 DESC LIMIT %d) r`,
		strings.Join(names, ", "), table.Name, table.Of, mostRows+1), args...)
	if err != nil {
		return nil, err
	}
	texts, err := postgres.Collect(rows, func(rows *sql.Rows) (text []byte, err error) {
		err = rows.Scan(&text)
		return text, err
	})
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(texts))
	for i, text := range texts {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber() // amounts stay exact
		if err := decoder.Decode(&records[i]); err != nil {
			return nil, err
		}
		for _, column := range sealed {
			if err := s.unseal(records[i], column); err != nil {
				return nil, err
			}
			delete(records[i], column.Name)
		}
	}
	return records, nil
}

// unseal adds what is in a sealed cell of a row, under the column's name without its ending.
func (s *Service) unseal(record Record, column vault.Column) error {
	name := strings.TrimSuffix(column.Name, "_sealed")
	written, ok := record[column.Name].(string)
	if !ok {
		record[name] = nil
		return nil
	}
	cell, err := hex.DecodeString(strings.TrimPrefix(written, `\x`))
	if err != nil {
		return fmt.Errorf("reading %s: %w", column.Name, err)
	}
	key, _ := record[column.Key].(string)
	row, err := uuid.Parse(key)
	if err != nil {
		return fmt.Errorf("reading %s: %w", column.Key, err)
	}
	record[name], err = s.vault.Open(vault.Cell{Table: column.Table, Column: column.Name, Row: row}, cell)
	return err
}
