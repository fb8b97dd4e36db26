-- Other seats for a reservation that waits for its payment, in one command.

-- +goose Up
-- Gives a reservation in one of the states p_from other seats at another price, all or nothing, and says how it went. Its
-- deadline stays: the clock runs since the first seat. The caller has the reservation's row lock.
--   CHANGED             the reservation has the seats
--   REPLAYED            the key was used for the same request before
--   EXPIRED             its deadline has passed
--   NOT_OPEN            it is in no state of p_from
--   PAYING              a payment for it is under way, or was given back
--   KEY_REUSED, CLOSED, NOT_YET_OPEN, STALE_PRICE, NO_SUCH_SEAT, PROTECTED, TOO_MANY, TOO_MANY_THERE, TAKEN, ALONE as
--                       claim_seats has them, with lost, seats_left and judged_at
-- Seats that it has already are kept, and count as free where rules are judged; who wants no more seats than before passes
-- no limit. Locks come in the order of all: viewer at the showtime, source at the showtime, seats in ascending order.
-- Raises MQ001 when a seat is lost after the checks: nothing is kept, the caller asks again.
-- +goose StatementBegin
CREATE FUNCTION change_seats(
    p_showtime_id uuid, p_reservation_id uuid, p_from text[], p_seats smallint[],
    p_price_version integer, p_amount_minor bigint, p_currency text, p_lines jsonb,
    p_key text, p_fingerprint bytea,
    p_beside smallint[], p_beyond smallint[], p_protected_until timestamptz, p_source_seats integer,
    OUT outcome text, OUT judged_at timestamptz, OUT lost smallint[], OUT seats_left integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now    timestamptz;
    v_own    reservations;
    v_sale   showtime_sales;
    v_key    idempotency_keys;
    v_source bytea;
    v_added  smallint[];
    v_seat   smallint;
    v_others integer;
    v_rows   integer;
BEGIN
    SELECT r.* INTO STRICT v_own FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id FOR UPDATE;
    PERFORM pg_advisory_xact_lock(hashtextextended(v_own.viewer_id::text, hashtextextended(p_showtime_id::text, 0)));
    -- After the locks: a hold that ran out while this waited is over.
    v_now := clock_timestamp();
    judged_at := v_now;

    SELECT k.* INTO v_key FROM idempotency_keys k
        WHERE k.showtime_id = p_showtime_id AND k.viewer_id = v_own.viewer_id AND k.key = p_key;
    IF FOUND THEN
        outcome := CASE WHEN v_key.operation = 'CHANGE' AND v_key.fingerprint = p_fingerprint THEN 'REPLAYED' ELSE 'KEY_REUSED' END;
        RETURN;
    END IF;
    IF v_own.status = 'EXPIRED' OR v_own.held_until <= v_now THEN outcome := 'EXPIRED'; RETURN; END IF;
    IF v_own.status <> ALL (p_from) THEN outcome := 'NOT_OPEN'; RETURN; END IF;
    PERFORM FROM payments p JOIN payment_attempts a ON a.showtime_id = p.showtime_id AND a.payment_id = p.id
        WHERE p.showtime_id = p_showtime_id AND p.reservation_id = p_reservation_id AND a.status NOT IN ('DECLINED', 'VOIDED');
    IF FOUND OR v_own.held_until IS NULL THEN outcome := 'PAYING'; RETURN; END IF;

    SELECT s.* INTO STRICT v_sale FROM showtime_sales s WHERE s.showtime_id = p_showtime_id;
    IF v_sale.status <> 'OPEN' OR v_sale.closes_at <= v_now THEN outcome := 'CLOSED'; RETURN; END IF;
    IF v_sale.opens_at > v_now THEN outcome := 'NOT_YET_OPEN'; RETURN; END IF;
    IF v_sale.price_version <> p_price_version OR v_sale.currency <> p_currency THEN outcome := 'STALE_PRICE'; RETURN; END IF;
    IF 1 > ANY (p_seats) OR v_sale.seat_count < ANY (p_seats) THEN outcome := 'NO_SUCH_SEAT'; RETURN; END IF;
    IF p_protected_until > v_now THEN outcome := 'PROTECTED'; RETURN; END IF;

    IF cardinality(p_seats) > cardinality(v_own.seats) THEN
        SELECT coalesce(sum(cardinality(r.seats)), 0) INTO v_others FROM reservations r
            WHERE r.showtime_id = p_showtime_id AND r.viewer_id = v_own.viewer_id AND r.id <> p_reservation_id
              AND r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > v_now);
        IF v_others + cardinality(p_seats) > v_sale.max_seats THEN
            outcome := 'TOO_MANY';
            seats_left := greatest(v_sale.max_seats - v_others - cardinality(v_own.seats), 0);
            RETURN;
        END IF;
        -- The seats go on counting for where the reservation came from.
        SELECT k.source INTO v_source FROM idempotency_keys k WHERE k.showtime_id = p_showtime_id
            AND k.viewer_id = v_own.viewer_id AND k.reservation_id = p_reservation_id AND k.source IS NOT NULL;
        IF FOUND AND p_source_seats > 0 THEN
            PERFORM pg_advisory_xact_lock(hashtextextended(encode(v_source, 'hex'), hashtextextended(p_showtime_id::text, 0)));
            SELECT coalesce(sum(cardinality(r.seats)), 0) INTO v_others FROM idempotency_keys k
                JOIN reservations r ON r.showtime_id = k.showtime_id AND r.id = k.reservation_id
                WHERE k.showtime_id = p_showtime_id AND k.source = v_source AND r.id <> p_reservation_id
                  AND r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > v_now);
            IF v_others + cardinality(p_seats) > p_source_seats THEN
                outcome := 'TOO_MANY_THERE';
                seats_left := greatest(p_source_seats - v_others - cardinality(v_own.seats), 0);
                RETURN;
            END IF;
        END IF;
    END IF;

    -- Only the seats that come in are fought for: who looks at one of the others just now is refused by its claim.
    v_added := ARRAY(SELECT u FROM unnest(p_seats) u WHERE u <> ALL (v_own.seats) ORDER BY u);
    lost := examine_seats(p_showtime_id, p_reservation_id, v_added, p_beside, p_beyond);
    IF lost[1] > 0 THEN outcome := 'TAKEN'; RETURN; END IF;
    IF lost IS NOT NULL THEN outcome := 'ALONE'; RETURN; END IF;

    FOR v_seat IN SELECT u FROM unnest(v_own.seats || v_added) u ORDER BY u LOOP
        IF v_seat = ANY (v_added) THEN
            INSERT INTO seat_claims AS c (showtime_id, seat_no, reservation_id, held_until)
                VALUES (p_showtime_id, v_seat, p_reservation_id, v_own.held_until)
                ON CONFLICT (showtime_id, seat_no) DO UPDATE
                    SET reservation_id = excluded.reservation_id, held_until = excluded.held_until
                    WHERE c.held_until <= v_now;
        ELSIF v_seat = ANY (p_seats) THEN
            PERFORM FROM seat_claims c
                WHERE c.showtime_id = p_showtime_id AND c.seat_no = v_seat AND c.reservation_id = p_reservation_id FOR UPDATE;
        ELSE
            DELETE FROM seat_claims c
                WHERE c.showtime_id = p_showtime_id AND c.seat_no = v_seat AND c.reservation_id = p_reservation_id;
        END IF;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> 1 THEN
            RAISE EXCEPTION 'a seat was lost during the change' USING ERRCODE = 'MQ001';
        END IF;
    END LOOP;
    UPDATE reservations SET seats = p_seats, amount_minor = p_amount_minor, lines = p_lines
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id;
    INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id, created_at)
        VALUES (p_showtime_id, v_own.viewer_id, p_key, 'CHANGE', p_fingerprint, p_reservation_id, v_now);
    outcome := 'CHANGED';
END $$;
-- +goose StatementEnd

-- The reservation's row comes before the viewer's turn, as it does for everybody else: a change of seats and
-- a payment of one reservation wait for each other, not in a circle.
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

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION secure_reservation(p_showtime_id uuid, p_reservation_id uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_now   timestamptz;
    v_seats smallint[];
    v_rows  integer;
BEGIN
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
DROP FUNCTION change_seats;
