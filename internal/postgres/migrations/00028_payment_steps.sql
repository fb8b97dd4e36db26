-- Each step of a payment is one statement, and each attempt names the gateway it goes through.

-- +goose Up
ALTER TABLE payment_attempts ADD COLUMN gateway text;
UPDATE payment_attempts a SET gateway = p.gateway FROM payments p WHERE p.showtime_id = a.showtime_id AND p.id = a.payment_id;
ALTER TABLE payment_attempts ALTER COLUMN gateway SET NOT NULL;
ALTER TABLE payments DROP COLUMN gateway;

-- Records an attempt to collect an amount, with the payment p_payment_id where the reservation has none, and returns the
-- payment's key. The caller has the reservation's row lock, and asks for another amount than before only when no attempt
-- of before has taken money or can. Raises MQ002 when another attempt can still take money.
-- +goose StatementBegin
CREATE FUNCTION open_attempt(
    p_showtime_id uuid, p_reservation_id uuid, p_viewer_id uuid, p_payment_id uuid, p_attempt_id uuid,
    p_gateway text, p_amount_minor bigint, p_currency text, p_key text, p_lease_ms bigint) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    v_payment uuid;
BEGIN
    INSERT INTO payments AS p (showtime_id, id, reservation_id, viewer_id, amount_minor, currency)
        VALUES (p_showtime_id, p_payment_id, p_reservation_id, p_viewer_id, p_amount_minor, p_currency)
        ON CONFLICT (showtime_id, reservation_id) DO UPDATE SET updated_at = now(),
            amount_minor = CASE WHEN p.captured_minor = 0 THEN excluded.amount_minor ELSE p.amount_minor END
        RETURNING p.id INTO v_payment;
    PERFORM FROM payment_attempts a
        WHERE a.showtime_id = p_showtime_id AND a.payment_id = v_payment AND a.status IN ('STARTED', 'AUTHORIZED', 'CAPTURED');
    IF FOUND THEN
        RAISE EXCEPTION 'another attempt can take money' USING ERRCODE = 'MQ002';
    END IF;
    INSERT INTO payment_attempts (showtime_id, id, payment_id, number, gateway, amount_minor, idempotency_key, leased_until)
        SELECT p_showtime_id, p_attempt_id, v_payment, 1 + count(*), p_gateway, p_amount_minor, p_key, now() + p_lease_ms * interval '1 millisecond'
        FROM payment_attempts a WHERE a.showtime_id = p_showtime_id AND a.payment_id = v_payment;
    RETURN v_payment;
END $$;
-- +goose StatementEnd

