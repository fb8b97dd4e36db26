-- The sandbox payment gateway keeps its books in a journal of its own, as another company would: not in this database. What it
-- took before is forgotten with the tables; it was no money.

-- +goose Up
DROP SCHEMA sandbox_gateway CASCADE;

-- +goose Down
CREATE SCHEMA sandbox_gateway;

CREATE TABLE sandbox_gateway.charges (
    key            text PRIMARY KEY,
    reference      text NOT NULL UNIQUE,
    amount_minor   bigint NOT NULL,
    currency       text NOT NULL,
    status         text NOT NULL,
    decline_code   text,
    captured_minor bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT charges_status_check CHECK (status IN ('AUTHORIZED', 'DECLINED', 'CAPTURED', 'VOIDED')),
    CONSTRAINT charges_amounts_check CHECK (amount_minor >= 0 AND captured_minor BETWEEN 0 AND amount_minor AND refunded_minor BETWEEN 0 AND captured_minor)
);

CREATE TABLE sandbox_gateway.refunds (
    key          text PRIMARY KEY,
    charge_key   text NOT NULL REFERENCES sandbox_gateway.charges (key),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

