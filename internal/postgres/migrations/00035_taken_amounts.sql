-- A gateway may take another amount than it was asked for: what it took is what goes back, and what the ledger has.

-- +goose Up
ALTER TABLE payment_attempts ADD COLUMN taken_minor bigint;
ALTER TABLE payment_attempts ADD CONSTRAINT payment_attempts_taken_check CHECK (taken_minor >= 0 AND (taken_minor = amount_minor OR status IN ('REFUND_PENDING', 'REFUNDED')));

-- advance_attempt of before, with what the gateway took where the step is to give that back; NULL: the amount of the attempt.
DROP FUNCTION advance_attempt;
-- +goose StatementBegin
CREATE FUNCTION advance_attempt(p_showtime_id uuid, p_attempt_id uuid, p_from text, p_to text, p_reference text, p_decline_code text,
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

-- Writes a transfer of a payment that its attempt or refund p_subject_id makes; nothing for an amount of 0. Raises an error when
-- there is no such payment or no such kind.
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

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION record_transfer(p_showtime_id uuid, p_payment_id uuid, p_subject_id uuid, p_kind text, p_gateway text, p_amount_minor bigint)
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
DROP FUNCTION advance_attempt;
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
ALTER TABLE payment_attempts DROP CONSTRAINT payment_attempts_taken_check;
ALTER TABLE payment_attempts DROP COLUMN taken_minor;
