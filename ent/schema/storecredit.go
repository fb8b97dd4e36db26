package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"
)

// StoreCredit is what a theater owes a customer for coming back.
type StoreCredit struct{ ent.Schema }

// Annotations of a StoreCredit.
func (StoreCredit) Annotations() []schema.Annotation { return table("store_credits") }

// Fields of a StoreCredit.
func (StoreCredit) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("customer_id"), // of an account that may be gone
		foreignID("theater_id"),
		field.Text("currency").Immutable(),
		createdAt(),
	}
}

// Indexes of a StoreCredit.
func (StoreCredit) Indexes() []ent.Index {
	return []ent.Index{index.Fields("customer_id", "theater_id", "currency").Unique().StorageKey("store_credits_customer_key")}
}

// StoreCreditEntry is a change of a credit. It stays as it is.
type StoreCreditEntry struct{ ent.Schema }

// Annotations of a StoreCreditEntry.
func (StoreCreditEntry) Annotations() []schema.Annotation { return table("store_credit_entries") }

// Fields of a StoreCreditEntry.
func (StoreCreditEntry) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("credit_id"),
		field.Text("kind").Immutable(),
		field.Text("key").Immutable(),
		field.Text("charge_key").Optional().Nillable().Immutable(),
		field.Int64("amount_minor").Immutable(),
		createdAt(),
	}
}

// Indexes of a StoreCreditEntry.
func (StoreCreditEntry) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("credit_id", "kind", "key").Unique().StorageKey("store_credit_entries_key"),
		index.Fields("charge_key").StorageKey("store_credit_entries_charge_idx"),
	}
}

// StoreCreditCharge is what was asked of a credit to pay with.
type StoreCreditCharge struct{ ent.Schema }

// Annotations of a StoreCreditCharge.
func (StoreCreditCharge) Annotations() []schema.Annotation { return table("store_credit_charges") }

// Fields of a StoreCreditCharge.
func (StoreCreditCharge) Fields() []ent.Field {
	return []ent.Field{
		field.Text("id").StorageKey("key").Immutable(),
		foreignID("reference"),
		field.UUID("credit_id", uuid.UUID{}).Optional().Nillable().Immutable(),
		field.Text("status"),
		field.Int64("amount_minor").Immutable(),
		field.Int64("captured_minor").Default(0),
		field.Text("currency").Immutable(),
		field.Text("decline_code").Optional().Nillable(),
		createdAt(),
	}
}

// Indexes of a StoreCreditCharge.
func (StoreCreditCharge) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("credit_id").StorageKey("store_credit_charges_held_idx").Annotations(entsql.IndexWhere("(status = 'AUTHORIZED'::text)")),
	}
}
