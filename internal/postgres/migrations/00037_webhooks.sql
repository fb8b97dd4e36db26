-- The inbox of webhooks: what gateways told of charges, each event once.

-- +goose Up
CREATE TABLE webhook_events (
    id               uuid NOT NULL,
    gateway          text NOT NULL,
    event_id         text NOT NULL,
    kind             text NOT NULL,
    charge_key       text NOT NULL,
    charge_reference text NOT NULL,
    state            text NOT NULL,
    occurred_at      timestamptz NOT NULL,
    received_at      timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    processed_at     timestamptz,
    -- Of the attempt, once it is found. Its rows may be gone: the event stays.
    showtime_id      uuid,
    reservation_id   uuid,
    payment_id       uuid,
    CONSTRAINT webhook_events_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_events_event_key UNIQUE (gateway, event_id),
    CONSTRAINT webhook_events_kind_check CHECK (kind IN ('CHARGE', 'REFUND', 'DISPUTE', 'OTHER')),
    CONSTRAINT webhook_events_state_check CHECK (state IN ('RECEIVED', 'PROCESSED', 'UNKNOWN_PAYMENT', 'FAILED')),
    CONSTRAINT webhook_events_processed_check CHECK ((state = 'PROCESSED') = (processed_at IS NOT NULL)),
    CONSTRAINT webhook_events_found_check CHECK ((showtime_id IS NULL) = (payment_id IS NULL) AND (showtime_id IS NULL) = (reservation_id IS NULL))
);
-- For the list and for deleting what is old.
CREATE INDEX webhook_events_received_idx ON webhook_events (received_at, id);
-- What somebody has to look at, which is little.
CREATE INDEX webhook_events_open_idx ON webhook_events (received_at, id) WHERE state <> 'PROCESSED';
CREATE INDEX webhook_events_disputes_idx ON webhook_events (received_at, id) WHERE kind = 'DISPUTE';

-- Gateways name charges by ids of their own. An attempt is given one when its funds are reserved, and keeps it.
CREATE INDEX payment_attempts_reference_idx ON payment_attempts (gateway_reference) WHERE gateway_reference IS NOT NULL;

-- +goose Down
DROP INDEX payment_attempts_reference_idx;
DROP TABLE webhook_events;
