package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Showtime is one projection of a movie on a screen. What the claim of seats reads stands in ShowtimeSale.
type Showtime struct{ ent.Schema }

// Fields of a Showtime.
func (Showtime) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("movie_id"),
		foreignID("theater_id"),
		foreignID("screen_id"),
		foreignID("layout_id"),
		field.Time("starts_at"),
		field.Time("ends_at"),
		field.Time("occupied_until").Comment("ends_at and the cleaning after it"),
		field.Text("format"),
		field.Text("language").Comment("BCP 47"),
		field.Text("subtitles").Optional().Nillable().Comment("BCP 47"),
		field.Text("status").Default("SCHEDULED"),
		createdAt(),
		field.Int32("version").Default(1).Comment("counts the changes from 1"),
	}
}

// Edges of a Showtime. Screen and layout have none: their foreign keys are composite and stand in the migration.
func (Showtime) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("movie", Movie.Type).Ref("showtimes").Field("movie_id").Unique().Required(),
		edge.From("theater", Theater.Type).Ref("showtimes").Field("theater_id").Unique().Required(),
		edge.To("price_tiers", PriceTier.Type).
			StorageKey(edge.Symbol("price_tiers_showtime_fkey")).
			Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a Showtime.
func (Showtime) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("starts_at", "id").StorageKey("showtimes_starts_idx"),
		index.Fields("movie_id", "starts_at", "id").StorageKey("showtimes_movie_idx"),
		index.Fields("theater_id", "starts_at", "id").StorageKey("showtimes_theater_idx"),
	}
}

// PriceTier is the price of one seat category at a showtime, in minor units of the theater's currency.
type PriceTier struct{ ent.Schema }

// Fields of a PriceTier.
func (PriceTier) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("showtime_id"),
		field.Text("category"),
		field.Int64("amount_minor"),
	}
}

// Edges of a PriceTier.
func (PriceTier) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("showtime", Showtime.Type).Ref("price_tiers").Field("showtime_id").Unique().Required(),
	}
}

// Indexes of a PriceTier.
func (PriceTier) Indexes() []ent.Index {
	return []ent.Index{index.Fields("showtime_id", "category").Unique().StorageKey("price_tiers_category_key")}
}
