package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/field"
	"github.com/google/uuid"
)

// SeatRules are what a theater demands of a selection of seats; one without a row has the defaults.
type SeatRules struct{ ent.Schema }

// Annotations of SeatRules.
func (SeatRules) Annotations() []schema.Annotation { return table("seat_rules") }

// Fields of SeatRules.
func (SeatRules) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("id", uuid.UUID{}).StorageKey("theater_id").Immutable(),
		field.Bool("no_seat_left_alone"),
		field.Int16("relaxed_at_free_percent"),
		field.Int32("relaxed_minutes_before_start"),
		field.Int32("accessible_release_minutes"),
		field.Time("updated_at").Annotations(now),
	}
}
