package schema

import (
	"encoding/json"

	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"
)

// AuditEntry is one recorded act. Rows are written once; only the place in the chain and its hash come later.
type AuditEntry struct{ ent.Schema }

// Fields of an AuditEntry.
func (AuditEntry) Fields() []ent.Field {
	asWritten := map[string]string{dialect.Postgres: "json"}
	return []ent.Field{
		id(),
		createdAt(),
		field.Text("action").Immutable(),
		field.UUID("actor_id", uuid.UUID{}).Optional().Nillable().Immutable().Comment("who did it; none: the system or nobody known"),
		field.Text("subject").Default("").Immutable().Comment("public id of what it was done to"),
		field.UUID("theater_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.Text("reason").Default("").Immutable(),
		field.JSON("before", json.RawMessage{}).Optional().Immutable().SchemaType(asWritten),
		field.JSON("after", json.RawMessage{}).Optional().Immutable().SchemaType(asWritten),
		field.Text("request_id").Default("").Immutable(),
		field.Text("address").Default("").Immutable(),
		field.Int64("position").Optional().Nillable().Comment("place in the chain"),
		field.Bytes("seal").Optional().Comment("hash of the entry and all before it"),
	}
}

// Indexes of an AuditEntry.
func (AuditEntry) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("position").Unique().StorageKey("audit_entries_position_key"),
		index.Fields("created_at", "id").StorageKey("audit_entries_unsealed_idx").Annotations(entsql.IndexWhere(`"position" IS NULL`)),
		index.Fields("created_at", "id").StorageKey("audit_entries_created_idx"),
		index.Fields("action", "created_at", "id").StorageKey("audit_entries_action_idx"),
		index.Fields("actor_id", "created_at", "id").StorageKey("audit_entries_actor_idx"),
		index.Fields("subject", "created_at", "id").StorageKey("audit_entries_subject_idx"),
		index.Fields("theater_id", "created_at", "id").StorageKey("audit_entries_theater_idx").Annotations(entsql.IndexWhere("theater_id IS NOT NULL")),
	}
}
