package schema

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"
)

// WebhookEvent is what a gateway told of a charge.
type WebhookEvent struct{ ent.Schema }

// Annotations of a WebhookEvent.
func (WebhookEvent) Annotations() []schema.Annotation { return table("webhook_events") }

// Fields of a WebhookEvent.
func (WebhookEvent) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("gateway").Immutable(),
		field.Text("event_id").Immutable().Comment("at the gateway"),
		field.Text("kind").Immutable(),
		field.Text("charge_key").Immutable().Comment("ours; empty where the gateway does not say"),
		field.Text("charge_reference").Immutable().Comment("the gateway's; empty where it does not say"),
		field.Text("state"),
		field.Time("occurred_at").Immutable(),
		field.Time("received_at").Immutable().Default(time.Now).Annotations(now),
		field.Time("processed_at").Optional().Nillable(),
		field.UUID("showtime_id", uuid.UUID{}).Optional().Nillable().Comment("of the attempt, once it is found"),
		field.UUID("reservation_id", uuid.UUID{}).Optional().Nillable(),
		field.UUID("payment_id", uuid.UUID{}).Optional().Nillable(),
	}
}

// Indexes of a WebhookEvent.
func (WebhookEvent) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("gateway", "event_id").Unique().StorageKey("webhook_events_event_key"),
		index.Fields("received_at", "id").StorageKey("webhook_events_received_idx"),
		index.Fields("received_at", "id").StorageKey("webhook_events_open_idx").Annotations(entsql.IndexWhere("(state <> 'PROCESSED'::text)")),
		index.Fields("received_at", "id").StorageKey("webhook_events_disputes_idx").Annotations(entsql.IndexWhere("(kind = 'DISPUTE'::text)")),
	}
}
