-- The booking core. showtime_id is the first column of every key, so that the same schema can be distributed by
-- showtime; one transaction touches one showtime; no trigger, no sequence, no row that all holds of a showtime share.

-- +goose Up
-- What the claim reads: whether a showtime is on sale and at which prices. showtimes holds the rest.
CREATE TABLE showtime_sales (
    showtime_id   uuid PRIMARY KEY,
    status        text NOT NULL DEFAULT 'OPEN',
    opens_at      timestamptz NOT NULL,
    closes_at     timestamptz NOT NULL,
    seat_count    smallint NOT NULL,
    max_seats     smallint NOT NULL,
    currency      text NOT NULL,
    price_version integer NOT NULL DEFAULT 1,
    CONSTRAINT showtime_sales_showtime_fkey FOREIGN KEY (showtime_id) REFERENCES showtimes (id) ON DELETE CASCADE,
    CONSTRAINT showtime_sales_status_check CHECK (status IN ('OPEN', 'CLOSED')),
    CONSTRAINT showtime_sales_window_check CHECK (opens_at < closes_at),
    CONSTRAINT showtime_sales_seats_check CHECK (seat_count > 0 AND max_seats > 0)
);

-- held_until is the deadline of a HELD reservation; NULL once a payment has secured the seats, and in every end state.
CREATE TABLE reservations (
    showtime_id  uuid NOT NULL,
    id           uuid NOT NULL,
    viewer_id    uuid NOT NULL,
    status       text NOT NULL DEFAULT 'HELD',
    seats        smallint[] NOT NULL,
    amount_minor bigint NOT NULL,
    currency     text NOT NULL,
    lines        jsonb NOT NULL,
    held_until   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    confirmed_at timestamptz,
    ended_at     timestamptz,
    CONSTRAINT reservations_pkey PRIMARY KEY (showtime_id, id),
    CONSTRAINT reservations_status_check CHECK (status IN ('HELD', 'RESERVED', 'CONFIRMED', 'CANCELLED', 'EXPIRED')),
    CONSTRAINT reservations_seats_check CHECK (cardinality(seats) > 0),
    CONSTRAINT reservations_amount_check CHECK (amount_minor >= 0),
    CONSTRAINT reservations_deadline_check CHECK (held_until IS NULL OR status IN ('HELD', 'RESERVED')),
    CONSTRAINT reservations_confirmed_check CHECK ((status = 'CONFIRMED') <= (confirmed_at IS NOT NULL)),
    CONSTRAINT reservations_ended_check CHECK ((status IN ('CANCELLED', 'EXPIRED')) = (ended_at IS NOT NULL))
);
CREATE INDEX reservations_viewer_idx ON reservations (viewer_id, id);
CREATE INDEX reservations_cap_idx ON reservations (showtime_id, viewer_id);
CREATE INDEX reservations_deadline_idx ON reservations (held_until) WHERE (held_until IS NOT NULL);

-- One row for a seat that is not free. The primary key is what makes selling a seat twice impossible.
-- held_until in the future: held. Past: free again, to be taken over in place. NULL: taken for good, or, without a
-- reservation, blocked by the house.
CREATE TABLE seat_claims (
    showtime_id    uuid NOT NULL,
    seat_no        smallint NOT NULL,
    reservation_id uuid,
    held_until     timestamptz,
    CONSTRAINT seat_claims_pkey PRIMARY KEY (showtime_id, seat_no),
    CONSTRAINT seat_claims_reservation_fkey FOREIGN KEY (showtime_id, reservation_id) REFERENCES reservations (showtime_id, id),
    CONSTRAINT seat_claims_seat_no_check CHECK (seat_no > 0),
    CONSTRAINT seat_claims_block_check CHECK (reservation_id IS NOT NULL OR held_until IS NULL)
) WITH (fillfactor = 80);

-- A command's key, what it asked, and the reservation it was about: repeating the command gives the answer again.
CREATE TABLE idempotency_keys (
    showtime_id    uuid NOT NULL,
    viewer_id      uuid NOT NULL,
    key            text NOT NULL,
    operation      text NOT NULL,
    fingerprint    bytea NOT NULL,
    reservation_id uuid NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (showtime_id, viewer_id, key),
    CONSTRAINT idempotency_keys_key_check CHECK (length(key) BETWEEN 8 AND 255)
);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);

