-- Money that comes when the hold it is for has run out: the same seats again, else others for a few minutes, else back.

-- +goose Up
-- OFFERED: the funds are reserved or taken, the seats are gone, and others are held for the customer, who has to say.
ALTER TABLE payment_attempts DROP CONSTRAINT payment_attempts_status_check;
ALTER TABLE payment_attempts ADD CONSTRAINT payment_attempts_status_check CHECK (status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'VOID_PENDING', 'VOIDED', 'REFUND_PENDING', 'REFUNDED', 'CARRIED'));
DROP INDEX payment_attempts_live_key;
CREATE UNIQUE INDEX payment_attempts_live_key ON payment_attempts (showtime_id, payment_id) WHERE (status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'CAPTURED'));
DROP INDEX payment_attempts_unsettled_idx;
CREATE INDEX payment_attempts_unsettled_idx ON payment_attempts (leased_until) WHERE (status IN ('STARTED', 'OFFERED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING'));

-- What became of money that came too late, by its attempt. rung: SAME_SEATS were free; OTHER_SEATS are held until the deadline of
-- the reservation; REFUND: it goes back, or was let go before it was taken. lost are the seats of before, offered those instead.
-- answer says what became of an offer: ACCEPTED, DECLINED, or LAPSED.
CREATE TABLE payment_recoveries (
    showtime_id    uuid NOT NULL,
    attempt_id     uuid NOT NULL,
    reservation_id uuid NOT NULL,
    rung           text NOT NULL,
    lost           smallint[] NOT NULL,
    offered        smallint[],
    answer         text,
    created_at     timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    answered_at    timestamptz,
    CONSTRAINT payment_recoveries_pkey PRIMARY KEY (showtime_id, attempt_id),
    CONSTRAINT payment_recoveries_attempt_fkey FOREIGN KEY (showtime_id, attempt_id) REFERENCES payment_attempts (showtime_id, id),
    CONSTRAINT payment_recoveries_reservation_fkey FOREIGN KEY (showtime_id, reservation_id) REFERENCES reservations (showtime_id, id),
    CONSTRAINT payment_recoveries_rung_check CHECK (rung IN ('SAME_SEATS', 'OTHER_SEATS', 'REFUND')),
    CONSTRAINT payment_recoveries_answer_check CHECK (answer IS NULL OR answer IN ('ACCEPTED', 'DECLINED', 'LAPSED') AND offered IS NOT NULL),
    CONSTRAINT payment_recoveries_answered_check CHECK ((answer IS NULL) = (answered_at IS NULL)),
    CONSTRAINT payment_recoveries_offered_check CHECK (rung = 'SAME_SEATS' AND offered IS NULL
        OR rung = 'OTHER_SEATS' AND offered IS NOT NULL AND coalesce(answer, 'ACCEPTED') = 'ACCEPTED'
        OR rung = 'REFUND' AND (offered IS NOT NULL) = (answer IS NOT NULL) AND coalesce(answer, 'LAPSED') <> 'ACCEPTED')
);

-- Lets a reservation that waits for its payment have at least so much time left, but never more than that beyond its last
-- deadline: p_limit_ms after the seats were first held, or the one that the theater set. False where nothing changed. Raises MQ001
-- when a seat was lost at the deadline.
-- +goose StatementBegin
CREATE FUNCTION grant_grace(p_showtime_id uuid, p_reservation_id uuid, p_grace_ms bigint, p_limit_ms bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_now   timestamptz := clock_timestamp();
    v_until timestamptz;
    v_seats smallint[];
    v_rows  integer;
BEGIN
    SELECT least(v_now, coalesce(r.pay_by, r.created_at + p_limit_ms * interval '1 millisecond')) + p_grace_ms * interval '1 millisecond' INTO v_until
        FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id AND r.status IN ('HELD', 'RESERVED') FOR UPDATE;
    -- The same lock as in claim_seats, and the time after it, for the reason that secure_reservation gives.
    PERFORM pg_advisory_xact_lock(hashtextextended(r.viewer_id::text, hashtextextended(p_showtime_id::text, 0)))
        FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id AND r.held_until < v_until;
    IF NOT FOUND THEN RETURN false; END IF;
    v_now := clock_timestamp();
    UPDATE reservations SET held_until = v_until
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id AND status IN ('HELD', 'RESERVED') AND held_until > v_now AND held_until < v_until
        RETURNING seats INTO v_seats;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM 1 FROM seat_claims WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) ORDER BY seat_no FOR UPDATE;
    UPDATE seat_claims SET held_until = v_until
        WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows <> cardinality(v_seats) THEN
        RAISE EXCEPTION 'a seat was lost at the deadline' USING ERRCODE = 'MQ001';
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

