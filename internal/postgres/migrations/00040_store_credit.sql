-- Store credit: what a theater owes its customers for coming back, in one currency each. No table of the core: it knows no showtime.

-- +goose Up
CREATE TABLE store_credits (
    id          uuid NOT NULL,
    customer_id uuid NOT NULL,
    theater_id  uuid NOT NULL,
    currency    text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT store_credits_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX store_credits_customer_key ON store_credits (customer_id, theater_id, currency);

-- What changed a credit. The sum is the balance; nothing is changed or deleted.
CREATE TABLE store_credit_entries (
    id           uuid NOT NULL,
    credit_id    uuid NOT NULL,
    kind         text NOT NULL,
    -- Of a refund its id, of what a charge took or gave back the key of the gateway's call, of a grant the command's.
    key          text NOT NULL,
    charge_key   text,
    amount_minor bigint NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT store_credit_entries_pkey PRIMARY KEY (id),
    CONSTRAINT store_credit_entries_credit_fkey FOREIGN KEY (credit_id) REFERENCES store_credits (id),
    CONSTRAINT store_credit_entries_kind_check CHECK (kind IN ('REFUNDED', 'GRANTED', 'RETURNED') AND amount_minor > 0 OR kind IN ('SPENT', 'REVOKED') AND amount_minor < 0)
);
CREATE UNIQUE INDEX store_credit_entries_key ON store_credit_entries (credit_id, kind, key);
CREATE INDEX store_credit_entries_charge_idx ON store_credit_entries (charge_key);

-- What was asked of credits to pay with: the books of the gateway "credit".
CREATE TABLE store_credit_charges (
    key            text NOT NULL,
    reference      uuid NOT NULL,
    credit_id      uuid,
    status         text NOT NULL,
    amount_minor   bigint NOT NULL,
    captured_minor bigint NOT NULL DEFAULT 0,
    currency       text NOT NULL,
    decline_code   text,
    created_at     timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT store_credit_charges_pkey PRIMARY KEY (key),
    CONSTRAINT store_credit_charges_credit_fkey FOREIGN KEY (credit_id) REFERENCES store_credits (id),
    CONSTRAINT store_credit_charges_status_check CHECK (status IN ('AUTHORIZED', 'CAPTURED', 'VOIDED', 'DECLINED') AND (status = 'DECLINED') = (decline_code IS NOT NULL)),
    CONSTRAINT store_credit_charges_amount_check CHECK (amount_minor >= 0 AND captured_minor BETWEEN 0 AND amount_minor)
);
CREATE INDEX store_credit_charges_held_idx ON store_credit_charges (credit_id) WHERE (status = 'AUTHORIZED');

ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_kind_check;
-- Of what is granted and revoked the credit stands for showtime and payment, and the entry for what moved it.
ALTER TABLE ledger_transfers ADD CONSTRAINT ledger_transfers_kind_check CHECK ((kind, debit, credit) IN (
    ('TAKEN', 'GATEWAY', 'SALES'),
    ('TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS'),
    ('PROMISED', 'SALES', 'RETURNS'),
    ('RETURNED', 'RETURNS', 'GATEWAY'),
    ('RETURNED_BY_HAND', 'RETURNS', 'GATEWAY'),
    ('CARRIED_OUT', 'SALES', 'CARRIED'),
    ('CARRIED_IN', 'CARRIED', 'SALES'),
    ('CREDIT_GRANTED', 'GRANTS', 'GATEWAY'),
    ('CREDIT_REVOKED', 'GATEWAY', 'GRANTS')));

-- +goose Down
ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_kind_check;
-- The ledger keeps what was granted.
ALTER TABLE ledger_transfers ADD CONSTRAINT ledger_transfers_kind_check CHECK ((kind, debit, credit) IN (
    ('TAKEN', 'GATEWAY', 'SALES'),
    ('TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS'),
    ('PROMISED', 'SALES', 'RETURNS'),
    ('RETURNED', 'RETURNS', 'GATEWAY'),
    ('RETURNED_BY_HAND', 'RETURNS', 'GATEWAY'),
    ('CARRIED_OUT', 'SALES', 'CARRIED'),
    ('CARRIED_IN', 'CARRIED', 'SALES'))) NOT VALID;
DROP TABLE store_credit_charges;
DROP TABLE store_credit_entries;
DROP TABLE store_credits;
