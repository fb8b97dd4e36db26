// Package rekey moves sealed cells from one key of the keyset to another while everybody goes on reading and writing.
//
// Its only state is the cells themselves: a cell says which key it needs, and what needs the primary key is done. So it
// may be ended at any moment, started again, and run twice at once. A cell is replaced only while it is the one that was
// opened: what somebody has written meanwhile stays.
package rekey

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"marquee/internal/postgres"
	"marquee/internal/vault"
)

const (
	// batch is how many rows one transaction changes: some milliseconds of work.
	batch = 500
	// passes bounds how often everything is gone through because others still wrote with the key before.
	passes = 10
)

// Count is how many cells of a column need a key. A blind index is counted as a column of its own.
type Count struct {
	Table, Column string
	Key           uint32
	Cells         int64
}

// keyOf returns the SQL expression of the key that a cell needs; index is true for a blind index.
func keyOf(column string, index bool) string {
	if index {
		return "substring(" + column + " from 1 for 4)"
	}
	return "substring(" + column + " from 6 for 4)"
}

// Counts returns how many cells need which key, of all columns in vault.Columns. It reads whole tables.
func Counts(ctx context.Context, db *postgres.DB) ([]Count, error) {
	var all []Count
	count := func(table, column string, index bool) error {
		rows, err := db.SQL().QueryContext(ctx, `SELECT `+keyOf(column, index)+`, count(*) FROM `+table+` WHERE `+column+` IS NOT NULL GROUP BY 1 ORDER BY 1`)
		if err != nil {
			return fmt.Errorf("counting cells: %w", err)
		}
		counts, err := postgres.Collect(rows, func(rows *sql.Rows) (Count, error) {
			c := Count{Table: table, Column: column}
			var id []byte
			err := rows.Scan(&id, &c.Cells)
			c.Key = binary.BigEndian.Uint32(append(make([]byte, max(0, 4-len(id))), id...))
			return c, err
		})
		all = append(all, counts...)
		return err
	}
	for _, c := range vault.Columns() {
		if err := count(c.Table, c.Name, false); err != nil {
			return nil, err
		}
		if c.Index == "" {
			continue
		}
		if err := count(c.Table, c.Index, true); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Check returns an error when the database was sealed with another keyset. It looks at one cell of each column.
func Check(ctx context.Context, db *postgres.DB, v *vault.Vault) error {
	keys := v.Keyset().Keys()
	for _, c := range vault.Columns() {
		var sealed []byte
		err := db.SQL().QueryRowContext(ctx, `SELECT `+c.Name+` FROM `+c.Table+` WHERE `+c.Name+` IS NOT NULL LIMIT 1`).Scan(&sealed)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("looking at sealed cells: %w", err)
		}
		id, err := vault.KeyOf(sealed)
		if err == nil && !slices.ContainsFunc(keys, func(k vault.Key) bool { return k.ID == id && !k.Disabled }) {
			return fmt.Errorf("%s.%s is sealed with the key %08x, which this keyset does not have: use the keyset that belongs to the database", c.Table, c.Name, id)
		}
	}
	return nil
}

// Run seals and indexes with the primary key of v whatever needs another one, and returns how many rows it has changed.
// moved, which may be nil, is told after each batch. Cells that cannot be opened stay as they are and are named in the
// error, the first ones of each column.
func Run(ctx context.Context, db *postgres.DB, v *vault.Vault, moved func(rows int)) (int, error) {
	total := 0
	var damaged []error
	for _, c := range vault.Columns() {
		for range passes {
			done, bad, err := pass(ctx, db, v, c, moved)
			total += done
			if err != nil {
				return total, err
			}
			if done == 0 {
				damaged = append(damaged, bad...)
				break
			}
		}
	}
	return total, errors.Join(damaged...)
}

// change is what a batch does to one row.
type change struct {
	id   uuid.UUID
	old  []byte
	text string
}

// pass goes once through a column.
func pass(ctx context.Context, db *postgres.DB, v *vault.Vault, c vault.Column, moved func(int)) (done int, damaged []error, err error) {
	primary := binary.BigEndian.AppendUint32(nil, v.Keyset().Primary())
	behind := keyOf(c.Name, false) + ` <> $2`
	if c.Index != "" {
		behind = `(` + behind + ` OR ` + keyOf(c.Index, true) + ` <> $2)`
	}
	query := `SELECT ` + c.Key + `, ` + c.Name + ` FROM ` + c.Table + ` WHERE ` + c.Key + ` > $1 AND ` + behind +
		fmt.Sprintf(` ORDER BY %s LIMIT %d`, c.Key, batch)
	const most = 10 // damaged cells that are named
	for last := uuid.Nil; ; {
		rows, err := db.SQL().QueryContext(ctx, query, last, primary)
		if err != nil {
			return done, damaged, fmt.Errorf("reading sealed cells: %w", err)
		}
		changes, err := postgres.Collect(rows, func(rows *sql.Rows) (r change, err error) {
			err = rows.Scan(&r.id, &r.old)
			return r, err
		})
		if err != nil {
			return done, damaged, err
		}
		if len(changes) == 0 {
			return done, damaged, nil
		}
		last = changes[len(changes)-1].id
		var opened []change
		for _, r := range changes {
			if r.text, err = v.Open(vault.Cell{Table: c.Table, Column: c.Name, Row: r.id}, r.old); err == nil {
				opened = append(opened, r)
			} else if len(damaged) < most {
				damaged = append(damaged, err)
			}
		}
		n, err := replace(ctx, db, v, c, opened)
		done += n
		if err != nil {
			return done, damaged, err
		}
		if moved != nil {
			moved(n)
		}
	}
}

// replace seals the cells anew, in one transaction, where they are still the ones that were read.
func replace(ctx context.Context, db *postgres.DB, v *vault.Vault, c vault.Column, changes []change) (int, error) {
	ids, old, sealed, marks := make(postgres.UUIDs, len(changes)), make(postgres.Blobs, len(changes)), make(postgres.Blobs, len(changes)), make(postgres.Blobs, len(changes))
	for i, r := range changes {
		var err error
		if sealed[i], err = v.Seal(vault.Cell{Table: c.Table, Column: c.Name, Row: r.id}, r.text); err != nil {
			return 0, err
		}
		ids[i], old[i] = r.id, r.old
		if c.Index != "" {
			marks[i] = v.Index(c.Kind, r.text)
		}
	}
	set := c.Name + ` = n.sealed`
	if c.Index != "" {
		set += `, ` + c.Index + ` = n.mark`
	}
	statement := `WITH wanted AS (SELECT t.` + c.Key + ` AS id, n.old, n.sealed, n.mark
			FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[]) AS n (id, old, sealed, mark) JOIN ` + c.Table + ` t ON t.` + c.Key + ` = n.id
			ORDER BY t.` + c.Key + ` FOR UPDATE OF t)
		UPDATE ` + c.Table + ` t SET ` + set + ` FROM wanted n WHERE t.` + c.Key + ` = n.id AND t.` + c.Name + ` = n.old`
	var n int64
	err := db.InTx(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, statement, ids, old, sealed, marks)
		if err != nil {
			return err
		}
		n, err = done.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("replacing sealed cells: %w", err)
	}
	return int(n), nil
}
