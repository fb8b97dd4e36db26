-- An account gets another address when both addresses have confirmed it.

-- +goose Up
-- What waits, one for each account. The present address consents by saying nothing for seven days; the next one has to
-- confirm within a day. The session that asked outlives the change; it may have ended by then.
CREATE TABLE email_changes (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL CONSTRAINT email_changes_user_fkey REFERENCES users ON DELETE CASCADE,
    session_id   uuid NOT NULL,
    email_sealed bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    taken_at     timestamptz,
    left_at      timestamptz,
    CONSTRAINT email_changes_waits_check CHECK (taken_at IS NULL OR left_at IS NULL)
);
CREATE UNIQUE INDEX email_changes_user_key ON email_changes (user_id);
CREATE INDEX email_changes_created_idx ON email_changes (created_at);

ALTER TABLE mailed_tokens DROP CONSTRAINT mailed_tokens_purpose_check,
    ADD CONSTRAINT mailed_tokens_purpose_check CHECK (purpose IN ('SIGN_UP', 'VERIFY', 'RESET', 'TAKE', 'LEAVE'));

-- +goose Down
DELETE FROM mailed_tokens WHERE purpose IN ('TAKE', 'LEAVE');
ALTER TABLE mailed_tokens DROP CONSTRAINT mailed_tokens_purpose_check,
    ADD CONSTRAINT mailed_tokens_purpose_check CHECK (purpose IN ('SIGN_UP', 'VERIFY', 'RESET'));
DROP TABLE email_changes;
