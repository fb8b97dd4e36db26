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

// MailedToken is what was sent to an address and comes back from its owner once. Its id is a keyed hash of it.
type MailedToken struct{ ent.Schema }

// Annotations of a MailedToken.
func (MailedToken) Annotations() []schema.Annotation { return table("mailed_tokens") }

// Fields of a MailedToken.
func (MailedToken) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("purpose"),
		field.UUID("user_id", uuid.UUID{}).Optional().Nillable(),
		field.Bytes("email_sealed").Sensitive().Comment("the address it was sent to"),
		createdAt(),
		field.Time("expires_at"),
	}
}

// Edges of a MailedToken.
func (MailedToken) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Field("user_id").Unique().
			StorageKey(edge.Symbol("mailed_tokens_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a MailedToken.
func (MailedToken) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("user_id").StorageKey("mailed_tokens_user_idx"),
		index.Fields("expires_at").StorageKey("mailed_tokens_expires_idx"),
	}
}
