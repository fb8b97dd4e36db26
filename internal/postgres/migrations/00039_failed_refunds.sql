-- A refund can fail. It is tried again under another key, so many times, and then rests until somebody decides how it goes back.

-- +goose Up
ALTER TABLE refunds ADD COLUMN try smallint NOT NULL DEFAULT 1;
-- Why the try before the present one failed, or, where it rests, the last.
ALTER TABLE refunds ADD COLUMN failure_code text;
-- What of it somebody gave back without us, at the gateway's own dashboard.
ALTER TABLE refunds ADD COLUMN by_hand_minor bigint NOT NULL DEFAULT 0;
ALTER TABLE refunds ADD COLUMN destination text NOT NULL DEFAULT 'ORIGINAL';
ALTER TABLE refunds DROP CONSTRAINT refunds_cause_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_cause_check CHECK (cause IN ('CUSTOMER', 'THEATER', 'GOODWILL', 'SWAP', 'IN_VAIN'));
ALTER TABLE refunds DROP CONSTRAINT refunds_status_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_status_check CHECK (status IN ('PENDING', 'FAILED', 'DONE') AND (status = 'DONE') = (done_at IS NOT NULL));
ALTER TABLE refunds ADD CONSTRAINT refunds_failure_check CHECK (try > 0 AND (status <> 'FAILED' OR failure_code IS NOT NULL));
ALTER TABLE refunds ADD CONSTRAINT refunds_by_hand_check CHECK (by_hand_minor BETWEEN 0 AND amount_minor);
ALTER TABLE refunds ADD CONSTRAINT refunds_destination_check CHECK (destination IN ('ORIGINAL', 'STORE_CREDIT', 'CASH_AT_COUNTER'));
CREATE INDEX refunds_failed_idx ON refunds (created_at) WHERE (status = 'FAILED');

ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_kind_check;
ALTER TABLE ledger_transfers ADD CONSTRAINT ledger_transfers_kind_check CHECK ((kind, debit, credit) IN (
    ('TAKEN', 'GATEWAY', 'SALES'),
    ('TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS'),
    ('PROMISED', 'SALES', 'RETURNS'),
    ('RETURNED', 'RETURNS', 'GATEWAY'),
    ('RETURNED_BY_HAND', 'RETURNS', 'GATEWAY'),
    ('CARRIED_OUT', 'SALES', 'CARRIED'),
    ('CARRIED_IN', 'CARRIED', 'SALES')));

-- Money that was taken in vain goes back by a refund as well, which has the id of its attempt.
INSERT INTO refunds (showtime_id, id, payment_id, attempt_id, number, amount_minor, cause, seats, status, leased_until, created_at, done_at)
    SELECT showtime_id, id, payment_id, id, 1, coalesce(taken_minor, amount_minor), 'IN_VAIN', '{}', CASE status WHEN 'REFUNDED' THEN 'DONE' ELSE 'PENDING' END,
        leased_until, updated_at, CASE status WHEN 'REFUNDED' THEN updated_at END
    FROM payment_attempts WHERE status IN ('REFUND_PENDING', 'REFUNDED') AND coalesce(taken_minor, amount_minor) > 0;

