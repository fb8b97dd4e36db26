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

// Profile is what a person tells beside name and address.
type Profile struct{ ent.Schema }

// Fields of a Profile.
func (Profile) Fields() []ent.Field {
	sealed := func(name string) ent.Field { return field.Bytes(name).Optional().Nillable().Sensitive() }
	return []ent.Field{
		id(),
		foreignID("user_id"),
		sealed("username_sealed"),
		sealed("look_sealed"),
		field.Bytes("username_index").Optional().Nillable().Comment("blind, of what the username looks like"),
		sealed("phone_sealed"),
		field.Bytes("phone_index").Optional().Nillable().Comment("blind"),
		sealed("city_sealed"),
		sealed("accessibility_sealed"),
		field.Text("locale").Optional().Nillable(),
	}
}

// Edges of a Profile.
func (Profile) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("profiles_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a Profile.
func (Profile) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("user_id").Unique().StorageKey("profiles_user_key"),
		index.Fields("username_index").Unique().StorageKey("profiles_username_key"),
		index.Fields("phone_index").StorageKey("profiles_phone_idx"),
	}
}

// Erasure names an account that is no more.
type Erasure struct{ ent.Schema }

// Annotations of an Erasure.
func (Erasure) Annotations() []schema.Annotation { return table("erasures") }

// Fields of an Erasure.
func (Erasure) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).StorageKey("user_id").Immutable(),
		field.Time("erased_at"),
	}
}
