package schema

import (
	"encoding/json"

	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"

	"marquee/internal/seatno"
)

// RefundPolicy is a version of what a theater gives back to who cancels.
type RefundPolicy struct{ ent.Schema }

// Annotations of a RefundPolicy.
func (RefundPolicy) Annotations() []schema.Annotation { return table("refund_policies") }

// Fields of a RefundPolicy.
func (RefundPolicy) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("theater_id", uuid.UUID{}).Immutable(),
		field.Int32("id").StorageKey("version").Immutable().Annotations(entsql.Annotation{Incremental: new(bool)}),
		field.JSON("steps", json.RawMessage{}),
		field.Bool("late_without_refund"),
		field.Int64("kept_per_ticket_minor"),
		field.Int64("kept_once_minor"),
		field.Bool("fees_returned"),
		field.Int32("swap_minutes").Optional().Nillable(),
		field.Int64("swap_fee_minor").Optional().Nillable(),
		field.Time("holds_from").Comment("for seats that are first held then or later"),
	}
}

// Refund is money that goes back of an attempt.
type Refund struct{ ent.Schema }

// Annotations of a Refund.
func (Refund) Annotations() []schema.Annotation { return table("refunds") }

// Fields of a Refund.
func (Refund) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		id(),
		foreignID("payment_id"),
		foreignID("attempt_id"),
		field.Int16("number").Comment("among those of the attempt"),
		field.Int64("amount_minor"),
		field.Text("cause"),
		field.Other("seats", seatno.List{}).SchemaType(map[string]string{dialect.Postgres: "smallint[]"}),
		field.Text("status").Default("PENDING"),
		field.Time("leased_until"),
		createdAt(),
		field.Time("done_at").Optional().Nillable(),
		field.UUID("to_showtime_id", uuid.UUID{}).Optional().Nillable().Comment("of the reservation that it pays for instead of going back"),
		field.UUID("to_reservation_id", uuid.UUID{}).Optional().Nillable(),
		field.Int16("try").Default(1),
		field.Text("failure_code").Optional().Nillable().Comment("of the try before the present one, or of the last"),
		field.Int64("by_hand_minor").Default(0).Comment("of the amount, what was given back at the gateway's dashboard"),
		field.Text("destination").Default("ORIGINAL"),
	}
}

// Indexes of a Refund.
func (Refund) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("showtime_id", "attempt_id", "number").Unique().StorageKey("refunds_number_key"),
		index.Fields("showtime_id", "payment_id").StorageKey("refunds_payment_idx"),
		index.Fields("leased_until").StorageKey("refunds_unsettled_idx").Annotations(entsql.IndexWhere("(status = 'PENDING'::text)")),
		index.Fields("created_at").StorageKey("refunds_failed_idx").Annotations(entsql.IndexWhere("(status = 'FAILED'::text)")),
	}
}
