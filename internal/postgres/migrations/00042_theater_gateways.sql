-- Theaters choose their gateways, and a payment may change to another.

-- +goose Up
-- The gateways at which payments of a theater are begun, by currency, the preferred one first. Without a row they are those that
-- the installation offers.
CREATE TABLE theater_gateways (
    theater_id uuid NOT NULL,
    currency   text NOT NULL,
    gateways   jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT theater_gateways_pkey PRIMARY KEY (theater_id, currency),
    CONSTRAINT theater_gateways_theater_fkey FOREIGN KEY (theater_id) REFERENCES theaters (id) ON DELETE CASCADE,
    CONSTRAINT theater_gateways_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT theater_gateways_gateways_check CHECK (jsonb_typeof(gateways) = 'array' AND jsonb_array_length(gateways) BETWEEN 1 AND 10)
);

-- Declines a started attempt that its gateway never heard of, and opens p_next at another gateway under the same key: false, and
-- only the first, when the seats are not held any more. Raises MQ002 when the attempt is not started.
-- +goose StatementBegin
CREATE FUNCTION reroute_attempt(
    p_showtime_id uuid, p_reservation_id uuid, p_attempt_id uuid, p_decline_code text, p_next uuid, p_gateway text, p_lease_ms bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_until   timestamptz;
    v_attempt payment_attempts;
    v_payment payments;
BEGIN
    SELECT r.held_until INTO v_until FROM reservations r
        WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id AND r.status IN ('HELD', 'RESERVED') FOR UPDATE;
    PERFORM advance_attempt(p_showtime_id, p_attempt_id, 'STARTED', 'DECLINED', '', p_decline_code, NULL);
    IF v_until IS NULL OR v_until <= clock_timestamp() THEN RETURN false; END IF;
    SELECT a.* INTO v_attempt FROM payment_attempts a WHERE a.showtime_id = p_showtime_id AND a.id = p_attempt_id;
    SELECT p.* INTO v_payment FROM payments p WHERE p.showtime_id = p_showtime_id AND p.id = v_attempt.payment_id;
    PERFORM open_attempt(p_showtime_id, p_reservation_id, v_payment.viewer_id, v_payment.id, p_next, p_gateway,
        v_attempt.amount_minor, v_payment.currency, v_attempt.idempotency_key, p_lease_ms, v_attempt.credit_minor);
    RETURN true;
END $$;
-- +goose StatementEnd

-- Gives up the started attempt for one of the viewer's reservations if it is at another gateway than p_gateway: it is let go, whatever
-- that one says. False when there is none.
-- +goose StatementBegin
CREATE FUNCTION leave_gateway(p_showtime_id uuid, p_reservation_id uuid, p_viewer_id uuid, p_gateway text, p_decline_code text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_attempt uuid;
BEGIN
    PERFORM FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id AND r.viewer_id = p_viewer_id FOR UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    SELECT a.id INTO v_attempt FROM payments p JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id
        WHERE p.showtime_id = p_showtime_id AND p.reservation_id = p_reservation_id
            AND a.status = 'STARTED' AND a.gateway NOT IN (p_gateway, 'NONE') FOR UPDATE OF a;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM advance_attempt(p_showtime_id, v_attempt, 'STARTED', 'VOID_PENDING', '', p_decline_code, NULL);
    -- Its driver, if it has one, finds it given up; the reconciler need not wait for that.
    UPDATE payment_attempts SET leased_until = now() WHERE showtime_id = p_showtime_id AND id = v_attempt;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION leave_gateway;
DROP FUNCTION reroute_attempt;
DROP TABLE theater_gateways;
