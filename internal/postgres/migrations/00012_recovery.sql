-- What is sent by mail to come back: proofs that an address is somebody's, and recoveries.

-- +goose Up
ALTER TABLE users ADD COLUMN email_verified_at timestamptz;

-- The id is a keyed hash of the token that stands in the mail. A token that is used is deleted. The address is the one
-- it was sent to: an account that has another one meanwhile is not proved by it.
CREATE TABLE mailed_tokens (
    id           uuid PRIMARY KEY,
    purpose      text NOT NULL,
    user_id      uuid CONSTRAINT mailed_tokens_user_fkey REFERENCES users ON DELETE CASCADE,
    email_sealed bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at   timestamptz NOT NULL,
    CONSTRAINT mailed_tokens_purpose_check CHECK (purpose IN ('SIGN_UP', 'VERIFY', 'RESET')),
    CONSTRAINT mailed_tokens_user_check CHECK ((purpose = 'SIGN_UP') = (user_id IS NULL))
);
CREATE INDEX mailed_tokens_user_idx ON mailed_tokens (user_id);
CREATE INDEX mailed_tokens_expires_idx ON mailed_tokens (expires_at);

-- +goose Down
DROP TABLE mailed_tokens;
ALTER TABLE users DROP COLUMN email_verified_at;
