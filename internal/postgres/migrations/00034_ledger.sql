-- The ledger: every movement of money between two accounts of a theater, written in the transaction that records it.

-- +goose Up
-- A transfer debits one account and credits another with the same amount, so that each currency sums to zero. The accounts
-- of a theater: GATEWAY, one for each gateway and for cash and cards at the counter, what was taken there and has not gone back;
-- SALES, what stands for seats; RETURNS, what is owed back to customers; CARRIED, what left one reservation of a swap and
-- has not come to the other. Rows that a transfer is about may be gone: it stays.
CREATE TABLE ledger_transfers (
    showtime_id  uuid NOT NULL,
    id           uuid NOT NULL,
    theater_id   uuid NOT NULL,
    payment_id   uuid NOT NULL,
    -- The attempt or the refund that moved it.
    subject_id   uuid NOT NULL,
    kind         text NOT NULL,
    debit        text NOT NULL,
    credit       text NOT NULL,
    gateway      text NOT NULL,
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT ledger_transfers_pkey PRIMARY KEY (showtime_id, id),
    CONSTRAINT ledger_transfers_kind_check CHECK ((kind, debit, credit) IN (
        ('TAKEN', 'GATEWAY', 'SALES'),
        ('TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS'),
        ('PROMISED', 'SALES', 'RETURNS'),
        ('RETURNED', 'RETURNS', 'GATEWAY'),
        ('CARRIED_OUT', 'SALES', 'CARRIED'),
        ('CARRIED_IN', 'CARRIED', 'SALES'))),
    CONSTRAINT ledger_transfers_amount_check CHECK (amount_minor > 0)
);
CREATE UNIQUE INDEX ledger_transfers_subject_key ON ledger_transfers (showtime_id, subject_id, kind);
CREATE INDEX ledger_transfers_theater_idx ON ledger_transfers (theater_id, created_at);

-- +goose StatementBegin
CREATE FUNCTION ledger_transfers_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'transfers of the ledger are neither changed nor deleted' USING ERRCODE = 'insufficient_privilege';
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_transfers_stay BEFORE UPDATE OR DELETE ON ledger_transfers FOR EACH ROW EXECUTE FUNCTION ledger_transfers_stay();
CREATE TRIGGER ledger_transfers_stay_whole BEFORE TRUNCATE ON ledger_transfers FOR EACH STATEMENT EXECUTE FUNCTION ledger_transfers_stay();
-- Also where a session says that it replicates. These triggers only refuse: where the tables are distributed, which allows
-- none, revoking the rights to UPDATE, DELETE and TRUNCATE stands for them.
ALTER TABLE ledger_transfers ENABLE ALWAYS TRIGGER ledger_transfers_stay, ENABLE ALWAYS TRIGGER ledger_transfers_stay_whole;

-- Writes a transfer of a payment that its attempt or refund p_subject_id makes; nothing for an amount of 0.
-- +goose StatementBegin
CREATE FUNCTION record_transfer(p_showtime_id uuid, p_payment_id uuid, p_subject_id uuid, p_kind text, p_gateway text, p_amount_minor bigint)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger_transfers (showtime_id, id, theater_id, payment_id, subject_id, kind, debit, credit, gateway, amount_minor, currency)
        SELECT p_showtime_id, gen_random_uuid(), s.theater_id, p.id, p_subject_id, p_kind, k.debit, k.credit, p_gateway, p_amount_minor, p.currency
        FROM payments p
        JOIN showtimes s ON s.id = p.showtime_id
        JOIN (VALUES ('TAKEN', 'GATEWAY', 'SALES'), ('TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS'), ('PROMISED', 'SALES', 'RETURNS'),
            ('RETURNED', 'RETURNS', 'GATEWAY'), ('CARRIED_OUT', 'SALES', 'CARRIED'), ('CARRIED_IN', 'CARRIED', 'SALES')) AS k (kind, debit, credit)
            ON k.kind = p_kind
        WHERE p.showtime_id = p_showtime_id AND p.id = p_payment_id AND p_amount_minor > 0
$$;
-- +goose StatementEnd

