package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"
)

// TillEntry is money that staff took at the counter, or paid out.
type TillEntry struct{ ent.Schema }

// Annotations of a TillEntry.
func (TillEntry) Annotations() []schema.Annotation { return table("till_entries") }

// Fields of a TillEntry.
func (TillEntry) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		id(),
		foreignID("payment_id"),
		field.UUID("refund_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		foreignID("theater_id"),
		foreignID("staff_id"), // who took it, or paid it out
		field.Text("kind").Immutable(),
		field.Text("method").Immutable(),
		field.Int64("amount_minor").Immutable(),
		field.Int64("given_minor").Immutable().Comment("what the customer handed over"),
		field.Text("terminal_reference").Optional().Nillable().Immutable(),
		field.Text("idempotency_key").Immutable().Comment("of the command that wrote it"),
		createdAt(),
	}
}

// Indexes of a TillEntry.
func (TillEntry) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("showtime_id", "payment_id").Unique().StorageKey("till_entries_taken_key").
			Annotations(entsql.IndexWhere("(kind = 'TAKEN'::text)")),
		index.Fields("showtime_id", "refund_id").Unique().StorageKey("till_entries_refund_key").
			Annotations(entsql.IndexWhere("(refund_id IS NOT NULL)")),
	}
}
