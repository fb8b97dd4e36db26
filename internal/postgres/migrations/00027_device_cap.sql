-- A cap of seats for one device, beside that for one address.

-- +goose Up
-- Which device a claim's client says it runs on, as a keyed hash: see source.
ALTER TABLE idempotency_keys ADD COLUMN device bytea;
CREATE INDEX idempotency_keys_device_idx ON idempotency_keys (showtime_id, device) WHERE (device IS NOT NULL);

-- How many seats of a showtime were claimed from a source, or from a device, and are still somebody's at p_now; those of
-- the reservation p_but are not counted. One of p_source and p_device is NULL.
-- +goose StatementBegin
CREATE FUNCTION seats_of_source(p_showtime_id uuid, p_source bytea, p_device bytea, p_but uuid, p_now timestamptz) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(cardinality(r.seats)), 0)::integer FROM idempotency_keys k
        JOIN reservations r ON r.showtime_id = k.showtime_id AND r.id = k.reservation_id
        WHERE k.showtime_id = p_showtime_id AND (k.source = p_source OR k.device = p_device)
          AND r.id IS DISTINCT FROM p_but
          AND r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > p_now)
$$;
-- +goose StatementEnd

DROP FUNCTION claim_seats;

-- Claims the given seats for a new reservation, all or nothing, and says how it went:
--   CLAIMED             the reservation is HELD until held_until; lost names, with a minus, the seats that p_override left alone
--   REPLAYED            the key was used for the same request before: reservation and deadline of that time
--   KEY_REUSED          the key was used for another request
--   NO_SHOWTIME, CLOSED, NOT_YET_OPEN, STALE_PRICE, NO_SUCH_SEAT
--   PROTECTED           p_protected_until, before which the selection must not be made, is not over
--   COOLING_DOWN        p_idle_holds holds of the viewer ended unpaid within p_idle_ms: held_until is when to try again
--   TOO_MANY            the viewer would hold more seats of this showtime than max_seats; seats_left says how many are left
--   TOO_MANY_THERE      the same of p_source and p_source_seats
--   TOO_MANY_BY_DEVICE  the same of p_device and p_device_seats
--   TAKEN               lost names the seats that someone else has, or is just taking
--   ALONE               lost names, with a minus, the seats that would be left alone: see examine_seats
-- created_at is the moment by which it was judged. The caller passes the price it quoted with the price_version it was
-- quoted from; rules of the theater are as old as that version. Seats may come in any order. A source or device that is
-- NULL and limits that are 0 are not counted.
-- Raises MQ001 when a seat is lost after the checks: nothing is kept, the caller asks again.
-- +goose StatementBegin
CREATE FUNCTION claim_seats(
    p_showtime_id uuid, p_reservation_id uuid, p_viewer_id uuid, p_seats smallint[],
    p_price_version integer, p_amount_minor bigint, p_currency text, p_lines jsonb,
    p_hold_ms integer, p_key text, p_fingerprint bytea,
    p_beside smallint[], p_beyond smallint[], p_override boolean, p_protected_until timestamptz,
    p_source bytea, p_source_seats integer, p_device bytea, p_device_seats integer, p_idle_holds integer, p_idle_ms integer,
    OUT outcome text, OUT reservation_id uuid, OUT held_until timestamptz, OUT created_at timestamptz,
    OUT lost smallint[], OUT seats_left integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now   timestamptz := now();
    v_until timestamptz := now() + p_hold_ms * interval '1 millisecond';
    v_sale  showtime_sales;
    v_key   idempotency_keys;
    v_seat  smallint;
    v_mine  integer;
    v_holds integer;
    v_won   integer := 0;
    v_rows  integer;
BEGIN
    -- Requests of one viewer for one showtime run one after the other: a twin sees its sibling's key, the cap holds.
    PERFORM pg_advisory_xact_lock(hashtextextended(p_viewer_id::text, hashtextextended(p_showtime_id::text, 0)));

    SELECT k.* INTO v_key FROM idempotency_keys k
        WHERE k.showtime_id = p_showtime_id AND k.viewer_id = p_viewer_id AND k.key = p_key;
    IF FOUND THEN
        IF v_key.operation <> 'RESERVE' OR v_key.fingerprint <> p_fingerprint THEN
            outcome := 'KEY_REUSED';
        ELSE
            outcome := 'REPLAYED';
            claim_seats.reservation_id := v_key.reservation_id;
        END IF;
        RETURN;
    END IF;

    SELECT s.* INTO v_sale FROM showtime_sales s WHERE s.showtime_id = p_showtime_id;
    IF NOT FOUND THEN outcome := 'NO_SHOWTIME'; RETURN; END IF;
    IF v_sale.status <> 'OPEN' OR v_sale.closes_at <= v_now THEN outcome := 'CLOSED'; RETURN; END IF;
    IF v_sale.opens_at > v_now THEN outcome := 'NOT_YET_OPEN'; RETURN; END IF;
    IF v_sale.price_version <> p_price_version OR v_sale.currency <> p_currency THEN outcome := 'STALE_PRICE'; RETURN; END IF;
    IF 1 > ANY (p_seats) OR v_sale.seat_count < ANY (p_seats) THEN outcome := 'NO_SUCH_SEAT'; RETURN; END IF;

    claim_seats.created_at := v_now;
    IF p_protected_until > v_now THEN outcome := 'PROTECTED'; RETURN; END IF;

    SELECT coalesce(sum(cardinality(r.seats)) FILTER (
                WHERE r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > v_now)), 0), count(*)
        INTO v_mine, v_holds
        FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.viewer_id = p_viewer_id;
    IF p_idle_holds > 0 AND v_holds >= p_idle_holds THEN
        SELECT coalesce(r.ended_at, r.held_until) + p_idle_ms * interval '1 millisecond' INTO claim_seats.held_until
            FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.viewer_id = p_viewer_id
              AND r.confirmed_at IS NULL AND coalesce(r.ended_at, r.held_until) <= v_now
            ORDER BY coalesce(r.ended_at, r.held_until) DESC OFFSET p_idle_holds - 1 LIMIT 1;
        IF claim_seats.held_until > v_now THEN outcome := 'COOLING_DOWN'; RETURN; END IF;
    END IF;
    IF v_mine + cardinality(p_seats) > v_sale.max_seats THEN
        outcome := 'TOO_MANY';
        seats_left := greatest(v_sale.max_seats - v_mine, 0);
        RETURN;
    END IF;
    IF p_source IS NOT NULL THEN
        -- Requests from one source for one showtime run one after the other too, so that this cap holds as well.
        PERFORM pg_advisory_xact_lock(hashtextextended(encode(p_source, 'hex'), hashtextextended(p_showtime_id::text, 0)));
        v_mine := seats_of_source(p_showtime_id, p_source, NULL, NULL, v_now);
        IF v_mine + cardinality(p_seats) > p_source_seats THEN
            outcome := 'TOO_MANY_THERE';
            seats_left := greatest(p_source_seats - v_mine, 0);
            RETURN;
        END IF;
    END IF;
    IF p_device IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(encode(p_device, 'hex'), hashtextextended(p_showtime_id::text, 0)));
        v_mine := seats_of_source(p_showtime_id, NULL, p_device, NULL, v_now);
        IF v_mine + cardinality(p_seats) > p_device_seats THEN
            outcome := 'TOO_MANY_BY_DEVICE';
            seats_left := greatest(p_device_seats - v_mine, 0);
            RETURN;
        END IF;
    END IF;

    lost := examine_seats(p_showtime_id, NULL, p_seats, p_beside, p_beyond);
    IF lost[1] > 0 THEN outcome := 'TAKEN'; RETURN; END IF;
    IF lost IS NOT NULL AND NOT p_override THEN outcome := 'ALONE'; RETURN; END IF;

    INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines, held_until, created_at)
        VALUES (p_showtime_id, p_reservation_id, p_viewer_id, p_seats, p_amount_minor, p_currency, p_lines, v_until, v_now);
    INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id, source, device, created_at)
        VALUES (p_showtime_id, p_viewer_id, p_key, 'RESERVE', p_fingerprint, p_reservation_id, p_source, p_device, v_now);

    -- Ascending seat order everywhere is what keeps overlapping claims from deadlocking.
    FOR v_seat IN SELECT u FROM unnest(p_seats) u ORDER BY u LOOP
        INSERT INTO seat_claims AS c (showtime_id, seat_no, reservation_id, held_until)
            VALUES (p_showtime_id, v_seat, p_reservation_id, v_until)
            ON CONFLICT (showtime_id, seat_no) DO UPDATE
                SET reservation_id = excluded.reservation_id, held_until = excluded.held_until
                WHERE c.held_until <= v_now;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_won := v_won + v_rows;
    END LOOP;
    IF v_won <> cardinality(p_seats) THEN
        RAISE EXCEPTION 'a seat was lost during the claim' USING ERRCODE = 'MQ001';
    END IF;

    outcome := 'CLAIMED';
    claim_seats.reservation_id := p_reservation_id;
    claim_seats.held_until := v_until;
