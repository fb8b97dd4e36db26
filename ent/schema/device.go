package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// KnownDevice is a device in a network that an account was signed in to from. Its id is a keyed hash of the three.
type KnownDevice struct{ ent.Schema }

// Annotations of a KnownDevice.
func (KnownDevice) Annotations() []schema.Annotation { return table("known_devices") }

// Fields of a KnownDevice.
func (KnownDevice) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("user_id"),
		field.Time("seen_at").Comment("when it signed in last"),
	}
}

// Edges of a KnownDevice.
func (KnownDevice) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("known_devices_user_fkey")).
			Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a KnownDevice.
func (KnownDevice) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("user_id", "seen_at").StorageKey("known_devices_user_idx"),
		index.Fields("seen_at").StorageKey("known_devices_seen_idx"),
	}
}
