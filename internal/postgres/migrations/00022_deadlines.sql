-- Longer holds and advance reservations without payment.

-- +goose Up
-- Theaters that let customers pay later. A theater without a row does not.
CREATE TABLE pay_later_policies (
    theater_id   uuid PRIMARY KEY,
    lead_minutes integer NOT NULL,
    max_open     integer NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT pay_later_policies_theater_fkey FOREIGN KEY (theater_id) REFERENCES theaters (id) ON DELETE CASCADE,
    CONSTRAINT pay_later_policies_lead_check CHECK (lead_minutes BETWEEN 0 AND 10080),
    CONSTRAINT pay_later_policies_open_check CHECK (max_open BETWEEN 1 AND 100)
);

-- pay_by is the deadline that a reservation was given with RESERVED; a payment in between does not forget it.
ALTER TABLE reservations ADD COLUMN pay_by timestamptz;
ALTER TABLE reservations ADD CONSTRAINT reservations_pay_by_check CHECK ((status = 'RESERVED') <= (pay_by IS NOT NULL));

-- Gives a HELD reservation whose deadline has not passed another one, as HELD or as RESERVED. False when it is not such a
-- one any more. Raises MQ001 when a claim that began a moment later has taken over a seat just at the deadline. The
-- caller has the reservation's row lock.
-- +goose StatementBegin
CREATE FUNCTION move_deadline(p_showtime_id uuid, p_reservation_id uuid, p_status text, p_until timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_now   timestamptz;
    v_seats smallint[];
    v_rows  integer;
BEGIN
    -- The same lock as in claim_seats, and the time after it, for the reason that secure_reservation gives.
    PERFORM pg_advisory_xact_lock(hashtextextended(r.viewer_id::text, hashtextextended(p_showtime_id::text, 0)))
        FROM reservations r WHERE r.showtime_id = p_showtime_id AND r.id = p_reservation_id;
    v_now := clock_timestamp();
    UPDATE reservations SET held_until = p_until, status = p_status,
            pay_by = CASE WHEN p_status = 'RESERVED' THEN p_until ELSE pay_by END
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id AND status = 'HELD' AND held_until > v_now
        RETURNING seats INTO v_seats;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM 1 FROM seat_claims WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) ORDER BY seat_no FOR UPDATE;
    UPDATE seat_claims SET held_until = p_until
        WHERE showtime_id = p_showtime_id AND seat_no = ANY (v_seats) AND reservation_id = p_reservation_id;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    IF v_rows <> cardinality(v_seats) THEN
        RAISE EXCEPTION 'a seat was lost at the deadline' USING ERRCODE = 'MQ001';
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION move_deadline;
ALTER TABLE reservations DROP CONSTRAINT reservations_pay_by_check;
ALTER TABLE reservations DROP COLUMN pay_by;
DROP TABLE pay_later_policies;
