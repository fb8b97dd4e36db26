package schema

import (
	"encoding/json"

	"entgo.io/ent"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
	"github.com/google/uuid"
)

// Review is what somebody says of a movie.
type Review struct{ ent.Schema }

// Fields of a Review.
func (Review) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("movie_id"),
		foreignID("user_id"),
		field.Int16("rating").Comment("1 to 10"),
		field.Bool("spoiler").Default(false),
		field.Bool("named").Default(false).Comment("whether a part of the author's name is shown"),
		field.JSON("document", json.RawMessage{}).Comment("text and aspects"),
		field.Text("status").Default("VISIBLE"),
		field.Text("hidden_for").Optional().Nillable(),
		field.Time("queued_at").Optional().Nillable().Comment("since when moderators are to look at it"),
		field.Int32("helpful").Default(0).Comment("votes; kept by a trigger"),
		createdAt(),
		field.Time("edited_at").Optional().Nillable(),
	}
}

// Edges of a Review.
func (Review) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("movie", Movie.Type).Field("movie_id").Unique().Required().
			StorageKey(edge.Symbol("reviews_movie_fkey")).Annotations(entsql.OnDelete(entsql.NoAction)),
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("reviews_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a Review. Each order of a movie's reviews has one.
func (Review) Indexes() []ent.Index {
	visible := entsql.IndexWhere("(status = 'VISIBLE'::text)")
	return []ent.Index{
		index.Fields("movie_id", "user_id").Unique().StorageKey("reviews_author_key"),
		index.Fields("user_id", "id").StorageKey("reviews_user_idx"),
		index.Fields("movie_id", "id").StorageKey("reviews_newest_idx").Annotations(visible),
		index.Fields("movie_id", "rating", "id").StorageKey("reviews_rating_idx").Annotations(visible),
		index.Fields("movie_id", "helpful", "id").StorageKey("reviews_helpful_idx").Annotations(visible),
		index.Fields("queued_at", "id").StorageKey("reviews_queue_idx").Annotations(entsql.IndexWhere("(queued_at IS NOT NULL)")),
	}
}

// ReviewEdit is what a review said before it was edited.
type ReviewEdit struct{ ent.Schema }

// Fields of a ReviewEdit.
func (ReviewEdit) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("review_id"),
		field.Int16("rating"),
		field.Bool("spoiler"),
		field.JSON("document", json.RawMessage{}),
		field.Time("replaced_at").Immutable().Annotations(now),
	}
}

// Edges of a ReviewEdit.
func (ReviewEdit) Edges() []ent.Edge {
	return []ent.Edge{ofReview("review_edits_review_fkey")}
}

// Indexes of a ReviewEdit.
func (ReviewEdit) Indexes() []ent.Index {
	return []ent.Index{index.Fields("review_id", "id").StorageKey("review_edits_review_idx")}
}

func ofReview(symbol string) ent.Edge {
	return edge.To("review", Review.Type).Field("review_id").Unique().Required().
		StorageKey(edge.Symbol(symbol)).Annotations(entsql.OnDelete(entsql.Cascade))
}

// ReviewReport says that somebody holds a review for improper.
type ReviewReport struct{ ent.Schema }

// Fields of a ReviewReport.
func (ReviewReport) Fields() []ent.Field {
	return []ent.Field{
		id(),
		foreignID("review_id"),
		foreignID("user_id"),
		field.Text("fault"),
		createdAt(),
		field.Time("settled_at").Optional().Nillable().Comment("when a moderator had looked"),
	}
}

// Edges of a ReviewReport.
func (ReviewReport) Edges() []ent.Edge {
	return []ent.Edge{
		ofReview("review_reports_review_fkey"),
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("review_reports_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a ReviewReport.
func (ReviewReport) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("review_id", "user_id").Unique().StorageKey("review_reports_key"),
		index.Fields("user_id").StorageKey("review_reports_user_idx"),
	}
}

// ReviewVote says that somebody finds a review helpful.
type ReviewVote struct{ ent.Schema }

// Fields of a ReviewVote.
func (ReviewVote) Fields() []ent.Field {
	return []ent.Field{id(), foreignID("review_id"), foreignID("user_id"), createdAt()}
}

// Edges of a ReviewVote.
func (ReviewVote) Edges() []ent.Edge {
	return []ent.Edge{
		ofReview("review_votes_review_fkey"),
		edge.To("user", User.Type).Field("user_id").Unique().Required().
			StorageKey(edge.Symbol("review_votes_user_fkey")).Annotations(entsql.OnDelete(entsql.Cascade)),
	}
}

// Indexes of a ReviewVote.
func (ReviewVote) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("review_id", "user_id").Unique().StorageKey("review_votes_key"),
		index.Fields("user_id").StorageKey("review_votes_user_idx"),
	}
}

// MovieRating says how many visible reviews of a movie give it a rating. Its key is composite.
type MovieRating struct{ ent.Schema }

// Annotations of a MovieRating.
func (MovieRating) Annotations() []schema.Annotation { return table("movie_ratings") }

// Fields of a MovieRating.
func (MovieRating) Fields() []ent.Field {
	return []ent.Field{
		field.UUID("movie_id", uuid.UUID{}).Immutable(),
		field.Int16("id").StorageKey("rating").Immutable().Annotations(entsql.Annotation{Incremental: new(bool)}),
		field.Int32("reviews").Default(0),
	}
}
