-- What those think of movies who saw them.

-- +goose Up
-- The document holds what is said: {"text": …, "aspects": {"movie": …, "picture": …, "sound": …, "seat": …}}, of which nothing
-- must be there. queued_at says since when moderators are to look at the review.
CREATE TABLE reviews (
    id         uuid PRIMARY KEY,
    movie_id   uuid NOT NULL,
    user_id    uuid NOT NULL,
    rating     smallint NOT NULL,
    spoiler    boolean NOT NULL DEFAULT false,
    named      boolean NOT NULL DEFAULT false,
    document   jsonb NOT NULL,
    status     text NOT NULL DEFAULT 'VISIBLE',
    hidden_for text,
    queued_at  timestamptz,
    helpful    integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    edited_at  timestamptz,
    CONSTRAINT reviews_movie_fkey FOREIGN KEY (movie_id) REFERENCES movies (id),
    CONSTRAINT reviews_user_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT reviews_rating_check CHECK (rating BETWEEN 1 AND 10),
    CONSTRAINT reviews_text_check CHECK (length(document ->> 'text') BETWEEN 1 AND 5000),
    CONSTRAINT reviews_aspects_check CHECK (
        jsonb_typeof(document) = 'object'
        AND (document #>> '{aspects,movie}')::integer BETWEEN 1 AND 10 IS NOT false
        AND (document #>> '{aspects,picture}')::integer BETWEEN 1 AND 10 IS NOT false
        AND (document #>> '{aspects,sound}')::integer BETWEEN 1 AND 10 IS NOT false
        AND (document #>> '{aspects,seat}')::integer BETWEEN 1 AND 10 IS NOT false),
    CONSTRAINT reviews_status_check CHECK (status IN ('VISIBLE', 'HIDDEN')),
    CONSTRAINT reviews_hidden_check CHECK ((status = 'HIDDEN') = (hidden_for IS NOT NULL)),
    CONSTRAINT reviews_fault_check CHECK (hidden_for IN ('SPAM', 'ABUSE', 'SPOILER', 'OFF_TOPIC', 'PERSONAL_DATA', 'OTHER')),
    CONSTRAINT reviews_helpful_check CHECK (helpful >= 0)
);
CREATE UNIQUE INDEX reviews_author_key ON reviews (movie_id, user_id);
CREATE INDEX reviews_user_idx ON reviews (user_id, id);
-- Keys of reviews sort by the time they were written. Each order of a movie's reviews is read from one of these.
CREATE INDEX reviews_newest_idx ON reviews (movie_id, id) WHERE (status = 'VISIBLE');
CREATE INDEX reviews_rating_idx ON reviews (movie_id, rating, id) WHERE (status = 'VISIBLE');
CREATE INDEX reviews_helpful_idx ON reviews (movie_id, helpful, id) WHERE (status = 'VISIBLE');
CREATE INDEX reviews_queue_idx ON reviews (queued_at, id) WHERE (queued_at IS NOT NULL);

-- What a review said before it was edited.
CREATE TABLE review_edits (
    id          uuid PRIMARY KEY,
    review_id   uuid NOT NULL,
    rating      smallint NOT NULL,
    spoiler     boolean NOT NULL,
    document    jsonb NOT NULL,
    replaced_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT review_edits_review_fkey FOREIGN KEY (review_id) REFERENCES reviews (id) ON DELETE CASCADE
);
CREATE INDEX review_edits_review_idx ON review_edits (review_id, id);

CREATE TABLE review_reports (
    id         uuid PRIMARY KEY,
    review_id  uuid NOT NULL,
    user_id    uuid NOT NULL,
    fault      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    settled_at timestamptz,
    CONSTRAINT review_reports_review_fkey FOREIGN KEY (review_id) REFERENCES reviews (id) ON DELETE CASCADE,
    CONSTRAINT review_reports_user_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT review_reports_fault_check CHECK (fault IN ('SPAM', 'ABUSE', 'SPOILER', 'OFF_TOPIC', 'PERSONAL_DATA', 'OTHER'))
);
CREATE UNIQUE INDEX review_reports_key ON review_reports (review_id, user_id);
CREATE INDEX review_reports_user_idx ON review_reports (user_id);

CREATE TABLE review_votes (
    id         uuid PRIMARY KEY,
    review_id  uuid NOT NULL,
    user_id    uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT review_votes_review_fkey FOREIGN KEY (review_id) REFERENCES reviews (id) ON DELETE CASCADE,
    CONSTRAINT review_votes_user_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX review_votes_key ON review_votes (review_id, user_id);
CREATE INDEX review_votes_user_idx ON review_votes (user_id);

-- How many visible reviews of a movie give it a rating: the histogram, of which count and mean follow.
CREATE TABLE movie_ratings (
    movie_id uuid NOT NULL,
    rating   smallint NOT NULL,
    reviews  integer NOT NULL DEFAULT 0,
    CONSTRAINT movie_ratings_pkey PRIMARY KEY (movie_id, rating),
    CONSTRAINT movie_ratings_movie_fkey FOREIGN KEY (movie_id) REFERENCES movies (id) ON DELETE CASCADE,
    CONSTRAINT movie_ratings_rating_check CHECK (rating BETWEEN 1 AND 10),
    CONSTRAINT movie_ratings_reviews_check CHECK (reviews >= 0)
);

-- Adds to the histograms. One order everywhere is what keeps statements that touch several rows from deadlocking.
-- +goose StatementBegin
CREATE FUNCTION add_ratings(p_movies uuid[], p_ratings smallint[], p_signs integer[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_change record;
BEGIN
    FOR v_change IN
        SELECT u.movie_id, u.rating, sum(u.sign) AS reviews FROM unnest(p_movies, p_ratings, p_signs) AS u (movie_id, rating, sign)
            GROUP BY u.movie_id, u.rating HAVING sum(u.sign) <> 0 ORDER BY u.movie_id, u.rating
    LOOP
        INSERT INTO movie_ratings (movie_id, rating) VALUES (v_change.movie_id, v_change.rating) ON CONFLICT DO NOTHING;
        UPDATE movie_ratings m SET reviews = m.reviews + v_change.reviews
            WHERE m.movie_id = v_change.movie_id AND m.rating = v_change.rating;
    END LOOP;
END $$;
-- +goose StatementEnd

-- Keeps the histograms exact at every commit, whoever changes reviews: their authors, moderators, the erasure of an account.
-- +goose StatementBegin
CREATE FUNCTION count_ratings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM add_ratings(array_agg(movie_id), array_agg(rating), array_agg(1)) FROM added WHERE status = 'VISIBLE';
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM add_ratings(array_agg(movie_id), array_agg(rating), array_agg(-1)) FROM removed WHERE status = 'VISIBLE';
    ELSE
        PERFORM add_ratings(array_agg(movie_id), array_agg(rating), array_agg(sign)) FROM (
            SELECT movie_id, rating, 1 AS sign FROM added WHERE status = 'VISIBLE'
            UNION ALL SELECT movie_id, rating, -1 FROM removed WHERE status = 'VISIBLE') AS changed;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER reviews_inserted AFTER INSERT ON reviews REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_ratings();
CREATE TRIGGER reviews_updated AFTER UPDATE ON reviews REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_ratings();
CREATE TRIGGER reviews_deleted AFTER DELETE ON reviews REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_ratings();

-- Keeps the votes of reviews exact in the same way; the argument is what a vote counts.
-- +goose StatementBegin
CREATE FUNCTION count_votes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_change record;
BEGIN
    FOR v_change IN SELECT review_id, count(*) AS votes FROM touched GROUP BY review_id ORDER BY review_id LOOP
        UPDATE reviews SET helpful = helpful + TG_ARGV[0]::integer * v_change.votes WHERE id = v_change.review_id;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER review_votes_inserted AFTER INSERT ON review_votes REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION count_votes('1');
CREATE TRIGGER review_votes_deleted AFTER DELETE ON review_votes REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION count_votes('-1');

-- +goose Down
DROP TABLE movie_ratings, review_votes, review_reports, review_edits, reviews;
DROP FUNCTION count_votes, count_ratings, add_ratings;
