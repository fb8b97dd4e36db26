-- Second factors, recovery codes, and what is under way until somebody has proved one.

-- +goose Up
ALTER TABLE sessions
    ADD COLUMN proved_at timestamptz,
    ADD COLUMN strong boolean NOT NULL DEFAULT false;
UPDATE sessions SET proved_at = created_at;

-- An authenticator app, whose secret is sealed, or a passkey, of which only the public half is here. It counts from
-- confirmed_at on. used_step is the last 30 s step of which a code was used.
CREATE TABLE factors (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL CONSTRAINT factors_user_fkey REFERENCES users ON DELETE CASCADE,
    kind          text NOT NULL,
    name          text NOT NULL,
    secret        bytea,
    used_step     bigint NOT NULL DEFAULT 0,
    credential_id bytea,
    credential    bytea,
    created_at    timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    confirmed_at  timestamptz,
    used_at       timestamptz,
    CONSTRAINT factors_kind_check CHECK (kind IN ('TOTP', 'PASSKEY')),
    CONSTRAINT factors_totp_check CHECK ((kind = 'TOTP') = (secret IS NOT NULL)),
    CONSTRAINT factors_passkey_check CHECK ((kind = 'PASSKEY') = (credential_id IS NOT NULL) AND (credential_id IS NULL) = (credential IS NULL)),
    CONSTRAINT factors_name_length_check CHECK (length(name) BETWEEN 1 AND 100)
);
CREATE INDEX factors_user_idx ON factors (user_id);
CREATE UNIQUE INDEX factors_credential_key ON factors (credential_id);
-- At most one that is being enrolled.
CREATE UNIQUE INDEX factors_unconfirmed_key ON factors (user_id) WHERE confirmed_at IS NULL;

-- Codes that stand in for a lost factor, once each: a code that is used is deleted. The hash is keyed.
CREATE TABLE recovery_codes (
    id      uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT recovery_codes_user_fkey REFERENCES users ON DELETE CASCADE,
    hash    bytea NOT NULL
);
CREATE UNIQUE INDEX recovery_codes_user_hash_key ON recovery_codes (user_id, hash);

-- What takes two requests, between them: a sign-in that lacks the second factor, a passkey's challenge. The id is a
-- keyed hash of the token that the second request shows.
CREATE TABLE ceremonies (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL,
    user_id    uuid CONSTRAINT ceremonies_user_fkey REFERENCES users ON DELETE CASCADE,
    session_id uuid CONSTRAINT ceremonies_session_fkey REFERENCES sessions ON DELETE CASCADE,
    state      bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT ceremonies_kind_check CHECK (kind IN ('SIGN_IN', 'PASSKEY_SIGN_IN', 'PASSKEY_REGISTRATION', 'PASSKEY_PROOF'))
);
CREATE INDEX ceremonies_user_idx ON ceremonies (user_id);
CREATE INDEX ceremonies_session_idx ON ceremonies (session_id);
CREATE INDEX ceremonies_expires_idx ON ceremonies (expires_at);

-- +goose Down
DROP TABLE ceremonies, recovery_codes, factors;
ALTER TABLE sessions DROP COLUMN strong, DROP COLUMN proved_at;
