package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"
)

// EmailChange is another address that an account is to get.
type EmailChange struct{ ent.Schema }

// Annotations of an EmailChange.
func (EmailChange) Annotations() []schema.Annotation { return table("email_changes") }

// Fields of an EmailChange.
func (EmailChange) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.UUID("user_id", uuid.UUID{}),
		field.UUID("session_id", uuid.UUID{}).Comment("which asked"),
		field.Bytes("email_sealed").Sensitive().Comment("the next address"),
		createdAt(),
		field.Time("taken_at").Optional().Nillable().Comment("when the next address confirmed"),
		field.Time("left_at").Optional().Nillable().Comment("when the present address confirmed"),
	}
}

// Edges of an EmailChange.
func (EmailChange) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("email_changes_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of an EmailChange.
func (EmailChange) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("user_id").Unique().StorageKey("email_changes_user_key"),
		index.Fields("created_at").StorageKey("email_changes_created_idx"),
	}
}
