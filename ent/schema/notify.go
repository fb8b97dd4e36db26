package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Mail is a mail to be sent, or the record of what became of it.
type Mail struct{ ent.Schema }

// Annotations of a Mail.
func (Mail) Annotations() []schema.Annotation { return table("mails") }

// Fields of a Mail.
func (Mail) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("kind"),
		field.Text("state").Default("QUEUED"),
		field.Bytes("payload_sealed").Optional().Nillable().Sensitive().Comment("whom to and what; erased when settled"),
		field.Int32("attempts").Default(0),
		field.Time("due_at"),
		field.Text("fault").Default("").Comment("why the last attempt failed, without the address"),
		createdAt(),
		field.Time("settled_at").Optional().Nillable(),
	}
}

// Indexes of a Mail.
func (Mail) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("due_at").StorageKey("mails_due_idx").Annotations(entsql.IndexWhere("(state = 'QUEUED'::text)")),
		index.Fields("settled_at").StorageKey("mails_settled_idx").Annotations(entsql.IndexWhere("(settled_at IS NOT NULL)")),
	}
}
