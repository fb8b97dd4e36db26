-- +goose Up
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text NOT NULL,
    name          text NOT NULL,
    password_hash text NOT NULL,
    role          text NOT NULL DEFAULT 'CUSTOMER',
    created_at    timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT users_email_length_check CHECK (length(email) BETWEEN 3 AND 254),
    CONSTRAINT users_name_length_check CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT users_role_check CHECK (role IN ('CUSTOMER', 'THEATER_MANAGER', 'ADMIN'))
);
CREATE UNIQUE INDEX users_email_key ON users (email);

CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at timestamptz NOT NULL,
    CONSTRAINT sessions_user_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX sessions_token_hash_key ON sessions (token_hash);
CREATE INDEX sessions_user_idx ON sessions (user_id);
CREATE INDEX sessions_expires_idx ON sessions (expires_at);

CREATE TABLE genres (
    id   uuid PRIMARY KEY,
    name text NOT NULL
);
CREATE UNIQUE INDEX genres_name_key ON genres (name);

CREATE TABLE movies (
    id                 uuid PRIMARY KEY,
    title              text NOT NULL,
    release_date       date,
    run_time_minutes   integer,
    certificate        text,
    director           text,
    distributor        text,
    imdb_rating_tenths integer NOT NULL DEFAULT 0,
    imdb_votes         integer NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT movies_title_length_check CHECK (length(title) BETWEEN 1 AND 300),
    CONSTRAINT movies_run_time_check CHECK (run_time_minutes BETWEEN 1 AND 1000),
    CONSTRAINT movies_imdb_rating_check CHECK (imdb_rating_tenths BETWEEN 0 AND 100),
    CONSTRAINT movies_imdb_votes_check CHECK (imdb_votes >= 0)
);
CREATE INDEX movies_title_idx ON movies (title, id);
-- A movie whose release date is not known counts as the oldest.
CREATE INDEX movies_release_idx ON movies ((coalesce(release_date, '0001-01-01'::date)), id);
CREATE INDEX movies_votes_idx ON movies (imdb_votes, id);
CREATE INDEX movies_rating_idx ON movies (imdb_rating_tenths, id);

CREATE TABLE movie_genres (
    movie_id uuid NOT NULL,
    genre_id uuid NOT NULL,
    PRIMARY KEY (movie_id, genre_id),
    CONSTRAINT movie_genres_movie_id FOREIGN KEY (movie_id) REFERENCES movies (id) ON DELETE CASCADE,
    CONSTRAINT movie_genres_genre_id FOREIGN KEY (genre_id) REFERENCES genres (id) ON DELETE CASCADE
);
CREATE INDEX movie_genres_genre_idx ON movie_genres (genre_id, movie_id);

CREATE TABLE theaters (
    id            uuid PRIMARY KEY,
    name          text NOT NULL,
    address       text NOT NULL,
    city          text NOT NULL,
    country_code  text NOT NULL,
    latitude      double precision NOT NULL,
    longitude     double precision NOT NULL,
    time_zone     text NOT NULL,
    currency      text NOT NULL,
    opens_minute  integer NOT NULL,
    closes_minute integer NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT theaters_country_check CHECK (country_code ~ '^[A-Z]{2}$'),
    CONSTRAINT theaters_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT theaters_coordinates_check CHECK (latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180),
    CONSTRAINT theaters_hours_check CHECK (opens_minute BETWEEN 0 AND 1439 AND closes_minute > opens_minute AND closes_minute <= opens_minute + 1440)
);
CREATE UNIQUE INDEX theaters_name_key ON theaters (city, name);
CREATE INDEX theaters_listing_idx ON theaters (name, id);

CREATE TABLE screens (
    id               uuid PRIMARY KEY,
    theater_id       uuid NOT NULL,
    name             text NOT NULL,
    trailer_minutes  integer NOT NULL,
    cleaning_minutes integer NOT NULL,
    CONSTRAINT screens_theater_fkey FOREIGN KEY (theater_id) REFERENCES theaters (id),
    CONSTRAINT screens_minutes_check CHECK (trailer_minutes BETWEEN 0 AND 120 AND cleaning_minutes BETWEEN 0 AND 240),
    CONSTRAINT screens_theater_key UNIQUE (id, theater_id)
);
CREATE UNIQUE INDEX screens_name_key ON screens (theater_id, name);

