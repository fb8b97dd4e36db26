package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// LedgerTransfer is a movement of money between two accounts of a theater. It stays as it is.
type LedgerTransfer struct{ ent.Schema }

// Annotations of a LedgerTransfer.
func (LedgerTransfer) Annotations() []schema.Annotation { return table("ledger_transfers") }

// Fields of a LedgerTransfer.
func (LedgerTransfer) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		id(),
		foreignID("theater_id"),
		foreignID("payment_id"),
		foreignID("subject_id"), // the attempt or the refund that moved it
		field.Text("kind").Immutable(),
		field.Text("debit").Immutable(),
		field.Text("credit").Immutable(),
		field.Text("gateway").Immutable(),
		field.Int64("amount_minor").Immutable(),
		field.Text("currency").Immutable(),
		createdAt(),
	}
}

// Indexes of a LedgerTransfer.
func (LedgerTransfer) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("showtime_id", "subject_id", "kind").Unique().StorageKey("ledger_transfers_subject_key"),
		index.Fields("theater_id", "created_at").StorageKey("ledger_transfers_theater_idx"),
	}
}
