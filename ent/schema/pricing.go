package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// PriceRule is what a theater changes of the prices of its seats, a fee, or a tax. A column that its kind has no use for
// is empty or zero.
type PriceRule struct{ ent.Schema }

// Fields of a PriceRule.
func (PriceRule) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("theater_id"),
		field.Text("kind"),
		field.Text("label").Comment("for people"),
		field.Text("ticket_type").Default(""),
		field.Text("format").Default(""),
		field.Int16("weekdays").Default(0).Comment("bits of Sunday to Saturday"),
		field.Int16("from_minute").Default(0).Comment("after local midnight"),
		field.Int16("to_minute").Default(0).Comment("not after from_minute: of the next day"),
		field.Int32("basis_points").Default(0).Comment("hundredths of a percent"),
		field.Int64("amount_minor").Default(0),
		field.Bool("per_reservation").Default(false),
		field.Bool("included").Default(false).Comment("a tax that the price contains"),
		field.Bool("active").Default(true),
		createdAt(),
	}
}

// Indexes of a PriceRule.
func (PriceRule) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("theater_id", "id").StorageKey("price_rules_theater_idx"),
		index.Fields("theater_id", "ticket_type").Unique().StorageKey("price_rules_ticket_type_key").
			Annotations(entsql.IndexWhere("(kind = 'TICKET_TYPE'::text)")),
		index.Fields("theater_id", "format").Unique().StorageKey("price_rules_format_key").
			Annotations(entsql.IndexWhere("(kind = 'FORMAT'::text)")),
	}
}
