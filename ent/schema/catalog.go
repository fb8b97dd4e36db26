package schema

import (
	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/dialect/entsql"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"entgo.io/ent/schema/index"
)

// Movie is a title that can be shown.
type Movie struct{ ent.Schema }

// Fields of a Movie.
func (Movie) Fields() []ent.Field {
	return []ent.Field{
		id(),
		field.Text("title"),
		field.Time("release_date").SchemaType(map[string]string{dialect.Postgres: "date"}).Optional().Nillable(),
		field.Int32("run_time_minutes").Optional().Nillable(),
		field.Text("certificate").Optional().Nillable(),
		field.Text("director").Optional().Nillable(),
		field.Text("distributor").Optional().Nillable(),
		field.Int32("imdb_rating_tenths").Default(0).Comment("0: no rating known"),
		field.Int32("imdb_votes").Default(0),
		createdAt(),
	}
}

// Edges of a Movie.
func (Movie) Edges() []ent.Edge {
	return []ent.Edge{
		edge.To("genres", Genre.Type).StorageKey(
			edge.Table("movie_genres"),
			edge.Columns("movie_id", "genre_id"),
			edge.Symbols("movie_genres_movie_id", "movie_genres_genre_id"),
		),
		edge.To("showtimes", Showtime.Type).
			StorageKey(edge.Symbol("showtimes_movie_fkey")).
			Annotations(entsql.OnDelete(entsql.NoAction)),
	}
}

// Indexes of a Movie. Each ordering of the movie list has one; that by release date is on an expression and stands in
// the migration.
func (Movie) Indexes() []ent.Index {
	return []ent.Index{
		index.Fields("title", "id").StorageKey("movies_title_idx"),
		index.Fields("imdb_votes", "id").StorageKey("movies_votes_idx"),
		index.Fields("imdb_rating_tenths", "id").StorageKey("movies_rating_idx"),
	}
}

// Genre is a kind of movie.
type Genre struct{ ent.Schema }

// Fields of a Genre.
func (Genre) Fields() []ent.Field {
	return []ent.Field{id(), field.Text("name")}
}

// Edges of a Genre.
func (Genre) Edges() []ent.Edge {
	return []ent.Edge{edge.From("movies", Movie.Type).Ref("genres")}
}

// Indexes of a Genre.
func (Genre) Indexes() []ent.Index {
	return []ent.Index{index.Fields("name").Unique().StorageKey("genres_name_key")}
}
