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

// Swap is what a reservation is taken for: seats of another one, of whatever showtime.
type Swap struct{ ent.Schema }

// Annotations of a Swap.
func (Swap) Annotations() []schema.Annotation { return table("swaps") }

// Fields of a Swap.
func (Swap) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		field.UUID("id", uuid.UUID{}).StorageKey("reservation_id").Immutable(),
		foreignID("from_showtime_id"),
		foreignID("from_reservation_id"),
		field.Other("seats", seatno.List{}).SchemaType(map[string]string{dialect.Postgres: "smallint[]"}),
		field.Int64("value_minor"),
		field.Int64("fee_minor"),
	}
}

// Handover is seats and money of a reservation that an attempt of another one takes.
type Handover struct{ ent.Schema }

// Annotations of a Handover.
func (Handover) Annotations() []schema.Annotation { return table("handovers") }

// Fields of a Handover.
func (Handover) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		field.UUID("id", uuid.UUID{}).StorageKey("attempt_id").Immutable(),
		foreignID("reservation_id"),
		foreignID("to_showtime_id"),
		foreignID("to_reservation_id"),
		field.Other("seats", seatno.List{}).SchemaType(map[string]string{dialect.Postgres: "smallint[]"}),
		field.Int64("credit_minor"),
		field.Int64("back_minor"),
		field.JSON("sources", json.RawMessage{}).Comment("the attempts that the credit is of"),
		field.Text("status").Default("TAKEN"),
		field.Time("leased_until"),
		createdAt(),
	}
}

// Indexes of a Handover.
func (Handover) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("showtime_id", "reservation_id").Unique().StorageKey("handovers_taken_key").Annotations(entsql.IndexWhere("(status = 'TAKEN'::text)")),
		index.Fields("leased_until").StorageKey("handovers_unsettled_idx").Annotations(entsql.IndexWhere("(status = 'TAKEN'::text)")),
	}
}
