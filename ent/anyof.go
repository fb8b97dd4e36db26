package ent

import (
	"database/sql/driver"

	"entgo.io/ent/dialect/sql"
)

// AnyOf selects rows whose column is one of the values, which arrive as one array parameter: the statement's text does
// not depend on how many there are, so that it is prepared once. arrayType is PostgreSQL's name: "uuid[]".
func AnyOf(column, arrayType string, values driver.Valuer) func(*sql.Selector) {
	return func(sel *sql.Selector) {
		sel.Where(sql.P(func(b *sql.Builder) {
			b.Ident(sel.C(column)).WriteString(" = ANY (").Arg(values).WriteString("::" + arrayType + ")")
		}))
	}
}
