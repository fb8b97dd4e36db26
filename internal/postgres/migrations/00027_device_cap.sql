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

-- +goose Down
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