-- advance_attempt with what the step does to money: it is taken for seats, taken in vain, or given back after that.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION advance_attempt(p_showtime_id uuid, p_attempt_id uuid, p_from text, p_to text, p_reference text, p_decline_code text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_payment uuid;
    v_amount  bigint;
    v_own     bigint;
    v_gateway text;
BEGIN
    UPDATE payment_attempts a SET status = p_to, updated_at = now(),
            gateway_reference = coalesce(nullif(p_reference, ''), a.gateway_reference), decline_code = coalesce(nullif(p_decline_code, ''), a.decline_code)
        WHERE a.showtime_id = p_showtime_id AND a.id = p_attempt_id AND a.status = p_from
        RETURNING a.payment_id, a.amount_minor + CASE WHEN p_to = 'CAPTURED' THEN coalesce(a.credit_minor, 0) ELSE 0 END, a.amount_minor, a.gateway
        INTO v_payment, v_amount, v_own, v_gateway;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the attempt is not where its step starts' USING ERRCODE = 'MQ002';
    END IF;
    IF p_to = 'CAPTURED' THEN
        -- Money that came without us and went back leaves its mark on the payment; what is captured in order replaces it.
        UPDATE payments SET status = 'CAPTURED', amount_minor = v_amount, captured_minor = v_amount, refunded_minor = 0, promised_minor = 0, updated_at = now()
            WHERE showtime_id = p_showtime_id AND id = v_payment AND status IN ('PENDING', 'REFUND_PENDING', 'REFUNDED');
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the payment is not where the capture starts' USING ERRCODE = 'MQ002';
        END IF;
    ELSIF p_to = 'REFUND_PENDING' THEN
        -- Money that was taken without us does not touch a payment that another attempt has made good.
        UPDATE payments SET status = 'REFUND_PENDING', amount_minor = v_amount, captured_minor = v_amount, refunded_minor = 0, promised_minor = v_amount, updated_at = now()
            WHERE showtime_id = p_showtime_id AND id = v_payment AND status IN ('PENDING', 'FAILED');
    ELSIF p_to = 'REFUNDED' THEN
        UPDATE payments SET status = 'REFUNDED', refunded_minor = captured_minor, updated_at = now()
            WHERE showtime_id = p_showtime_id AND id = v_payment AND status = 'REFUND_PENDING'
              AND NOT EXISTS (SELECT FROM payment_attempts a WHERE a.showtime_id = p_showtime_id AND a.payment_id = v_payment
                  AND a.status IN ('REFUND_PENDING', 'CAPTURED'));
    END IF;
    IF p_to IN ('CAPTURED', 'REFUND_PENDING', 'REFUNDED') THEN
        PERFORM record_transfer(p_showtime_id, v_payment, p_attempt_id,
            CASE p_to WHEN 'CAPTURED' THEN 'TAKEN' WHEN 'REFUND_PENDING' THEN 'TAKEN_IN_VAIN' ELSE 'RETURNED' END, v_gateway, v_own);
    END IF;
END $$;
-- +goose StatementEnd

-- What was moved before there was a ledger, at the times that are known.
INSERT INTO ledger_transfers (showtime_id, id, theater_id, payment_id, subject_id, kind, debit, credit, gateway, amount_minor, currency, created_at)
    SELECT m.showtime_id, gen_random_uuid(), s.theater_id, p.id, m.subject_id, m.kind, m.debit, m.credit, m.gateway, m.amount_minor, p.currency, m.at
    FROM (
        SELECT showtime_id, payment_id, id, 'TAKEN', 'GATEWAY', 'SALES', gateway, amount_minor, updated_at FROM payment_attempts WHERE status = 'CAPTURED'
        UNION ALL
        SELECT showtime_id, payment_id, id, 'TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS', gateway, amount_minor, updated_at FROM payment_attempts
            WHERE status IN ('REFUND_PENDING', 'REFUNDED')
        UNION ALL
        SELECT showtime_id, payment_id, id, 'RETURNED', 'RETURNS', 'GATEWAY', gateway, amount_minor, updated_at FROM payment_attempts WHERE status = 'REFUNDED'
        UNION ALL
        SELECT showtime_id, payment_id, id, 'CARRIED_IN', 'CARRIED', 'SALES', gateway, amount_minor, created_at FROM payment_attempts WHERE status = 'CARRIED'
        UNION ALL
        SELECT r.showtime_id, r.payment_id, r.id, 'PROMISED', 'SALES', 'RETURNS', a.gateway, r.amount_minor, r.created_at
            FROM refunds r JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id WHERE r.to_reservation_id IS NULL
        UNION ALL
        SELECT r.showtime_id, r.payment_id, r.id, 'CARRIED_OUT', 'SALES', 'CARRIED', a.gateway, r.amount_minor, r.created_at
            FROM refunds r JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id WHERE r.to_reservation_id IS NOT NULL
        UNION ALL
        SELECT r.showtime_id, r.payment_id, r.id, 'RETURNED', 'RETURNS', 'GATEWAY', coalesce('COUNTER_' || t.method, a.gateway), r.amount_minor, coalesce(t.created_at, r.done_at)
            FROM refunds r JOIN payment_attempts a ON a.showtime_id = r.showtime_id AND a.id = r.attempt_id
            LEFT JOIN till_entries t ON t.showtime_id = r.showtime_id AND t.refund_id = r.id
            WHERE r.to_reservation_id IS NULL AND r.status = 'DONE'
    ) AS m (showtime_id, payment_id, subject_id, kind, debit, credit, gateway, amount_minor, at)
    JOIN payments p ON p.showtime_id = m.showtime_id AND p.id = m.payment_id
    JOIN showtimes s ON s.id = m.showtime_id
    WHERE m.amount_minor > 0;

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION advance_attempt(p_showtime_id uuid, p_attempt_id uuid, p_from text, p_to text, p_reference text, p_decline_code text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_payment uuid;
    v_amount  bigint;
BEGIN
    UPDATE payment_attempts a SET status = p_to, updated_at = now(),
            gateway_reference = coalesce(nullif(p_reference, ''), a.gateway_reference), decline_code = coalesce(nullif(p_decline_code, ''), a.decline_code)
        WHERE a.showtime_id = p_showtime_id AND a.id = p_attempt_id AND a.status = p_from
        RETURNING a.payment_id, a.amount_minor + CASE WHEN p_to = 'CAPTURED' THEN coalesce(a.credit_minor, 0) ELSE 0 END INTO v_payment, v_amount;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the attempt is not where its step starts' USING ERRCODE = 'MQ002';
    END IF;
    IF p_to = 'CAPTURED' THEN
        -- Money that came without us and went back leaves its mark on the payment; what is captured in order replaces it.
        UPDATE payments SET status = 'CAPTURED', amount_minor = v_amount, captured_minor = v_amount, refunded_minor = 0, promised_minor = 0, updated_at = now()
            WHERE showtime_id = p_showtime_id AND id = v_payment AND status IN ('PENDING', 'REFUND_PENDING', 'REFUNDED');
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the payment is not where the capture starts' USING ERRCODE = 'MQ002';
        END IF;
    ELSIF p_to = 'REFUND_PENDING' THEN
        -- Money that was taken without us does not touch a payment that another attempt has made good.
        UPDATE payments SET status = 'REFUND_PENDING', amount_minor = v_amount, captured_minor = v_amount, refunded_minor = 0, promised_minor = v_amount, updated_at = now()
            WHERE showtime_id = p_showtime_id AND id = v_payment AND status IN ('PENDING', 'FAILED');
    ELSIF p_to = 'REFUNDED' THEN
        UPDATE payments SET status = 'REFUNDED', refunded_minor = captured_minor, updated_at = now()
            WHERE showtime_id = p_showtime_id AND id = v_payment AND status = 'REFUND_PENDING'
              AND NOT EXISTS (SELECT FROM payment_attempts a WHERE a.showtime_id = p_showtime_id AND a.payment_id = v_payment
                  AND a.status IN ('REFUND_PENDING', 'CAPTURED'));
    END IF;
END $$;
-- +goose StatementEnd
DROP FUNCTION record_transfer;
DROP TABLE ledger_transfers;
DROP FUNCTION ledger_transfers_stay;