-- Gives a reservation whose deadline has passed seats again, all or none, for a started attempt that has the funds, and says how
-- it went. The caller has the reservation's row lock. With p_offer_ms the seats are others: they are held for so long, and the
-- attempt is OFFERED, leased until then; without they are those of before, which are secured, and the attempt is AUTHORIZED.
--   RETAKEN      it has the seats, at the price of before, which p_lines say of these seats
--   NOT_LOST     its deadline has not passed, or it was given back
--   CLOSED       the showtime is not on sale any more
--   TOO_MANY     its viewer, or where it came from, has taken as many others meanwhile as one may
--   TAKEN, ALONE as claim_seats has them
-- Locks come in the order of all. Raises MQ001 when a seat is lost after the checks, or the uses of its codes went to others
-- meanwhile; MQ002 as advance_attempt does, MQ003 when the showtime was called off: nothing is kept.
-- +goose StatementBegin
CREATE FUNCTION retake_seats(
    p_showtime_id uuid, p_reservation_id uuid, p_attempt_id uuid, p_reference text, p_seats smallint[], p_lines jsonb,
    p_beside smallint[], p_beyond smallint[], p_source_seats integer, p_device_seats integer, p_offer_ms bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_now    timestamptz;
    v_until  timestamptz;
    v_own    reservations;
    v_sale   showtime_sales;
    v_from   idempotency_keys;
    v_lost   smallint[];
    v_seat   smallint;
    v_others integer;
    v_rows   integer;
    v_won    integer := 0;
    v_used   integer;
BEGIN
    SELECT r.* INTO STRICT v_own FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id FOR UPDATE;
    PERFORM pg_advisory_xact_lock(hashtextextended(v_own.viewer_id::text, hashtextextended(p_showtime_id::text, 0)));
    v_now := clock_timestamp();
    v_until := v_now + p_offer_ms * interval '1 millisecond';
    IF v_own.status NOT IN ('HELD', 'RESERVED', 'EXPIRED') OR v_own.status <> 'EXPIRED' AND (v_own.held_until IS NULL OR v_own.held_until > v_now) THEN
        RETURN 'NOT_LOST';
    END IF;
    PERFORM FROM showtimes s WHERE s.id = p_showtime_id AND s.status = 'CANCELLED';
    IF FOUND THEN
        RAISE EXCEPTION 'the showtime was called off' USING ERRCODE = 'MQ003';
    END IF;
    SELECT s.* INTO STRICT v_sale FROM showtime_sales s WHERE s.showtime_id = p_showtime_id;
    IF v_sale.status <> 'OPEN' OR v_sale.closes_at <= v_now THEN RETURN 'CLOSED'; END IF;

    SELECT coalesce(sum(cardinality(r.seats)), 0) INTO v_others FROM reservations r
        WHERE r.showtime_id = p_showtime_id AND r.viewer_id = v_own.viewer_id AND r.id <> p_reservation_id
          AND r.status IN ('HELD', 'RESERVED', 'CONFIRMED') AND (r.held_until IS NULL OR r.held_until > v_now);
    IF v_others + cardinality(p_seats) > v_sale.max_seats THEN RETURN 'TOO_MANY'; END IF;
    SELECT k.* INTO v_from FROM idempotency_keys k WHERE k.showtime_id = p_showtime_id AND k.viewer_id = v_own.viewer_id
        AND k.reservation_id = p_reservation_id AND (k.source IS NOT NULL OR k.device IS NOT NULL) LIMIT 1;
    IF v_from.source IS NOT NULL AND p_source_seats > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(encode(v_from.source, 'hex'), hashtextextended(p_showtime_id::text, 0)));
        IF seats_of_source(p_showtime_id, v_from.source, NULL, p_reservation_id, v_now) + cardinality(p_seats) > p_source_seats THEN RETURN 'TOO_MANY'; END IF;
    END IF;
    IF v_from.device IS NOT NULL AND p_device_seats > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(encode(v_from.device, 'hex'), hashtextextended(p_showtime_id::text, 0)));
        IF seats_of_source(p_showtime_id, NULL, v_from.device, p_reservation_id, v_now) + cardinality(p_seats) > p_device_seats THEN RETURN 'TOO_MANY'; END IF;
    END IF;

    v_lost := examine_seats(p_showtime_id, p_reservation_id, p_seats, p_beside, p_beyond);
    IF v_lost[1] > 0 THEN RETURN 'TAKEN'; END IF;
    IF v_lost IS NOT NULL THEN RETURN 'ALONE'; END IF;

    -- Claims that it still has, since nobody swept it, are of a deadline that has passed: free like any other.
    FOR v_seat IN SELECT DISTINCT u FROM unnest(v_own.seats || p_seats) u ORDER BY u LOOP
        IF v_seat = ANY (p_seats) THEN
            INSERT INTO seat_claims AS c (showtime_id, seat_no, reservation_id, held_until)
                VALUES (p_showtime_id, v_seat, p_reservation_id, v_until)
                ON CONFLICT (showtime_id, seat_no) DO UPDATE
                    SET reservation_id = excluded.reservation_id, held_until = excluded.held_until
                    WHERE c.held_until <= v_now;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            v_won := v_won + v_rows;
        ELSE
            DELETE FROM seat_claims c WHERE c.showtime_id = p_showtime_id AND c.seat_no = v_seat AND c.reservation_id = p_reservation_id;
        END IF;
    END LOOP;
    IF v_won <> cardinality(p_seats) THEN
        RAISE EXCEPTION 'a seat was lost during the claim' USING ERRCODE = 'MQ001';
    END IF;
    UPDATE reservations SET status = 'HELD', seats = p_seats, lines = p_lines, held_until = v_until, ended_at = NULL
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id;
    UPDATE payments SET status = 'PENDING', updated_at = v_now
        WHERE showtime_id = p_showtime_id AND reservation_id = p_reservation_id AND status = 'FAILED';
    PERFORM advance_attempt(p_showtime_id, p_attempt_id, 'STARTED', CASE WHEN p_offer_ms IS NULL THEN 'AUTHORIZED' ELSE 'OFFERED' END, p_reference, '');
    IF p_offer_ms IS NOT NULL THEN
        UPDATE payment_attempts SET leased_until = v_until WHERE showtime_id = p_showtime_id AND id = p_attempt_id;
    END IF;
    INSERT INTO payment_recoveries (showtime_id, attempt_id, reservation_id, rung, lost, offered)
        VALUES (p_showtime_id, p_attempt_id, p_reservation_id, CASE WHEN p_offer_ms IS NULL THEN 'SAME_SEATS' ELSE 'OTHER_SEATS' END,
            v_own.seats, CASE WHEN p_offer_ms IS NOT NULL THEN p_seats END);

    -- Last, and in one order: the uses of codes that went back with the end.
    PERFORM 1 FROM promotion_redemptions r JOIN promotions p ON p.id = r.id
        WHERE r.showtime_id = p_showtime_id AND r.reservation_id = p_reservation_id AND r.returned_at IS NOT NULL ORDER BY p.id FOR UPDATE OF p;
    IF FOUND THEN
        UPDATE promotions p SET used_count = p.used_count + 1, used_minor = p.used_minor + r.amount_minor FROM promotion_redemptions r
            WHERE r.showtime_id = p_showtime_id AND r.reservation_id = p_reservation_id AND r.returned_at IS NOT NULL AND p.id = r.id
              AND (p.max_uses IS NULL OR p.used_count < p.max_uses) AND (p.max_minor IS NULL OR p.used_minor + r.amount_minor <= p.max_minor)
              AND (p.per_user IS NULL OR p.per_user > (SELECT count(*) FROM promotion_redemptions o
                WHERE o.id = p.id AND o.viewer_id = v_own.viewer_id AND o.returned_at IS NULL));
        GET DIAGNOSTICS v_used = ROW_COUNT;
        UPDATE promotion_redemptions SET returned_at = NULL
            WHERE showtime_id = p_showtime_id AND reservation_id = p_reservation_id AND returned_at IS NOT NULL;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF v_rows <> v_used THEN
            RAISE EXCEPTION 'a code was used by others meanwhile' USING ERRCODE = 'MQ001';
        END IF;
    END IF;
    RETURN 'RETAKEN';
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION retake_seats;
DROP FUNCTION grant_grace;
DROP TABLE payment_recoveries;
-- What was offered and not answered is looked up again, and goes back.
UPDATE reservations r SET held_until = now() FROM payments p, payment_attempts a WHERE p.showtime_id = r.showtime_id AND p.reservation_id = r.id
    AND a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status = 'OFFERED' AND r.held_until > now();