CREATE TABLE payments (
    showtime_id    uuid NOT NULL,
    id             uuid NOT NULL,
    reservation_id uuid NOT NULL,
    viewer_id      uuid NOT NULL,
    gateway        text NOT NULL,
    status         text NOT NULL DEFAULT 'PENDING',
    amount_minor   bigint NOT NULL,
    captured_minor bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    currency       text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at     timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT payments_pkey PRIMARY KEY (showtime_id, id),
    CONSTRAINT payments_reservation_key UNIQUE (showtime_id, reservation_id),
    CONSTRAINT payments_reservation_fkey FOREIGN KEY (showtime_id, reservation_id) REFERENCES reservations (showtime_id, id),
    CONSTRAINT payments_status_check CHECK (status IN ('PENDING', 'CAPTURED', 'REFUND_PENDING', 'REFUNDED', 'FAILED')),
    CONSTRAINT payments_amounts_check CHECK (amount_minor > 0 AND captured_minor BETWEEN 0 AND amount_minor AND refunded_minor BETWEEN 0 AND captured_minor)
);

-- One try at the gateway under a payment; its id is the key the gateway knows it by. leased_until keeps two processes
-- from driving the same attempt at once; whoever finds it in the past may take the attempt over.
CREATE TABLE payment_attempts (
    showtime_id       uuid NOT NULL,
    id                uuid NOT NULL,
    payment_id        uuid NOT NULL,
    number            smallint NOT NULL,
    status            text NOT NULL DEFAULT 'STARTED',
    gateway_reference text,
    decline_code      text,
    idempotency_key   text NOT NULL,
    leased_until      timestamptz NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at        timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT payment_attempts_pkey PRIMARY KEY (showtime_id, id),
    CONSTRAINT payment_attempts_number_key UNIQUE (showtime_id, payment_id, number),
    CONSTRAINT payment_attempts_payment_fkey FOREIGN KEY (showtime_id, payment_id) REFERENCES payments (showtime_id, id),
    CONSTRAINT payment_attempts_status_check CHECK (status IN ('STARTED', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'VOID_PENDING', 'VOIDED', 'REFUND_PENDING', 'REFUNDED'))
);
-- At most one attempt of a payment may be able to take money.
CREATE UNIQUE INDEX payment_attempts_live_key ON payment_attempts (showtime_id, payment_id)
    WHERE (status IN ('STARTED', 'AUTHORIZED', 'CAPTURED'));
CREATE INDEX payment_attempts_unsettled_idx ON payment_attempts (leased_until)
    WHERE (status IN ('STARTED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING'));

CREATE TABLE tickets (
    showtime_id    uuid NOT NULL,
    id             uuid NOT NULL,
    reservation_id uuid NOT NULL,
    seat_no        smallint NOT NULL,
    code           text NOT NULL,
    status         text NOT NULL DEFAULT 'ISSUED',
    issued_at      timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT tickets_pkey PRIMARY KEY (showtime_id, id),
    CONSTRAINT tickets_code_key UNIQUE (showtime_id, code),
    CONSTRAINT tickets_reservation_fkey FOREIGN KEY (showtime_id, reservation_id) REFERENCES reservations (showtime_id, id),
    CONSTRAINT tickets_status_check CHECK (status IN ('ISSUED', 'REDEEMED', 'REVOKED'))
);
CREATE UNIQUE INDEX tickets_seat_key ON tickets (showtime_id, seat_no) WHERE (status <> 'REVOKED');
CREATE INDEX tickets_reservation_idx ON tickets (showtime_id, reservation_id);

