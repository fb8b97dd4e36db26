-- What people tell about themselves beside their name and address, and whose data was erased.

-- +goose Up
-- Everything personal is sealed. What a username looks like stands beside it with the index, so that no two can be
-- mistaken for each other. Families share a telephone, so its index is not unique.
CREATE TABLE profiles (
    id                   uuid PRIMARY KEY,
    user_id              uuid NOT NULL CONSTRAINT profiles_user_fkey REFERENCES users ON DELETE CASCADE,
    username_sealed      bytea,
    look_sealed          bytea,
    username_index       bytea,
    phone_sealed         bytea,
    phone_index          bytea,
    city_sealed          bytea,
    accessibility_sealed bytea,
    locale               text,
    CONSTRAINT profiles_username_check CHECK ((username_sealed IS NULL) = (username_index IS NULL) AND (look_sealed IS NULL) = (username_index IS NULL)),
    CONSTRAINT profiles_phone_check CHECK ((phone_sealed IS NULL) = (phone_index IS NULL)),
    CONSTRAINT profiles_locale_check CHECK (locale ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$')
);
CREATE UNIQUE INDEX profiles_user_key ON profiles (user_id);
CREATE UNIQUE INDEX profiles_username_key ON profiles (username_index);
CREATE INDEX profiles_phone_idx ON profiles (phone_index);

-- Ids alone, of accounts that are no more: what a restored backup must forget again.
CREATE TABLE erasures (
    user_id   uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE erasures, profiles;