UPDATE seat_claims c SET held_until = now() FROM payments p, payment_attempts a WHERE p.showtime_id = c.showtime_id AND p.reservation_id = c.reservation_id
    AND a.showtime_id = p.showtime_id AND a.payment_id = p.id AND a.status = 'OFFERED' AND c.held_until > now();
UPDATE payment_attempts SET status = 'STARTED' WHERE status = 'OFFERED';
DROP INDEX payment_attempts_unsettled_idx;
CREATE INDEX payment_attempts_unsettled_idx ON payment_attempts (leased_until) WHERE (status IN ('STARTED', 'AUTHORIZED', 'VOID_PENDING', 'REFUND_PENDING'));
DROP INDEX payment_attempts_live_key;
CREATE UNIQUE INDEX payment_attempts_live_key ON payment_attempts (showtime_id, payment_id) WHERE (status IN ('STARTED', 'AUTHORIZED', 'CAPTURED'));
ALTER TABLE payment_attempts DROP CONSTRAINT payment_attempts_status_check;
ALTER TABLE payment_attempts ADD CONSTRAINT payment_attempts_status_check CHECK (status IN ('STARTED', 'AUTHORIZED', 'CAPTURED', 'DECLINED', 'VOID_PENDING', 'VOIDED', 'REFUND_PENDING', 'REFUNDED', 'CARRIED'));
