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

// The tables of the booking core have composite primary keys that start with showtime_id, and no edges. ent wants one
// id column: it is the second part of the key, unique only within a showtime unless it is a UUID. Every query here
// names the showtime too; every change goes through the SQL functions and guarded updates of the booking package.

// showtimeKey is the first column of every key of the core.
func showtimeKey() ent.Field {
	return field.UUID("showtime_id", uuid.UUID{}).Immutable()
}

func table(name string) []schema.Annotation {
	return []schema.Annotation{entsql.Annotation{Table: name}}
}

// ShowtimeSale is what the claim of seats reads: is the showtime on sale, how many seats, which price version.
type ShowtimeSale struct{ ent.Schema }

// Annotations of a ShowtimeSale.
func (ShowtimeSale) Annotations() []schema.Annotation { return table("showtime_sales") }

// Fields of a ShowtimeSale.
func (ShowtimeSale) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).StorageKey("showtime_id").Immutable(),
		field.Text("status").Default("OPEN"),
		field.Time("opens_at"),
		field.Time("closes_at"),
		field.Int16("seat_count"),
		field.Int16("max_seats").Comment("per viewer"),
		field.Text("currency"),
		field.Int32("price_version").Default(1),
	}
}

// Reservation is a customer's claim on seats of one showtime.
type Reservation struct{ ent.Schema }

// Annotations of a Reservation.
func (Reservation) Annotations() []schema.Annotation { return table("reservations") }

// Fields of a Reservation.
func (Reservation) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		id(),
		foreignID("viewer_id"),
		field.Text("status").Default("HELD"),
		field.Other("seats", seatno.List{}).SchemaType(map[string]string{dialect.Postgres: "smallint[]"}),
		field.Int64("amount_minor"),
		field.Text("currency"),
		field.Other("released", seatno.List{}).SchemaType(map[string]string{dialect.Postgres: "smallint[]"}).
			Annotations(entsql.DefaultExpr("'{}'")).Comment("seats that it had"),
		field.JSON("lines", json.RawMessage{}).Comment("the price, line by line, frozen at the hold"),
		field.Time("held_until").Optional().Nillable(),
		field.Time("pay_by").Optional().Nillable().Comment("the deadline it was given with RESERVED"),
		createdAt(),
		field.Time("confirmed_at").Optional().Nillable(),
		field.Time("ended_at").Optional().Nillable(),
	}
}

// Indexes of a Reservation.
func (Reservation) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("viewer_id", "id").StorageKey("reservations_viewer_idx"),
		index.Fields("showtime_id", "viewer_id").StorageKey("reservations_cap_idx"),
		index.Fields("held_until").StorageKey("reservations_deadline_idx").
			Annotations(entsql.IndexWhere("(held_until IS NOT NULL)")),
	}
}

// SeatClaim says that a seat of a showtime is not free; a free seat has no row.
type SeatClaim struct{ ent.Schema }

// Annotations of a SeatClaim.
func (SeatClaim) Annotations() []schema.Annotation { return table("seat_claims") }

// Fields of a SeatClaim.
func (SeatClaim) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		field.Int16("id").StorageKey("seat_no").Immutable().Annotations(entsql.Annotation{Incremental: new(bool)}),
		field.UUID("reservation_id", uuid.UUID{}).Optional().Nillable(),
		field.Time("held_until").Optional().Nillable(),
	}
}

// IdempotencyKey remembers a command and the reservation it was about.
type IdempotencyKey struct{ ent.Schema }

// Annotations of an IdempotencyKey.
func (IdempotencyKey) Annotations() []schema.Annotation { return table("idempotency_keys") }

// Fields of an IdempotencyKey.
func (IdempotencyKey) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		foreignID("viewer_id"),
		field.Text("id").StorageKey("key").Immutable(),
		field.Text("operation"),
		field.Bytes("fingerprint"),
		foreignID("reservation_id"),
		field.Bytes("source").Optional().Nillable().Comment("a keyed hash of the address that a claim came from"),
		field.Bytes("device").Optional().Nillable().Comment("a keyed hash of the device on which the claim's client said that it ran"),
		createdAt(),
	}
}

// Indexes of an IdempotencyKey.
func (IdempotencyKey) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("created_at").StorageKey("idempotency_keys_created_idx"),
		index.Fields("showtime_id", "source").StorageKey("idempotency_keys_source_idx").
			Annotations(entsql.IndexWhere("(source IS NOT NULL)")),
		index.Fields("showtime_id", "device").StorageKey("idempotency_keys_device_idx").
			Annotations(entsql.IndexWhere("(device IS NOT NULL)")),
	}
}

// Ticket is the right of admission for one seat.
type Ticket struct{ ent.Schema }

// Annotations of a Ticket.
func (Ticket) Annotations() []schema.Annotation { return table("tickets") }

// Fields of a Ticket.
func (Ticket) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		id(),
		foreignID("reservation_id"),
		field.Int16("seat_no"),
		field.Text("code").Sensitive(),
		field.Text("status").Default("ISSUED"),
		field.Time("issued_at").Immutable().Annotations(now),
	}
}

// Indexes of a Ticket.
func (Ticket) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("showtime_id", "code").Unique().StorageKey("tickets_code_key"),
		index.Fields("showtime_id", "seat_no").Unique().StorageKey("tickets_seat_key").
			Annotations(entsql.IndexWhere("(status <> 'REVOKED'::text)")),
		index.Fields("showtime_id", "reservation_id").StorageKey("tickets_reservation_idx"),
	}
}

// PayLaterPolicy lets customers of a theater reserve without payment; a theater without one does not.
type PayLaterPolicy struct{ ent.Schema }

// Annotations of a PayLaterPolicy.
func (PayLaterPolicy) Annotations() []schema.Annotation { return table("pay_later_policies") }

// Fields of a PayLaterPolicy.
func (PayLaterPolicy) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).StorageKey("theater_id").Immutable(),
		field.Int32("lead_minutes").Comment("how long before the start a reservation must be paid"),
		field.Int32("max_open").Comment("unpaid reservations of one customer at the theater"),
		field.Time("updated_at").Annotations(now),
	}
}
