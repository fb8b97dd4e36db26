package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Theater is a site with screens.
type Theater struct{ ent.Schema }

// Fields of a Theater.
func (Theater) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("name"),
		field.Text("address"),
		field.Text("city"),
		field.Text("country_code").Comment("ISO 3166-1 alpha-2"),
		field.Float("latitude"),
		field.Float("longitude"),
		field.Text("time_zone").Comment("IANA name"),
		field.Text("currency").Comment("ISO 4217"),
		field.Int32("opens_minute").Comment("minutes after local midnight"),
		field.Int32("closes_minute").Comment("minutes after local midnight of the day it opened; may pass 1440"),
		createdAt(),
	}
}

// Edges of a Theater.
func (Theater) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("screens", Screen.Type).
			StorageKey(edge.Symbol("screens_theater_fkey")).
			Annotations(entsql.OnDelete(entsql.NoAction)),
		edge.To("showtimes", Showtime.Type).
			StorageKey(edge.Symbol("showtimes_theater_fkey")).
			Annotations(entsql.OnDelete(entsql.NoAction)),
	}
}

// Indexes of a Theater.
func (Theater) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("city", "name").Unique().StorageKey("theaters_name_key"),
		index.Fields("name", "id").StorageKey("theaters_listing_idx"),
	}
}

// Screen is one auditorium of a theater.
type Screen struct{ ent.Schema }

// Fields of a Screen.
func (Screen) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("theater_id"),
		field.Text("name"),
		field.Int32("trailer_minutes"),
		field.Int32("cleaning_minutes"),
	}
}

// Edges of a Screen.
func (Screen) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("theater", Theater.Type).Ref("screens").Field("theater_id").Unique().Required(),
		edge.To("layouts", SeatLayout.Type).
			StorageKey(edge.Symbol("seat_layouts_screen_fkey")).
			Annotations(entsql.OnDelete(entsql.NoAction)),
	}
}

// Indexes of a Screen.
func (Screen) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("theater_id", "name").Unique().StorageKey("screens_name_key"),
		index.Fields("id", "theater_id").Unique().StorageKey("screens_theater_key"),
	}
}

// SeatLayout is an immutable version of a screen's seats.
type SeatLayout struct{ ent.Schema }

// Fields of a SeatLayout.
func (SeatLayout) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("screen_id"),
		field.Int32("version"),
		field.Int32("seat_count"),
		createdAt(),
	}
}

// Edges of a SeatLayout.
func (SeatLayout) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("screen", Screen.Type).Ref("layouts").Field("screen_id").Unique().Required(),
		edge.To("seats", Seat.Type).
			StorageKey(edge.Symbol("seats_layout_fkey")).
			Annotations(entsql.OnDelete(entsql.NoAction)),
	}
}

// Indexes of a SeatLayout.
func (SeatLayout) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("screen_id", "version").Unique().StorageKey("seat_layouts_version_key"),
		index.Fields("id", "screen_id").Unique().StorageKey("seat_layouts_screen_key"),
	}
}

// Seat is a physical place in a layout.
type Seat struct{ ent.Schema }

// Fields of a Seat.
func (Seat) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("layout_id"),
		field.Int16("seat_no").Comment("1 to the layout's seat_count without a gap"),
		field.Text("row_label"),
		field.Int16("number").Comment("as printed on the seat"),
		field.Int16("x").Comment("column of the drawing grid; a gap is an aisle"),
		field.Int16("y").Comment("row of the drawing grid, 1 nearest to the screen"),
		field.Text("category"),
		field.Int16("group_no").Default(0).Comment("seats of one non-zero group are sold together"),
		field.Int16("companion_of").Default(0).Comment("seat_no of the wheelchair place it accompanies"),
	}
}

// Edges of a Seat.
func (Seat) Edges() []ent.Edge {
	return []ent.Edge{
		edge.From("layout", SeatLayout.Type).Ref("seats").Field("layout_id").Unique().Required(),
	}
}

// Indexes of a Seat.
func (Seat) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("layout_id", "seat_no").Unique().StorageKey("seats_seat_no_key"),
		index.Fields("layout_id", "row_label", "number").Unique().StorageKey("seats_label_key"),
		index.Fields("layout_id", "x", "y").Unique().StorageKey("seats_place_key"),
	}
}