-- Moves an attempt one step, which the caller knows to be allowed, and keeps its payment in line. Raises MQ002 when the
-- attempt, or a payment that its step depends on, is not where the step starts.
-- +goose StatementBegin
CREATE FUNCTION advance_attempt(p_showtime_id uuid, p_attempt_id uuid, p_from text, p_to text, p_reference text, p_decline_code text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_payment uuid;
    v_amount  bigint;
BEGIN
    UPDATE payment_attempts a SET status = p_to, updated_at = now(),
            gateway_reference = coalesce(nullif(p_reference, ''), a.gateway_reference), decline_code = coalesce(nullif(p_decline_code, ''), a.decline_code)
        WHERE a.showtime_id = p_showtime_id AND a.id = p_attempt_id AND a.status = p_from
        RETURNING a.payment_id, a.amount_minor INTO v_payment, v_amount;
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

-- Begins to collect the price of one of the viewer's reservations, and says how it went:
--   OPENED          the attempt p_attempt_id stands with the key, leased by the caller
--   REPLAYED        the key was used for the same before: the attempt of that time, NULL when nothing was to be paid
--   CONFIRMED       it is paid already: the attempt that did it, NULL when nothing was to be paid
--   FREE            nothing is to be paid
--   CALLED_OFF      the showtime does not take place
--   KEY_REUSED, EXPIRED, CANCELLED, NO_RESERVATION
-- The key is stored with OPENED alone. Raises MQ002 when another attempt can still take money: nothing is kept.
-- +goose StatementBegin
CREATE FUNCTION pay_reservation(
    p_showtime_id uuid, p_reservation_id uuid, p_viewer_id uuid, p_key text, p_fingerprint bytea,
    p_payment_id uuid, p_attempt_id uuid, p_gateway text, p_lease_ms bigint,
    OUT outcome text, OUT attempt_id uuid, OUT payment_id uuid, OUT gateway text, OUT amount_minor bigint, OUT currency text,
    OUT status text, OUT decline_code text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_own reservations;
    v_key idempotency_keys;
BEGIN
    -- The row lock comes first: two requests with one key run one after the other, and the second finds the attempt of
    -- the first.
    SELECT r.* INTO v_own FROM reservations r
        WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id AND r.viewer_id = p_viewer_id FOR UPDATE;
    IF NOT FOUND THEN outcome := 'NO_RESERVATION'; RETURN; END IF;

    SELECT k.* INTO v_key FROM idempotency_keys k WHERE k.showtime_id = p_showtime_id AND k.viewer_id = p_viewer_id AND k.key = p_key;
    IF FOUND THEN
        IF v_key.operation <> 'PAY' OR v_key.fingerprint <> p_fingerprint THEN outcome := 'KEY_REUSED'; RETURN; END IF;
        outcome := 'REPLAYED';
    ELSIF v_own.status IN ('CONFIRMED', 'EXPIRED', 'CANCELLED') THEN
        outcome := v_own.status;
    ELSIF v_own.held_until <= now() THEN
        outcome := 'EXPIRED';
    ELSIF EXISTS (SELECT FROM showtimes s WHERE s.id = p_showtime_id AND s.status = 'CANCELLED') THEN
        outcome := 'CALLED_OFF';
    ELSIF v_own.amount_minor = 0 THEN
        outcome := 'FREE';
    END IF;
    IF outcome = 'REPLAYED' OR outcome = 'CONFIRMED' AND v_own.amount_minor > 0 THEN
        SELECT a.id, a.payment_id, a.gateway, a.amount_minor, p.currency, a.status, a.decline_code
            INTO attempt_id, payment_id, gateway, pay_reservation.amount_minor, pay_reservation.currency, pay_reservation.status, decline_code
            FROM payments p JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id
            WHERE p.showtime_id = p_showtime_id AND p.reservation_id = p_reservation_id AND (outcome = 'CONFIRMED' OR a.idempotency_key = p_key)
            ORDER BY a.number DESC LIMIT 1;
    END IF;
    IF outcome IS NOT NULL THEN RETURN; END IF;

    INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id)
        VALUES (p_showtime_id, p_viewer_id, p_key, 'PAY', p_fingerprint, p_reservation_id) ON CONFLICT DO NOTHING;
    -- Twins wait for the row, so that whoever was quicker with the key asked for something else.
    IF NOT FOUND THEN outcome := 'KEY_REUSED'; RETURN; END IF;
    payment_id := open_attempt(p_showtime_id, p_reservation_id, p_viewer_id, p_payment_id, p_attempt_id, p_gateway,
        v_own.amount_minor, v_own.currency, p_key, p_lease_ms);
    outcome := 'OPENED';
    attempt_id := p_attempt_id;
    gateway := p_gateway;
    pay_reservation.amount_minor := v_own.amount_minor;
    pay_reservation.currency := v_own.currency;
    pay_reservation.status := 'STARTED';
END $$;
-- +goose StatementEnd

-- Makes the seats of a held reservation stop expiring: false when its deadline has passed. Raises MQ001 when a seat of it is
-- another's, MQ003 when its showtime was called off. The reservation's row comes before the viewer's turn, as it does for everybody
-- else: a change of seats and a payment of one reservation wait for each other, not in a circle.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION secure_reservation(p_showtime_id uuid, p_reservation_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_now   timestamptz;
    v_seats smallint[];
    v_rows  integer;
BEGIN
    PERFORM 1 FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id FOR UPDATE;
    -- The same lock as in claim_seats, and the time after it: a claim of this viewer either counts these seats to the
    -- limit, or it began after the deadline and they are not secured any more.
    PERFORM pg_advisory_xact_lock(hashtextextended(r.viewer_id::text, hashtextextended(p_showtime_id::text, 0)))
        FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id;
    v_now := clock_timestamp();
    PERFORM FROM showtimes s WHERE s.id = p_showtime_id AND s.status = 'CANCELLED';
    IF FOUND THEN
        RAISE EXCEPTION 'the showtime was called off' USING ERRCODE = 'MQ003';
    END IF;
    UPDATE reservations SET held_until = NULL
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id AND status IN ('HELD', 'RESERVED') AND held_until > v_now
        RETURNING seats INTO v_seats;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM 1 FROM seat_claims WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) ORDER BY seat_no FOR UPDATE;
    UPDATE seat_claims SET held_until = NULL
        WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows <> cardinality(v_seats) THEN
        RAISE EXCEPTION 'a seat was lost at the deadline' USING ERRCODE = 'MQ001';
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

-- Makes the seats of a reservation stop expiring, for which an attempt has the funds reserved. False when the deadline has
-- passed: then the attempt stays where it is. Raises MQ001 and MQ003 as secure_reservation does, MQ002 as
-- advance_attempt does.
-- +goose StatementBegin
CREATE FUNCTION secure_for_attempt(p_showtime_id uuid, p_reservation_id uuid, p_attempt_id uuid, p_reference text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT secure_reservation(p_showtime_id, p_reservation_id) THEN RETURN false; END IF;
    PERFORM advance_attempt(p_showtime_id, p_attempt_id, 'STARTED', 'AUTHORIZED', p_reference, '');
    RETURN true;
END $$;
-- +goose StatementEnd

-- Confirms a reservation in one of the states p_from whose seats are secured, and issues a ticket for each seat, of the
-- given keys and codes. Raises MQ002 when it is not such a one, or its seats are not as many.
-- +goose StatementBegin
CREATE FUNCTION confirm_reservation(p_showtime_id uuid, p_reservation_id uuid, p_from text[], p_tickets uuid[], p_codes text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_seats smallint[];
BEGIN
    UPDATE reservations SET status = 'CONFIRMED', confirmed_at = now()
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id AND status = ANY (p_from) AND held_until IS NULL
          AND cardinality(seats) = cardinality(p_tickets)
        RETURNING seats INTO v_seats;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the reservation is not to be confirmed' USING ERRCODE = 'MQ002';
    END IF;
    INSERT INTO tickets (showtime_id, id, reservation_id, seat_no, code)
        SELECT p_showtime_id, t.id, p_reservation_id, t.seat_no, t.code FROM unnest(p_tickets, v_seats, p_codes) AS t (id, seat_no, code);
END $$;
-- +goose StatementEnd

-- confirm_reservation for an attempt whose money was captured.
-- +goose StatementBegin
CREATE FUNCTION confirm_for_attempt(
    p_showtime_id uuid, p_reservation_id uuid, p_attempt_id uuid, p_from text[], p_tickets uuid[], p_codes text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM confirm_reservation(p_showtime_id, p_reservation_id, p_from, p_tickets, p_codes);
    PERFORM advance_attempt(p_showtime_id, p_attempt_id, 'AUTHORIZED', 'CAPTURED', '', '');
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION confirm_for_attempt;
DROP FUNCTION confirm_reservation;
DROP FUNCTION secure_for_attempt;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION secure_reservation(p_showtime_id uuid, p_reservation_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_now   timestamptz;
    v_seats smallint[];
    v_rows  integer;
BEGIN
    PERFORM 1 FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id FOR UPDATE;
    -- The same lock as in claim_seats, and the time after it: a claim of this viewer either counts these seats to the
    -- limit, or it began after the deadline and they are not secured any more.
    PERFORM pg_advisory_xact_lock(hashtextextended(r.viewer_id::text, hashtextextended(p_showtime_id::text, 0)))
        FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id;
    v_now := clock_timestamp();
    UPDATE reservations SET held_until = NULL
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id AND status IN ('HELD', 'RESERVED') AND held_until > v_now
        RETURNING seats INTO v_seats;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM 1 FROM seat_claims WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) ORDER BY seat_no FOR UPDATE;
    UPDATE seat_claims SET held_until = NULL
        WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows <> cardinality(v_seats) THEN
        RAISE EXCEPTION 'a seat was lost at the deadline' USING ERRCODE = 'MQ001';
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

DROP FUNCTION pay_reservation;
DROP FUNCTION advance_attempt;
DROP FUNCTION open_attempt;
ALTER TABLE payments ADD COLUMN gateway text;
UPDATE payments p SET gateway = a.gateway FROM payment_attempts a WHERE a.showtime_id = p.showtime_id AND a.payment_id = p.id;
ALTER TABLE payments ALTER COLUMN gateway SET NOT NULL;
ALTER TABLE payment_attempts DROP COLUMN gateway;
