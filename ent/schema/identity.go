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

// User is a person with an account.
type User struct{ ent.Schema }

// Fields of a User.
func (User) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Bytes("email_sealed").Sensitive().Comment("normalised: trimmed, lower case"),
		field.Bytes("email_index").Sensitive().Comment("of the address, blind"),
		field.Bytes("name_sealed").Sensitive(),
		field.Text("password_hash").Optional().Sensitive().Comment("none: the user signs in another way"),
		field.Time("disabled_at").Optional().Nillable().Comment("since when nobody can sign in to it"),
		field.Text("disabled_reason").Optional().Nillable(),
		field.Time("email_verified_at").Optional().Nillable(),
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
	return []ent.Index{index.Fields("email_index").Unique().StorageKey("users_email_index_key")}
}

// Session is one signed-in device; the token itself is never stored.
type Session struct{ ent.Schema }

// Fields of a Session.
func (Session) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("user_id"),
		field.Bytes("device_sealed").Optional().Nillable().Sensitive().Comment("what the device called itself"),
		field.Bytes("salt").Sensitive().Comment("part of what its refresh tokens are made of"),
		field.Int64("renewals").Default(0),
		field.Time("renewed_at"),
		field.Int32("generation").Default(1).Comment("of the access tokens that count"),
		field.Time("proved_at").Optional().Nillable().Comment("when its user was proved last"),
		field.Bool("strong").Default(false).Comment("whether a second factor was proved in it"),
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
		index.Fields("user_id").StorageKey("sessions_user_idx"),
		index.Fields("expires_at").StorageKey("sessions_expires_idx"),
	}
}

// SessionRevocation recalls the access tokens of a session that was ended or changed before their time. Its id is the
// session's, which may be gone.
type SessionRevocation struct{ ent.Schema }

// Annotations of a SessionRevocation.
func (SessionRevocation) Annotations() []schema.Annotation { return table("session_revocations") }

// Fields of a SessionRevocation.
func (SessionRevocation) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).StorageKey("session_id").Immutable(),
		field.Int32("generation").Comment("the first that counts"),
		field.Time("noted_at"),
	}
}

// Indexes of a SessionRevocation.
func (SessionRevocation) Indexes() []ent.Index {
	return []ent.Index{index.Fields("noted_at").StorageKey("session_revocations_noted_idx")}
}

// Guess counts how often in a row a secret was guessed wrong. Its id is a keyed hash of what it counts for.
type Guess struct{ ent.Schema }

// Annotations of a Guess.
func (Guess) Annotations() []schema.Annotation { return table("guesses") }

// Fields of a Guess.
func (Guess) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Int32("failures").Default(0),
		field.Time("failed_at"),
		field.Time("succeeded_at").Optional().Nillable().Comment("when the source last signed in to the account"),
	}
}

// Indexes of a Guess.
func (Guess) Indexes() []ent.Index {
	return []ent.Index{index.Fields("failed_at").StorageKey("guesses_failed_idx")}
}
