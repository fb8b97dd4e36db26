-- The books of gateways are held against ours: runs of that, and where they disagree. Neither table is of the core.

-- +goose Up
-- Gateways know an attempt by its id alone, which is made in the order of time; what was carried, by the id of where it was taken.
CREATE INDEX payment_attempts_id_idx ON payment_attempts (id);
CREATE INDEX payment_attempts_origin_idx ON payment_attempts (origin_key) WHERE (origin_key IS NOT NULL);

CREATE TABLE reconciliations (
    id           uuid PRIMARY KEY,
    gateway      text NOT NULL,
    period_from  timestamptz NOT NULL,
    period_to    timestamptz NOT NULL CHECK (period_to > period_from),
    outcome      text NOT NULL DEFAULT 'RUNNING' CHECK (outcome IN ('RUNNING', 'DONE', 'FAILED', 'NO_LIST')),
    compared     integer NOT NULL DEFAULT 0,
    found        integer NOT NULL DEFAULT 0,
    healed       integer NOT NULL DEFAULT 0,
    leased_until timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    ended_at     timestamptz,
    CHECK ((outcome = 'RUNNING') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX reconciliations_running_key ON reconciliations (gateway) WHERE (outcome = 'RUNNING');
CREATE INDEX reconciliations_created_idx ON reconciliations (created_at, id);

CREATE TABLE mismatches (
    id              uuid PRIMARY KEY,
    gateway         text NOT NULL,
    charge_key      text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('UNKNOWN_CHARGE', 'UNSETTLED', 'LATE_CAPTURE', 'AUTHORIZATION_LEFT', 'NOT_CAPTURED',
        'AMOUNT_DIFFERS', 'CURRENCY_DIFFERS', 'REFUND_NOT_RECORDED', 'REFUND_NOT_GIVEN')),
    reference       text NOT NULL,
    showtime_id     uuid,
    payment_id      uuid,
    theater_id      uuid,
    ours_minor      bigint NOT NULL,
    ours_currency   text NOT NULL,
    theirs_minor    bigint NOT NULL,
    theirs_currency text NOT NULL,
    state           text NOT NULL DEFAULT 'OPEN' CHECK (state IN ('OPEN', 'HEALED', 'VANISHED', 'RESOLVED')),
    owner_id        uuid,
    note            text NOT NULL DEFAULT '',
    last_seen_at    timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    closed_at       timestamptz,
    created_at      timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CHECK ((state = 'OPEN') = (closed_at IS NULL)),
    CHECK ((showtime_id IS NULL) = (payment_id IS NULL) AND (payment_id IS NULL) = (theater_id IS NULL)),
    CHECK (state <> 'RESOLVED' OR note <> '')
);
-- Whoever finds a mismatch again finds its row.
CREATE UNIQUE INDEX mismatches_open_key ON mismatches (gateway, charge_key, kind) WHERE (state = 'OPEN');
CREATE INDEX mismatches_charge_idx ON mismatches (gateway, charge_key, kind);
CREATE INDEX mismatches_created_idx ON mismatches (created_at, id);

-- +goose Down
DROP TABLE mismatches;
DROP TABLE reconciliations;
DROP INDEX payment_attempts_origin_idx;
DROP INDEX payment_attempts_id_idx;
