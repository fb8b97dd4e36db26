-- Mails are queued in the transaction that has the reason for them, and sent after it.

-- +goose Up
-- What is to be sent, and afterwards what became of it. The address and everything else that is in the mail is sealed,
-- and erased when it is settled.
CREATE TABLE mails (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL,
    state      text NOT NULL DEFAULT 'QUEUED',
    payload_sealed bytea,
    attempts   integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL,
    fault      text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    settled_at timestamptz,
    CONSTRAINT mails_state_check CHECK (state IN ('QUEUED', 'SENT', 'DROPPED', 'FAILED')),
    CONSTRAINT mails_payload_check CHECK ((state = 'QUEUED') = (payload_sealed IS NOT NULL)),
    CONSTRAINT mails_settled_check CHECK ((state = 'QUEUED') = (settled_at IS NULL)),
    CONSTRAINT mails_attempts_check CHECK (attempts >= 0)
);
CREATE INDEX mails_due_idx ON mails (due_at) WHERE state = 'QUEUED';
CREATE INDEX mails_settled_idx ON mails (settled_at) WHERE settled_at IS NOT NULL;

-- +goose Down
DROP TABLE mails;
