// Package seatno holds sets of seat numbers, the way the seat inventory names seats: 1 to N within a layout.
package seatno

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// List is a list of seat numbers. It travels to and from PostgreSQL as smallint[].
type List []int16

// Sorted returns a copy in ascending order.
func (l List) Sorted() List {
	sorted := slices.Clone(l)
	slices.Sort(sorted)
	return sorted
}

// Value returns the PostgreSQL array literal; a nil list is an empty array.
func (l List) Value() (driver.Value, error) {
	out := make([]byte, 0, 2+4*len(l))
	out = append(out, '{')
	for i, n := range l {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(n), 10)
	}
	return string(append(out, '}')), nil
}

// Scan reads a one-dimensional PostgreSQL array literal; NULL gives a nil list.
func (l *List) Scan(src any) error {
	var text string
	switch v := src.(type) {
	case nil:
		*l = nil
		return nil
	case []byte:
		text = string(v)
	case string:
		text = v
	default:
		return fmt.Errorf("seatno: cannot read %T", src)
	}
	body, opened := strings.CutPrefix(text, "{")
	body, closed := strings.CutSuffix(body, "}")
	if !opened || !closed {
		return fmt.Errorf("seatno: %q is not an array", text)
	}
	*l = List{}
	if body == "" {
		return nil
	}
	for part := range strings.SplitSeq(body, ",") {
		n, err := strconv.ParseInt(part, 10, 16)
		if err != nil {
			return fmt.Errorf("seatno: %q is not a seat number", part)
		}
		*l = append(*l, int16(n))
	}
	return nil
}