-- advance_attempt of before, with the refund of what was taken in vain: it is opened when that is known, and done when the attempt is.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION advance_attempt(p_showtime_id uuid, p_attempt_id uuid, p_from text, p_to text, p_reference text, p_decline_code text,
    p_taken_minor bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_payment uuid;
    v_amount  bigint;
    v_own     bigint;
    v_gateway text;
    v_lease   timestamptz;
    v_by_hand bigint;
    v_to      text;
BEGIN
    UPDATE payment_attempts a SET status = p_to, updated_at = now(),
            taken_minor = coalesce(p_taken_minor, a.taken_minor),
            gateway_reference = coalesce(nullif(p_reference, ''), a.gateway_reference), decline_code = coalesce(nullif(p_decline_code, ''), a.decline_code)
        WHERE a.showtime_id = p_showtime_id AND a.id = p_attempt_id AND a.status = p_from
        RETURNING a.payment_id, coalesce(a.taken_minor, a.amount_minor), a.gateway,
            coalesce(a.taken_minor, a.amount_minor) + CASE WHEN p_to = 'CAPTURED' THEN coalesce(a.credit_minor, 0) ELSE 0 END, a.leased_until
        INTO v_payment, v_own, v_gateway, v_amount, v_lease;
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
    IF p_to IN ('CAPTURED', 'REFUND_PENDING') THEN
        PERFORM record_transfer(p_showtime_id, v_payment, p_attempt_id, CASE p_to WHEN 'CAPTURED' THEN 'TAKEN' ELSE 'TAKEN_IN_VAIN' END, v_gateway, v_own);
    END IF;
    IF p_to = 'REFUND_PENDING' AND v_own > 0 THEN
        INSERT INTO refunds (showtime_id, id, payment_id, attempt_id, number, amount_minor, cause, seats, leased_until)
            VALUES (p_showtime_id, p_attempt_id, v_payment, p_attempt_id, 1, v_own, 'IN_VAIN', '{}', v_lease);
    ELSIF p_to = 'REFUNDED' THEN
        UPDATE refunds SET status = 'DONE', done_at = now() WHERE showtime_id = p_showtime_id AND id = p_attempt_id AND status <> 'DONE'
            RETURNING by_hand_minor, destination INTO v_by_hand, v_to;
        PERFORM record_transfer(p_showtime_id, v_payment, p_attempt_id, 'RETURNED_BY_HAND', v_gateway, v_by_hand);
        -- At the counter the till says which way it went.
        IF v_to <> 'CASH_AT_COUNTER' THEN
            PERFORM record_transfer(p_showtime_id, v_payment, p_attempt_id, 'RETURNED', CASE v_to WHEN 'STORE_CREDIT' THEN 'credit' ELSE v_gateway END, v_own - v_by_hand);
        END IF;
    END IF;
END $$;
-- +goose StatementEnd

-- record_transfer of before, with what was given back by hand. An unknown amount is none.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_transfer(p_showtime_id uuid, p_payment_id uuid, p_subject_id uuid, p_kind text, p_gateway text, p_amount_minor bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(p_amount_minor, 0) = 0 THEN RETURN; END IF;
    INSERT INTO ledger_transfers (showtime_id, id, theater_id, payment_id, subject_id, kind, debit, credit, gateway, amount_minor, currency)
        SELECT p_showtime_id, gen_random_uuid(), s.theater_id, p.id, p_subject_id, p_kind, k.debit, k.credit, p_gateway, p_amount_minor, p.currency
        FROM payments p
        JOIN showtimes s ON s.id = p.showtime_id
        JOIN (VALUES ('TAKEN', 'GATEWAY', 'SALES'), ('TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS'), ('PROMISED', 'SALES', 'RETURNS'),
            ('RETURNED', 'RETURNS', 'GATEWAY'), ('RETURNED_BY_HAND', 'RETURNS', 'GATEWAY'),
            ('CARRIED_OUT', 'SALES', 'CARRIED'), ('CARRIED_IN', 'CARRIED', 'SALES')) AS k (kind, debit, credit)
            ON k.kind = p_kind
        WHERE p.showtime_id = p_showtime_id AND p.id = p_payment_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a movement of money (%) of no payment, or of no kind', p_kind;
    END IF;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_transfer(p_showtime_id uuid, p_payment_id uuid, p_subject_id uuid, p_kind text, p_gateway text, p_amount_minor bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_amount_minor = 0 THEN RETURN; END IF;
    INSERT INTO ledger_transfers (showtime_id, id, theater_id, payment_id, subject_id, kind, debit, credit, gateway, amount_minor, currency)
        SELECT p_showtime_id, gen_random_uuid(), s.theater_id, p.id, p_subject_id, p_kind, k.debit, k.credit, p_gateway, p_amount_minor, p.currency
        FROM payments p
        JOIN showtimes s ON s.id = p.showtime_id
        JOIN (VALUES ('TAKEN', 'GATEWAY', 'SALES'), ('TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS'), ('PROMISED', 'SALES', 'RETURNS'),
            ('RETURNED', 'RETURNS', 'GATEWAY'), ('CARRIED_OUT', 'SALES', 'CARRIED'), ('CARRIED_IN', 'CARRIED', 'SALES')) AS k (kind, debit, credit)
            ON k.kind = p_kind
        WHERE p.showtime_id = p_showtime_id AND p.id = p_payment_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a movement of money (%) of no payment, or of no kind', p_kind;
    END IF;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION advance_attempt(p_showtime_id uuid, p_attempt_id uuid, p_from text, p_to text, p_reference text, p_decline_code text,
    p_taken_minor bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_payment uuid;
    v_amount  bigint;
    v_own     bigint;
    v_gateway text;
BEGIN
    UPDATE payment_attempts a SET status = p_to, updated_at = now(),
            taken_minor = coalesce(p_taken_minor, a.taken_minor),
            gateway_reference = coalesce(nullif(p_reference, ''), a.gateway_reference), decline_code = coalesce(nullif(p_decline_code, ''), a.decline_code)
        WHERE a.showtime_id = p_showtime_id AND a.id = p_attempt_id AND a.status = p_from
        RETURNING a.payment_id, coalesce(a.taken_minor, a.amount_minor), a.gateway,
            coalesce(a.taken_minor, a.amount_minor) + CASE WHEN p_to = 'CAPTURED' THEN coalesce(a.credit_minor, 0) ELSE 0 END
        INTO v_payment, v_own, v_gateway, v_amount;
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
DELETE FROM refunds WHERE cause = 'IN_VAIN';
ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_kind_check;
-- What was given back by hand cannot be told of any more: the ledger keeps it.
ALTER TABLE ledger_transfers ADD CONSTRAINT ledger_transfers_kind_check CHECK ((kind, debit, credit) IN (
    ('TAKEN', 'GATEWAY', 'SALES'),
    ('TAKEN_IN_VAIN', 'GATEWAY', 'RETURNS'),
    ('PROMISED', 'SALES', 'RETURNS'),
    ('RETURNED', 'RETURNS', 'GATEWAY'),
    ('CARRIED_OUT', 'SALES', 'CARRIED'),
    ('CARRIED_IN', 'CARRIED', 'SALES'))) NOT VALID;
DROP INDEX refunds_failed_idx;
ALTER TABLE refunds DROP CONSTRAINT refunds_destination_check;
ALTER TABLE refunds DROP CONSTRAINT refunds_by_hand_check;
ALTER TABLE refunds DROP CONSTRAINT refunds_failure_check;
UPDATE refunds SET status = 'PENDING' WHERE status = 'FAILED';
ALTER TABLE refunds DROP CONSTRAINT refunds_status_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_status_check CHECK (status IN ('PENDING', 'DONE') AND (status = 'DONE') = (done_at IS NOT NULL));
ALTER TABLE refunds DROP CONSTRAINT refunds_cause_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_cause_check CHECK (cause IN ('CUSTOMER', 'THEATER', 'GOODWILL', 'SWAP'));
ALTER TABLE refunds DROP COLUMN destination;
ALTER TABLE refunds DROP COLUMN by_hand_minor;
ALTER TABLE refunds DROP COLUMN failure_code;
ALTER TABLE refunds DROP COLUMN try;
