package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
)

// TheaterGateways is what a theater has chosen for payments in a currency.
type TheaterGateways struct{ ent.Schema }

// Annotations of TheaterGateways.
func (TheaterGateways) Annotations() []schema.Annotation { return table("theater_gateways") }

// Fields of TheaterGateways.
func (TheaterGateways) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("theater_id", uuid.UUID{}).Immutable(),
		field.Text("id").StorageKey("currency").Immutable(),
		field.Strings("gateways").Comment("the preferred one first"),
		field.Time("updated_at").Annotations(entsql.DefaultExpr("now()")),
	}
}
