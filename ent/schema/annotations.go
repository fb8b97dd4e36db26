// Package schema describes the tables that ent maps: fields, edges and indexes.
//
// The SQL migrations under internal/postgres/migrations are the truth; what ent cannot say (checks, exclusion and
// composite constraints, functions) stands only there, and the drift test holds the two together. There are no hooks,
// no privacy rules and no defaults with meaning here: rules live in the domains.
package schema

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
)

// now is the column default of the moments at which rows come to be.
var now = entsql.DefaultExpr("CURRENT_TIMESTAMP")

func id() ent.Field {
	return field.UUID("id", uuid.UUID{}).Immutable()
}

func createdAt() ent.Field {
	return field.Time("created_at").Immutable().Default(time.Now).Annotations(now)
}

// foreignID is a reference to a row of another table.
func foreignID(name string) ent.Field {
	return field.UUID(name, uuid.UUID{})
}
