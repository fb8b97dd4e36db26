package postgres

import (
	"database/sql"
	"errors"
	"fmt"
)

// Collect reads all rows with scan and closes them, whatever happens.
func Collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	var all []T
	var failed error
	for failed == nil && rows.Next() {
		var one T
		if one, failed = scan(rows); failed == nil {
			all = append(all, one)
		}
	}
	if err := errors.Join(failed, rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading rows: %w", err)
	}
	return all, nil
}