-- A layout is an immutable version of a screen's seats, numbered 1 to seat_count without a gap.
CREATE TABLE seat_layouts (
    id         uuid PRIMARY KEY,
    screen_id  uuid NOT NULL,
    version    integer NOT NULL,
    seat_count integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT seat_layouts_screen_fkey FOREIGN KEY (screen_id) REFERENCES screens (id),
    CONSTRAINT seat_layouts_version_check CHECK (version > 0),
    CONSTRAINT seat_layouts_seat_count_check CHECK (seat_count BETWEEN 1 AND 10000),
    CONSTRAINT seat_layouts_screen_key UNIQUE (id, screen_id)
);
CREATE UNIQUE INDEX seat_layouts_version_key ON seat_layouts (screen_id, version);

CREATE TABLE seats (
    id           uuid PRIMARY KEY,
    layout_id    uuid NOT NULL,
    seat_no      smallint NOT NULL,
    row_label    text NOT NULL,
    number       smallint NOT NULL,
    x            smallint NOT NULL,
    y            smallint NOT NULL,
    category     text NOT NULL,
    group_no     smallint NOT NULL DEFAULT 0,
    companion_of smallint NOT NULL DEFAULT 0,
    CONSTRAINT seats_layout_fkey FOREIGN KEY (layout_id) REFERENCES seat_layouts (id),
    CONSTRAINT seats_seat_no_check CHECK (seat_no > 0),
    CONSTRAINT seats_category_check CHECK (category IN ('STANDARD', 'PREMIUM', 'RECLINER', 'LOVE_SEAT', 'WHEELCHAIR', 'COMPANION'))
);
CREATE UNIQUE INDEX seats_seat_no_key ON seats (layout_id, seat_no);
CREATE UNIQUE INDEX seats_label_key ON seats (layout_id, row_label, number);
CREATE UNIQUE INDEX seats_place_key ON seats (layout_id, x, y);

-- occupied_until is the end of the film plus cleaning: until then the screen is not free.
CREATE TABLE showtimes (
    id             uuid PRIMARY KEY,
    movie_id       uuid NOT NULL,
    theater_id     uuid NOT NULL,
    screen_id      uuid NOT NULL,
    layout_id      uuid NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    occupied_until timestamptz NOT NULL,
    format         text NOT NULL,
    language       text NOT NULL,
    subtitles      text,
    status         text NOT NULL DEFAULT 'SCHEDULED',
    created_at     timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT showtimes_movie_fkey FOREIGN KEY (movie_id) REFERENCES movies (id),
    CONSTRAINT showtimes_theater_fkey FOREIGN KEY (theater_id) REFERENCES theaters (id),
    CONSTRAINT showtimes_screen_fkey FOREIGN KEY (screen_id, theater_id) REFERENCES screens (id, theater_id),
    CONSTRAINT showtimes_layout_fkey FOREIGN KEY (layout_id, screen_id) REFERENCES seat_layouts (id, screen_id),
    CONSTRAINT showtimes_order_check CHECK (starts_at < ends_at AND ends_at <= occupied_until),
    CONSTRAINT showtimes_status_check CHECK (status IN ('SCHEDULED', 'CANCELLED')),
    CONSTRAINT showtimes_overlap_excl EXCLUDE USING gist (screen_id WITH =, tstzrange(starts_at, occupied_until) WITH &&) WHERE (status <> 'CANCELLED')
);
CREATE INDEX showtimes_starts_idx ON showtimes (starts_at, id);
CREATE INDEX showtimes_movie_idx ON showtimes (movie_id, starts_at, id);
CREATE INDEX showtimes_theater_idx ON showtimes (theater_id, starts_at, id);

CREATE TABLE price_tiers (
    id           uuid PRIMARY KEY,
    showtime_id  uuid NOT NULL,
    category     text NOT NULL,
    amount_minor bigint NOT NULL,
    CONSTRAINT price_tiers_showtime_fkey FOREIGN KEY (showtime_id) REFERENCES showtimes (id) ON DELETE CASCADE,
    CONSTRAINT price_tiers_amount_check CHECK (amount_minor >= 0),
    CONSTRAINT price_tiers_category_check CHECK (category IN ('STANDARD', 'PREMIUM', 'RECLINER', 'LOVE_SEAT', 'WHEELCHAIR', 'COMPANION'))
);
CREATE UNIQUE INDEX price_tiers_category_key ON price_tiers (showtime_id, category);

-- +goose Down
DROP TABLE price_tiers, showtimes, seats, seat_layouts, screens, theaters, movie_genres, movies, genres, sessions, users;
