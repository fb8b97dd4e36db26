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

// Reconciliation is a run that holds the books of a gateway against ours.
type Reconciliation struct{ ent.Schema }

// Annotations of a Reconciliation.
func (Reconciliation) Annotations() []schema.Annotation { return table("reconciliations") }

// Fields of a Reconciliation.
func (Reconciliation) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("gateway").Immutable(),
		field.Time("period_from").Immutable(),
		field.Time("period_to").Immutable(),
		field.Text("outcome").Default("RUNNING"),
		field.Int32("compared").Default(0).Comment("charges"),
		field.Int32("found").Default(0).Comment("mismatches, those healed included"),
		field.Int32("healed").Default(0),
		field.Time("leased_until"),
		createdAt(),
		field.Time("ended_at").Optional().Nillable(),
	}
}

// Indexes of a Reconciliation.
func (Reconciliation) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("gateway").Unique().StorageKey("reconciliations_running_key").Annotations(entsql.IndexWhere("(outcome = 'RUNNING'::text)")),
		index.Fields("created_at", "id").StorageKey("reconciliations_created_idx"),
	}
}

// Mismatch is where the books of a gateway and ours disagree about a charge.
type Mismatch struct{ ent.Schema }

// Annotations of a Mismatch.
func (Mismatch) Annotations() []schema.Annotation { return table("mismatches") }

// Fields of a Mismatch.
func (Mismatch) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("gateway").Immutable(),
		field.Text("charge_key").Immutable().Comment("ours, else the gateway's id"),
		field.Text("kind").Immutable(),
		field.Text("reference").Comment("the gateway's id; empty where it knows none"),
		field.UUID("showtime_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.UUID("payment_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.UUID("theater_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.Int64("ours_minor"),
		field.Text("ours_currency"),
		field.Int64("theirs_minor"),
		field.Text("theirs_currency"),
		field.Text("state").Default("OPEN"),
		field.UUID("owner_id", uuid.UUID{}).Optional().Nillable().Comment("who looks after it"),
		field.Text("note").Default(""),
		field.Time("last_seen_at").Default(time.Now).Annotations(now),
		field.Time("closed_at").Optional().Nillable(),
		createdAt(),
	}
}

// Indexes of a Mismatch.
func (Mismatch) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("gateway", "charge_key", "kind").Unique().StorageKey("mismatches_open_key").Annotations(entsql.IndexWhere("(state = 'OPEN'::text)")),
		index.Fields("gateway", "charge_key", "kind").StorageKey("mismatches_charge_idx"),
		index.Fields("created_at", "id").StorageKey("mismatches_created_idx"),
	}
}