END $$;
-- +goose StatementEnd

DROP FUNCTION change_seats;

-- Gives a reservation in one of the states p_from other seats at another price, all or nothing, and says how it went. Its
-- deadline stays: the clock runs since the first seat. The caller has the reservation's row lock.
--   CHANGED             the reservation has the seats
--   REPLAYED            the key was used for the same request before
--   EXPIRED             its deadline has passed
--   NOT_OPEN            it is in no state of p_from
--   PAYING              a payment for it is under way, or was given back
--   KEY_REUSED, CLOSED, NOT_YET_OPEN, STALE_PRICE, NO_SUCH_SEAT, PROTECTED, TOO_MANY, TOO_MANY_THERE, TOO_MANY_BY_DEVICE, TAKEN, ALONE as
--                       claim_seats has them, with lost, seats_left and judged_at
-- Seats that it has already are kept, and count as free where rules are judged; who wants no more seats than before passes
-- no limit. Locks come in the order of all: viewer at the showtime, source and device at the showtime, seats in ascending order.
-- Raises MQ001 when a seat is lost after the checks: nothing is kept, the caller asks again.
-- +goose StatementBegin
CREATE FUNCTION change_seats(
    p_showtime_id uuid, p_reservation_id uuid, p_from text[], p_seats smallint[],
    p_price_version integer, p_amount_minor bigint, p_currency text, p_lines jsonb,
    p_key text, p_fingerprint bytea,
    p_beside smallint[], p_beyond smallint[], p_protected_until timestamptz, p_source_seats integer, p_device_seats integer,
    OUT outcome text, OUT judged_at timestamptz, OUT lost smallint[], OUT seats_left integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now    timestamptz;
    v_own    reservations;
    v_sale   showtime_sales;
    v_key    idempotency_keys;
    v_from   idempotency_keys;
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
        SELECT k.* INTO v_from FROM idempotency_keys k WHERE k.showtime_id = p_showtime_id
            AND k.viewer_id = v_own.viewer_id AND k.reservation_id = p_reservation_id AND k.operation = 'RESERVE';
        IF v_from.source IS NOT NULL AND p_source_seats > 0 THEN
            PERFORM pg_advisory_xact_lock(hashtextextended(encode(v_from.source, 'hex'), hashtextextended(p_showtime_id::text, 0)));
            v_others := seats_of_source(p_showtime_id, v_from.source, NULL, p_reservation_id, v_now);
            IF v_others + cardinality(p_seats) > p_source_seats THEN
                outcome := 'TOO_MANY_THERE';
                seats_left := greatest(p_source_seats - v_others - cardinality(v_own.seats), 0);
                RETURN;
            END IF;
        END IF;
        IF v_from.device IS NOT NULL AND p_device_seats > 0 THEN
            PERFORM pg_advisory_xact_lock(hashtextextended(encode(v_from.device, 'hex'), hashtextextended(p_showtime_id::text, 0)));
            v_others := seats_of_source(p_showtime_id, NULL, v_from.device, p_reservation_id, v_now);
            IF v_others + cardinality(p_seats) > p_device_seats THEN
                outcome := 'TOO_MANY_BY_DEVICE';
                seats_left := greatest(p_device_seats - v_others - cardinality(v_own.seats), 0);
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

-- +goose Down
DROP FUNCTION change_seats;
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
DROP FUNCTION claim_seats;
-- +goose StatementBegin
CREATE FUNCTION claim_seats(
    p_showtime_id uuid, p_reservation_id uuid, p_viewer_id uuid, p_seats smallint[],
    p_price_version integer, p_amount_minor bigint, p_currency text, p_lines jsonb,
    p_hold_ms integer, p_key text, p_fingerprint bytea,
    p_beside smallint[], p_beyond smallint[], p_override boolean, p_protected_until timestamptz,
    p_source bytea, p_source_seats integer, p_idle_holds integer, p_idle_ms integer,
    OUT outcome text, OUT reservation_id uuid, OUT held_until timestamptz, OUT created_at timestamptz,
    OUT lost smallint[], OUT seats_left integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now   timestamptz := now();
    v_until timestamptz := now() + p_hold_ms * interval '1 millisecond';
    v_sale  showtime_sales;
    v_key   idempotency_keys;
    v_seat  smallint;
    v_mine  integer;
    v_holds integer;
    v_won   integer := 0;
    v_rows  integer;
BEGIN
    -- Requests of one viewer for one showtime run one after the other: a twin sees its sibling's key, the cap holds.
    PERFORM pg_advisory_xact_lock(hashtextextended(p_viewer_id::text, hashtextextended(p_showtime_id::text, 0)));

    SELECT k.* INTO v_key FROM idempotency_keys k
        WHERE k.showtime_id = p_showtime_id AND k.viewer_id = p_viewer_id AND k.key = p_key;
    IF FOUND THEN
        IF v_key.operation <> 'RESERVE' OR v_key.fingerprint <> p_fingerprint THEN
            outcome := 'KEY_REUSED';
        ELSE
            outcome := 'REPLAYED';
            claim_seats.reservation_id := v_key.reservation_id;
        END IF;
        RETURN;
    END IF;

    SELECT s.* INTO v_sale FROM showtime_sales s WHERE s.showtime_id = p_showtime_id;
    IF NOT FOUND THEN outcome := 'NO_SHOWTIME'; RETURN; END IF;
    IF v_sale.status <> 'OPEN' OR v_sale.closes_at <= v_now THEN outcome := 'CLOSED'; RETURN; END IF;
    IF v_sale.opens_at > v_now THEN outcome := 'NOT_YET_OPEN'; RETURN; END IF;
    IF v_sale.price_version <> p_price_version OR v_sale.currency <> p_currency THEN outcome := 'STALE_PRICE'; RETURN; END IF;
    IF 1 > ANY (p_seats) OR v_sale.seat_count < ANY (p_seats) THEN outcome := 'NO_SUCH_SEAT'; RETURN; END IF;

    claim_seats.created_at := v_now;
    IF p_protected_until > v_now THEN outcome := 'PROTECTED'; RETURN; END IF;

    SELECT coalesce(sum(cardinality(r.seats)) FILTER (
                WHERE r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > v_now)), 0), count(*)
        INTO v_mine, v_holds
        FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.viewer_id = p_viewer_id;
    IF p_idle_holds > 0 AND v_holds >= p_idle_holds THEN
        SELECT coalesce(r.ended_at, r.held_until) + p_idle_ms * interval '1 millisecond' INTO claim_seats.held_until
            FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.viewer_id = p_viewer_id
              AND r.confirmed_at IS NULL AND coalesce(r.ended_at, r.held_until) <= v_now
            ORDER BY coalesce(r.ended_at, r.held_until) DESC OFFSET p_idle_holds - 1 LIMIT 1;
        IF claim_seats.held_until > v_now THEN outcome := 'COOLING_DOWN'; RETURN; END IF;
    END IF;
    IF v_mine + cardinality(p_seats) > v_sale.max_seats THEN
        outcome := 'TOO_MANY';
        seats_left := greatest(v_sale.max_seats - v_mine, 0);
        RETURN;
    END IF;
    IF p_source IS NOT NULL THEN
        -- Requests from one source for one showtime run one after the other too, so that this cap holds as well.
        PERFORM pg_advisory_xact_lock(hashtextextended(encode(p_source, 'hex'), hashtextextended(p_showtime_id::text, 0)));
        SELECT coalesce(sum(cardinality(r.seats)), 0) INTO v_mine FROM idempotency_keys k
            JOIN reservations r ON r.showtime_id = k.showtime_id AND r.id = k.reservation_id
            WHERE k.showtime_id = p_showtime_id AND k.source = p_source
              AND r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > v_now);
        IF v_mine + cardinality(p_seats) > p_source_seats THEN
            outcome := 'TOO_MANY_THERE';
            seats_left := greatest(p_source_seats - v_mine, 0);
            RETURN;
        END IF;
    END IF;

    lost := examine_seats(p_showtime_id, NULL, p_seats, p_beside, p_beyond);
    IF lost[1] > 0 THEN outcome := 'TAKEN'; RETURN; END IF;
    IF lost IS NOT NULL AND NOT p_override THEN outcome := 'ALONE'; RETURN; END IF;

    INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines, held_until, created_at)
        VALUES (p_showtime_id, p_reservation_id, p_viewer_id, p_seats, p_amount_minor, p_currency, p_lines, v_until, v_now);
    INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id, source, created_at)
        VALUES (p_showtime_id, p_viewer_id, p_key, 'RESERVE', p_fingerprint, p_reservation_id, p_source, v_now);

    -- Ascending seat order everywhere is what keeps overlapping claims from deadlocking.
    FOR v_seat IN SELECT u FROM unnest(p_seats) u ORDER BY u LOOP
        INSERT INTO seat_claims AS c (showtime_id, seat_no, reservation_id, held_until)
            VALUES (p_showtime_id, v_seat, p_reservation_id, v_until)
            ON CONFLICT (showtime_id, seat_no) DO UPDATE
                SET reservation_id = excluded.reservation_id, held_until = excluded.held_until
                WHERE c.held_until <= v_now;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_won := v_won + v_rows;
    END LOOP;
    IF v_won <> cardinality(p_seats) THEN
        RAISE EXCEPTION 'a seat was lost during the claim' USING ERRCODE = 'MQ001';
    END IF;

    outcome := 'CLAIMED';
    claim_seats.reservation_id := p_reservation_id;
    claim_seats.held_until := v_until;
END $$;
-- +goose StatementEnd
DROP FUNCTION seats_of_source;
DROP INDEX idempotency_keys_device_idx;
ALTER TABLE idempotency_keys DROP COLUMN device;
