-- Money at the counters of theaters.

-- +goose Up
-- Money that staff took for a payment, or paid out again. An entry is written in the transaction that issues the tickets, or
-- that records the money as given back, and stays as it is.
CREATE TABLE till_entries (
    showtime_id        uuid NOT NULL,
    id                 uuid NOT NULL,
    payment_id         uuid NOT NULL,
    refund_id          uuid,
    theater_id         uuid NOT NULL,
    staff_id           uuid NOT NULL,
    kind               text NOT NULL,
    method             text NOT NULL,
    amount_minor       bigint NOT NULL,
    given_minor        bigint NOT NULL,
    terminal_reference text,
    idempotency_key    text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT till_entries_pkey PRIMARY KEY (showtime_id, id),
    CONSTRAINT till_entries_payment_fkey FOREIGN KEY (showtime_id, payment_id) REFERENCES payments (showtime_id, id),
    CONSTRAINT till_entries_refund_fkey FOREIGN KEY (showtime_id, refund_id) REFERENCES refunds (showtime_id, id),
    CONSTRAINT till_entries_kind_check CHECK (kind IN ('TAKEN', 'PAID_OUT') AND (kind = 'PAID_OUT') = (refund_id IS NOT NULL)),
    CONSTRAINT till_entries_method_check CHECK (method IN ('CASH', 'CARD')
        AND (method = 'CARD') = (terminal_reference IS NOT NULL) AND length(terminal_reference) BETWEEN 1 AND 64),
    -- Change is given of cash that was taken, and of nothing else.
    CONSTRAINT till_entries_amount_check CHECK (amount_minor > 0
        AND (given_minor = amount_minor OR given_minor > amount_minor AND kind = 'TAKEN' AND method = 'CASH'))
);
-- A payment is taken once, and a refund paid out once.
CREATE UNIQUE INDEX till_entries_taken_key ON till_entries (showtime_id, payment_id) WHERE (kind = 'TAKEN');
CREATE UNIQUE INDEX till_entries_refund_key ON till_entries (showtime_id, refund_id) WHERE (refund_id IS NOT NULL);

-- +goose Down
DROP TABLE till_entries;
