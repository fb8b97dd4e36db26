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

// Factor is what its owner proves at sign-in beside the password: an authenticator app or a passkey.
type Factor struct{ ent.Schema }

// Fields of a Factor.
func (Factor) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("user_id"),
		field.Text("kind"),
		field.Bytes("name_sealed").Sensitive(),
		field.Bytes("secret_sealed").Optional().Nillable().Sensitive().Comment("of an app"),
		field.Int64("used_step").Default(0).Comment("the last of which a code was used"),
		field.Bytes("credential_hash").Optional().Nillable().Comment("of a passkey's id"),
		field.Bytes("credential_sealed").Optional().Nillable().Sensitive().Comment("the public half of a passkey"),
		createdAt(),
		field.Time("confirmed_at").Optional().Nillable(),
		field.Time("used_at").Optional().Nillable(),
	}
}

// Edges of a Factor.
func (Factor) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("factors_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a Factor.
func (Factor) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("user_id").StorageKey("factors_user_idx"),
		index.Fields("credential_hash").Unique().StorageKey("factors_credential_key"),
		index.Fields("user_id").Unique().StorageKey("factors_unconfirmed_key").Annotations(entsql.IndexWhere("(confirmed_at IS NULL)")),
	}
}

// RecoveryCode stands in for a lost factor, once.
type RecoveryCode struct{ ent.Schema }

// Fields of a RecoveryCode.
func (RecoveryCode) Fields() []ent.Field {
	return []ent.Field{id(), foreignID("user_id"), field.Bytes("hash").Sensitive()}
}

// Edges of a RecoveryCode.
func (RecoveryCode) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("recovery_codes_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a RecoveryCode.
func (RecoveryCode) Indexes() []ent.Index {
	return []ent.Index{index.Fields("user_id", "hash").Unique().StorageKey("recovery_codes_user_hash_key")}
}

// Ceremony is what takes two requests, between them. Its id is a keyed hash of the token that the second one shows.
type Ceremony struct{ ent.Schema }

// Annotations of a Ceremony.
func (Ceremony) Annotations() []schema.Annotation { return table("ceremonies") }

// Fields of a Ceremony.
func (Ceremony) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("kind"),
		field.UUID("user_id", uuid.UUID{}).Optional().Nillable(),
		field.UUID("session_id", uuid.UUID{}).Optional().Nillable(),
		field.Bytes("state_sealed").Sensitive(),
		field.Time("expires_at"),
	}
}

// Edges of a Ceremony.
func (Ceremony) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Field("user_id").Unique().
			StorageKey(edge.Symbol("ceremonies_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
		edge.To("session", Session.Type).Field("session_id").Unique().
			StorageKey(edge.Symbol("ceremonies_session_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a Ceremony.
func (Ceremony) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("user_id").StorageKey("ceremonies_user_idx"),
		index.Fields("session_id").StorageKey("ceremonies_session_idx"),
		index.Fields("expires_at").StorageKey("ceremonies_expires_idx"),
	}
}
