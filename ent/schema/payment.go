package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"

	"marquee/internal/seatno"
)

// Payment is the record of collecting one amount for one reservation.
type Payment struct{ ent.Schema }

// Annotations of a Payment.
func (Payment) Annotations() []schema.Annotation { return table("payments") }

// Fields of a Payment.
func (Payment) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		id(),
		foreignID("reservation_id"),
		foreignID("viewer_id"),
		field.Text("status").Default("PENDING"),
		field.Int64("amount_minor"),
		field.Int64("captured_minor").Default(0),
		field.Int64("refunded_minor").Default(0),
		field.Int64("promised_minor").Default(0).Comment("all refunds together, those on their way included"),
		field.Text("currency"),
		createdAt(),
		field.Time("updated_at").Annotations(now),
	}
}

// Indexes of a Payment.
func (Payment) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("showtime_id", "reservation_id").Unique().StorageKey("payments_reservation_key"),
	}
}

// PaymentAttempt is one try at a gateway under a payment; the gateway knows it by its id.
type PaymentAttempt struct{ ent.Schema }

// Annotations of a PaymentAttempt.
func (PaymentAttempt) Annotations() []schema.Annotation { return table("payment_attempts") }

// Fields of a PaymentAttempt.
func (PaymentAttempt) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		id(),
		foreignID("payment_id"),
		field.Int16("number"),
		field.Text("gateway"),
		field.Int64("amount_minor"),
		field.Int64("credit_minor").Optional().Nillable().Comment("of a swap: what comes with the amount"),
		field.Text("origin_key").Optional().Nillable().Comment("what the gateway knows money by that was carried here"),
		field.Int64("origin_minor").Optional().Nillable().Comment("that was taken then"),
		field.Int64("taken_minor").Optional().Nillable().Comment("what the gateway took of what goes back whole"),
		field.Text("status").Default("STARTED"),
		field.Text("gateway_reference").Optional().Nillable(),
		field.Text("decline_code").Optional().Nillable(),
		field.Text("idempotency_key"),
		field.Time("leased_until"),
		createdAt(),
		field.Time("updated_at").Annotations(now),
	}
}

// Indexes of a PaymentAttempt. The partial predicates are written as PostgreSQL prints them.
func (PaymentAttempt) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("showtime_id", "payment_id", "number").Unique().StorageKey("payment_attempts_number_key"),
		index.Fields("showtime_id", "payment_id").Unique().StorageKey("payment_attempts_live_key").
			Annotations(entsql.IndexWhere("(status = ANY (ARRAY['STARTED'::text, 'OFFERED'::text, 'AUTHORIZED'::text, 'CAPTURED'::text]))")),
		index.Fields("id").StorageKey("payment_attempts_id_idx"),
		index.Fields("origin_key").StorageKey("payment_attempts_origin_idx").Annotations(entsql.IndexWhere("(origin_key IS NOT NULL)")),
		index.Fields("leased_until").StorageKey("payment_attempts_unsettled_idx").
			Annotations(entsql.IndexWhere("(status = ANY (ARRAY['STARTED'::text, 'OFFERED'::text, 'AUTHORIZED'::text, 'VOID_PENDING'::text, 'REFUND_PENDING'::text]))")),
		index.Fields("gateway_reference").StorageKey("payment_attempts_reference_idx").Annotations(entsql.IndexWhere("(gateway_reference IS NOT NULL)")),
	}
}

// PaymentRecovery is what became of money that came when the hold it was for had run out.
type PaymentRecovery struct{ ent.Schema }

// Annotations of a PaymentRecovery.
func (PaymentRecovery) Annotations() []schema.Annotation { return table("payment_recoveries") }

// Fields of a PaymentRecovery.
func (PaymentRecovery) Fields() []ent.Field {
	seats := map[string]string{dialect.Postgres: "smallint[]"}
	return []ent.Field{
		showtimeKey(),
		field.UUID("id", uuid.UUID{}).StorageKey("attempt_id").Immutable(),
		foreignID("reservation_id"),
		field.Text("rung"),
		field.Other("lost", seatno.List{}).SchemaType(seats),
		field.Other("offered", seatno.List{}).SchemaType(seats).Optional(),
		field.Text("answer").Optional().Nillable(),
		createdAt(),
		field.Time("answered_at").Optional().Nillable(),
	}
}
