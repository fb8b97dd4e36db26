-- Signing in through OpenID providers: who of theirs is who of ours, and the flows that are under way.

-- +goose Up
-- An account may have no password: its owner signs in through a provider.
ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL;

-- A person of a provider, for ever (OpenID Connect Core, section 5.7), and whose account that is.
CREATE TABLE federated_identities (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL CONSTRAINT federated_identities_user_fkey REFERENCES users (id) ON DELETE CASCADE,
    issuer     text NOT NULL,
    subject    text NOT NULL,
    used_at    timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT federated_identities_subject_check CHECK (length(subject) BETWEEN 1 AND 255)
);
CREATE UNIQUE INDEX federated_identities_subject_key ON federated_identities (issuer, subject);
CREATE INDEX federated_identities_user_idx ON federated_identities (user_id);

-- A browser that has been sent to a provider and may come back once. Everything secret about it is derived from its id
-- and the installation's secret. session_id is the session that wants to link the provider; NULL: it wants to sign in.
CREATE TABLE provider_flows (
    id           uuid PRIMARY KEY,
    provider     text NOT NULL,
    redirect_uri text NOT NULL,
    session_id   uuid,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX provider_flows_expires_idx ON provider_flows (expires_at);

-- +goose Down
DROP TABLE provider_flows, federated_identities;
DELETE FROM users WHERE password_hash IS NULL;
ALTER TABLE users ALTER COLUMN password_hash SET NOT NULL;
