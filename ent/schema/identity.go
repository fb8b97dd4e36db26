package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// User is a person with an account.
type User struct{ ent.Schema }

// Fields of a User.
func (User) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("email").Comment("normalised: trimmed, lower case"),
		field.Text("name"),
		field.Text("password_hash").Sensitive(),
		field.Text("role").Default("CUSTOMER"),
		createdAt(),
	}
}

// Edges of a User.
func (User) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("sessions", Session.Type).
			StorageKey(edge.Symbol("sessions_user_fkey")).
			Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a User.
func (User) Indexes() []ent.Index {
	return []ent.Index{index.Fields("email").Unique().StorageKey("users_email_key")}
}

// Session is one signed-in device; the token itself is never stored.
type Session struct{ ent.Schema }

// Fields of a Session.
func (Session) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("user_id"),
		field.Bytes("token_hash").Sensitive().Comment("SHA-256 of the bearer token"),
		createdAt(),
		field.Time("expires_at"),
	}
}

// Edges of a Session.
func (Session) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("user", User.Type).Ref("sessions").Field("user_id").Unique().Required(),
	}
}

// Indexes of a Session.
func (Session) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("token_hash").Unique().StorageKey("sessions_token_hash_key"),
		index.Fields("user_id").StorageKey("sessions_user_idx"),
		index.Fields("expires_at").StorageKey("sessions_expires_idx"),
	}
}