-- Claims the given seats for a new reservation, all or nothing, and says how it went:
--   CLAIMED             the reservation is HELD until held_until
--   REPLAYED            the key was used for the same request before: reservation and deadline of that time
--   KEY_REUSED          the key was used for another request
--   NO_SHOWTIME, CLOSED, NOT_YET_OPEN, STALE_PRICE, NO_SUCH_SEAT
--   TOO_MANY            the viewer would hold more seats of this showtime than max_seats; seats_left says how many are left
--   TAKEN               lost names the seats that someone else has, or is just taking
-- The caller passes the price it quoted with the price_version it was quoted from. Seats may come in any order.
-- Raises MQ001 when a seat is lost after the checks: nothing is kept, the caller asks again.
-- +goose StatementBegin
CREATE FUNCTION claim_seats(
    p_showtime_id uuid, p_reservation_id uuid, p_viewer_id uuid, p_seats smallint[],
    p_price_version integer, p_amount_minor bigint, p_currency text, p_lines jsonb,
    p_hold_ms integer, p_key text, p_fingerprint bytea,
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

    SELECT coalesce(sum(cardinality(r.seats)), 0) INTO v_mine FROM reservations r
        WHERE r.showtime_id = p_showtime_id AND r.viewer_id = p_viewer_id
          AND r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > v_now);
    IF v_mine + cardinality(p_seats) > v_sale.max_seats THEN
        outcome := 'TOO_MANY';
        seats_left := greatest(v_sale.max_seats - v_mine, 0);
        RETURN;
    END IF;

    -- Only an optimisation: who comes second turns away at once instead of waiting for a row that will be refused. It
    -- stops at the first seat that is gone, in the order of all: going on, two losers could keep the seats from each other.
    FOR v_seat IN SELECT u FROM unnest(p_seats) u ORDER BY u LOOP
        IF NOT pg_try_advisory_xact_lock(hashtext(p_showtime_id::text), v_seat) THEN
            lost := ARRAY[v_seat];
            EXIT;
        END IF;
    END LOOP;
    IF lost IS NULL THEN
        SELECT array_agg(c.seat_no ORDER BY c.seat_no) INTO lost FROM seat_claims c
            WHERE c.showtime_id = p_showtime_id AND c.seat_no = ANY (p_seats) AND (c.held_until IS NULL OR c.held_until > v_now);
    END IF;
    IF lost IS NOT NULL THEN outcome := 'TAKEN'; RETURN; END IF;

    INSERT INTO reservations (showtime_id, id, viewer_id, seats, amount_minor, currency, lines, held_until, created_at)
        VALUES (p_showtime_id, p_reservation_id, p_viewer_id, p_seats, p_amount_minor, p_currency, p_lines, v_until, v_now);
    INSERT INTO idempotency_keys (showtime_id, viewer_id, key, operation, fingerprint, reservation_id, created_at)
        VALUES (p_showtime_id, p_viewer_id, p_key, 'RESERVE', p_fingerprint, p_reservation_id, v_now);

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
    claim_seats.created_at := v_now;
END $$;
-- +goose StatementEnd

-- Makes the seats of a HELD or RESERVED reservation stop expiring, because a payment for it is authorized. False when the
-- deadline has passed. Raises MQ001 when a claim that began a moment later has taken over a seat just at the deadline.
-- +goose StatementBegin
CREATE FUNCTION secure_reservation(p_showtime_id uuid, p_reservation_id uuid) RETURNS boolean
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

-- Ends a reservation as CANCELLED or EXPIRED and frees those of its seats that it still has; a payment that has taken
-- no money by then never will. False when the reservation is not in one of the states p_from. EXPIRED demands in addition that the deadline has passed; SKIP LOCKED lets several
-- sweepers work side by side.
-- +goose StatementBegin
CREATE FUNCTION end_reservation(p_showtime_id uuid, p_reservation_id uuid, p_from text[], p_to text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_now   timestamptz := now();
    v_seats smallint[];
BEGIN
    IF p_to = 'EXPIRED' THEN
        SELECT seats INTO v_seats FROM reservations
            WHERE showtime_id = p_showtime_id AND id = p_reservation_id AND status = ANY (p_from) AND held_until <= v_now
            FOR UPDATE SKIP LOCKED;
    ELSE
        SELECT seats INTO v_seats FROM reservations
            WHERE showtime_id = p_showtime_id AND id = p_reservation_id AND status = ANY (p_from)
            FOR UPDATE;
    END IF;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE reservations SET status = p_to, held_until = NULL, ended_at = v_now
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id;
    PERFORM 1 FROM seat_claims WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) ORDER BY seat_no FOR UPDATE;
    DELETE FROM seat_claims
        WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id;
    UPDATE payments SET status = 'FAILED', updated_at = v_now
        WHERE showtime_id = p_showtime_id AND reservation_id = p_reservation_id AND status = 'PENDING';
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION end_reservation, secure_reservation, claim_seats;
DROP TABLE tickets, payment_attempts, payments, idempotency_keys, seat_claims, reservations, showtime_sales;
