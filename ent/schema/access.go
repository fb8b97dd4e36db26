package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"
)

// RoleGrant is a role that a user was granted, at a theater or on the platform.
type RoleGrant struct{ ent.Schema }

// Fields of a RoleGrant.
func (RoleGrant) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("user_id"),
		field.Text("role"),
		field.UUID("theater_id", uuid.UUID{}).Optional().Nillable().Comment("none: the platform"),
		field.UUID("granted_by", uuid.UUID{}).Optional().Nillable().Comment("none: the command line"),
		field.Text("reason"),
		createdAt(),
	}
}

// Indexes of a RoleGrant. That a role is granted once at a place is a key that stands in the migration.
func (RoleGrant) Indexes() []ent.Index {
	return []ent.Index{index.Fields("theater_id", "role").StorageKey("role_grants_theater_idx")}
}
