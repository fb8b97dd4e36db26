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

// FederatedIdentity is a person of an OpenID provider who has an account here.
type FederatedIdentity struct{ ent.Schema }

// Annotations of a FederatedIdentity.
func (FederatedIdentity) Annotations() []schema.Annotation { return table("federated_identities") }

// Fields of a FederatedIdentity.
func (FederatedIdentity) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("user_id"),
		field.Text("issuer"),
		field.Bytes("subject_sealed").Sensitive().Comment("who it is, among all people of the issuer"),
		field.Bytes("subject_index").Comment("blind"),
		field.Time("used_at").Comment("when it signed in last"),
		createdAt(),
	}
}

// Edges of a FederatedIdentity.
func (FederatedIdentity) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("federated_identities_user_fkey")).
			Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a FederatedIdentity.
func (FederatedIdentity) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("issuer", "subject_index").Unique().StorageKey("federated_identities_subject_key"),
		index.Fields("user_id").StorageKey("federated_identities_user_idx"),
	}
}

// ProviderFlow is a browser that has been sent to a provider and may come back once.
type ProviderFlow struct{ ent.Schema }

// Annotations of a ProviderFlow.
func (ProviderFlow) Annotations() []schema.Annotation { return table("provider_flows") }

// Fields of a ProviderFlow.
func (ProviderFlow) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("provider"),
		field.Text("redirect_uri"),
		field.UUID("session_id", uuid.UUID{}).Optional().Nillable().Comment("that wants to link; none: it wants to sign in"),
		field.Time("expires_at"),
	}
}

// Indexes of a ProviderFlow.
func (ProviderFlow) Indexes() []ent.Index {
	return []ent.Index{index.Fields("expires_at").StorageKey("provider_flows_expires_idx")}
}
