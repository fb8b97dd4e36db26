-- Sessions carry what renews them instead of the token itself, and wrong passwords are counted.

-- +goose Up
-- The tokens of before cannot be turned into the tokens of after: everybody signs in again.
DELETE FROM sessions;
DROP INDEX sessions_token_hash_key;
ALTER TABLE sessions
    DROP COLUMN token_hash,
    ADD COLUMN device text NOT NULL DEFAULT '',
    ADD COLUMN salt bytea NOT NULL,
    ADD COLUMN renewals bigint NOT NULL DEFAULT 0,
    ADD COLUMN renewed_at timestamptz NOT NULL,
    ADD COLUMN generation integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT sessions_device_length_check CHECK (length(device) <= 200);

-- Sessions of which access tokens were recalled before their time. Kept as long as such a token can live.
CREATE TABLE session_revocations (
    session_id uuid PRIMARY KEY,
    generation integer NOT NULL,
    noted_at   timestamptz NOT NULL
);
CREATE INDEX session_revocations_noted_idx ON session_revocations (noted_at);

-- How often in a row a secret was guessed wrong, by what it was guessed for: an account, a source, or a source at an
-- account. The id is a keyed hash of that. succeeded_at is when a source last signed in to an account.
CREATE TABLE guesses (
    id           uuid PRIMARY KEY,
    failures     integer NOT NULL DEFAULT 0,
    failed_at    timestamptz NOT NULL,
    succeeded_at timestamptz,
    CONSTRAINT guesses_failures_check CHECK (failures >= 0)
);
CREATE INDEX guesses_failed_idx ON guesses (failed_at);

-- +goose Down
DROP TABLE guesses, session_revocations;
DELETE FROM sessions;
ALTER TABLE sessions
    DROP CONSTRAINT sessions_device_length_check,
    DROP COLUMN generation, DROP COLUMN renewed_at, DROP COLUMN renewals, DROP COLUMN salt, DROP COLUMN device,
    ADD COLUMN token_hash bytea NOT NULL;
CREATE UNIQUE INDEX sessions_token_hash_key ON sessions (token_hash);
