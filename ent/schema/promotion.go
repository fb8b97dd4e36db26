package schema

import (
	"encoding/json"

	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Promotion is a code that makes tickets of a theater cheaper.
type Promotion struct{ ent.Schema }

// Fields of a Promotion.
func (Promotion) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("theater_id"),
		field.Text("code"),
		field.Text("label").Comment("for people"),
		field.Int32("basis_points").Default(0).Comment("below zero"),
		field.Int64("amount_minor").Default(0).Comment("below zero, of each ticket"),
		field.Time("starts_at"),
		field.Time("ends_at"),
		field.Int32("max_uses").Optional().Nillable(),
		field.Int64("max_minor").Optional().Nillable(),
		field.Int32("per_user").Optional().Nillable(),
		field.Bool("combinable").Default(false),
		field.JSON("scope", json.RawMessage{}).Annotations(entsql.DefaultExpr("'{}'")),
		field.Bool("active").Default(true),
		field.Int32("version").Default(1),
		field.Int32("used_count").Default(0),
		field.Int64("used_minor").Default(0),
		createdAt(),
	}
}

// Indexes of a Promotion.
func (Promotion) Indexes() []ent.Index {
	return []ent.Index{index.Fields("theater_id", "code").Unique().StorageKey("promotions_code_key")}
}

// PromotionRedemption is a use of a promotion, whose id it has, by a reservation.
type PromotionRedemption struct{ ent.Schema }

// Annotations of a PromotionRedemption.
func (PromotionRedemption) Annotations() []schema.Annotation { return table("promotion_redemptions") }

// Fields of a PromotionRedemption.
func (PromotionRedemption) Fields() []ent.Field {
	return []ent.Field{
		showtimeKey(),
		foreignID("reservation_id"),
		id(),
		foreignID("viewer_id"),
		field.Int64("amount_minor"),
		createdAt(),
		field.Time("returned_at").Optional().Nillable(),
	}
}

// Indexes of a PromotionRedemption.
func (PromotionRedemption) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("viewer_id", "id").StorageKey("promotion_redemptions_viewer_idx"),
		index.Fields("id").StorageKey("promotion_redemptions_promotion_idx"),
	}
}

// CodeGuess counts codes that do not exist, which the one of its id asked for.
type CodeGuess struct{ ent.Schema }

// Annotations of a CodeGuess.
func (CodeGuess) Annotations() []schema.Annotation { return table("code_guesses") }

// Fields of a CodeGuess.
func (CodeGuess) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Int32("wrong"),
		field.Time("began_at"),
	}
}

// Indexes of a CodeGuess.
func (CodeGuess) Indexes() []ent.Index {
	return []ent.Index{index.Fields("began_at").StorageKey("code_guesses_began_idx")}
}
