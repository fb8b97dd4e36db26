-- What comes back when seats are given back: the policies of theaters, seats that leave a reservation, and refunds of a part.

-- +goose Up
-- The refund policies of theaters, version after version. A reservation has the last one that held when its seats were
-- first held (holds_from <= created_at); one of a theater without such a row has pricing.DefaultRefundPolicy. Versions hold
-- from a moment after they are committed, so what a reservation was made under never changes.
CREATE TABLE refund_policies (
    theater_id            uuid NOT NULL,
    version               integer NOT NULL,
    steps                 jsonb NOT NULL,
    late_without_refund   boolean NOT NULL,
    kept_per_ticket_minor bigint NOT NULL,
    kept_once_minor       bigint NOT NULL,
    fees_returned         boolean NOT NULL,
    holds_from            timestamptz NOT NULL,
    CONSTRAINT refund_policies_pkey PRIMARY KEY (theater_id, version),
    CONSTRAINT refund_policies_theater_fkey FOREIGN KEY (theater_id) REFERENCES theaters (id) ON DELETE CASCADE,
    CONSTRAINT refund_policies_version_check CHECK (version > 0),
    CONSTRAINT refund_policies_steps_check CHECK (jsonb_typeof(steps) = 'array' AND jsonb_array_length(steps) <= 10),
    CONSTRAINT refund_policies_kept_check CHECK (kept_per_ticket_minor BETWEEN 0 AND 1000000000 AND kept_once_minor BETWEEN 0 AND 1000000000)
);

-- +goose StatementBegin
CREATE FUNCTION refund_policies_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM theaters WHERE id = OLD.theater_id) THEN
        RETURN OLD; -- it goes with its theater
    END IF;
    RAISE EXCEPTION 'customers bought under this refund policy: it stays as it is' USING ERRCODE = 'integrity_constraint_violation';
END $$;
-- +goose StatementEnd
CREATE TRIGGER refund_policies_stay BEFORE UPDATE OR DELETE ON refund_policies FOR EACH ROW EXECUTE FUNCTION refund_policies_stay();

-- Seats that left a reservation before it ended; lines and amount_minor are those of the rest.
ALTER TABLE reservations ADD COLUMN released smallint[] NOT NULL DEFAULT '{}';

-- What an attempt is to take: the price of a reservation may change between two attempts.
ALTER TABLE payment_attempts ADD COLUMN amount_minor bigint;
UPDATE payment_attempts a SET amount_minor = p.amount_minor FROM payments p WHERE p.showtime_id = a.showtime_id AND p.id = a.payment_id;
ALTER TABLE payment_attempts ALTER COLUMN amount_minor SET NOT NULL;
ALTER TABLE payment_attempts ADD CONSTRAINT payment_attempts_amount_check CHECK (amount_minor > 0);

-- promised_minor is what all refunds of a payment come to, those that are still on their way included: it cannot pass what
-- was captured, however many ask at once.
ALTER TABLE payments ADD COLUMN promised_minor bigint NOT NULL DEFAULT 0;
UPDATE payments SET promised_minor = captured_minor WHERE status IN ('REFUND_PENDING', 'REFUNDED');
ALTER TABLE payments ADD CONSTRAINT payments_promised_check CHECK (promised_minor BETWEEN refunded_minor AND captured_minor);

-- Money that goes back of an attempt that was captured in order. The gateway knows a refund by attempt and number.
-- leased_until is as payment_attempts has it.
CREATE TABLE refunds (
    showtime_id  uuid NOT NULL,
    id           uuid NOT NULL,
    payment_id   uuid NOT NULL,
    attempt_id   uuid NOT NULL,
    number       smallint NOT NULL,
    amount_minor bigint NOT NULL,
    cause        text NOT NULL,
    seats        smallint[] NOT NULL,
    status       text NOT NULL DEFAULT 'PENDING',
    leased_until timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    done_at      timestamptz,
    CONSTRAINT refunds_pkey PRIMARY KEY (showtime_id, id),
    CONSTRAINT refunds_number_key UNIQUE (showtime_id, attempt_id, number),
    CONSTRAINT refunds_payment_fkey FOREIGN KEY (showtime_id, payment_id) REFERENCES payments (showtime_id, id),
    CONSTRAINT refunds_attempt_fkey FOREIGN KEY (showtime_id, attempt_id) REFERENCES payment_attempts (showtime_id, id),
    CONSTRAINT refunds_amount_check CHECK (amount_minor > 0 AND number > 0),
    CONSTRAINT refunds_cause_check CHECK (cause IN ('CUSTOMER', 'THEATER', 'GOODWILL')),
    CONSTRAINT refunds_status_check CHECK (status IN ('PENDING', 'DONE') AND (status = 'DONE') = (done_at IS NOT NULL))
);
CREATE INDEX refunds_payment_idx ON refunds (showtime_id, payment_id);
CREATE INDEX refunds_unsettled_idx ON refunds (leased_until) WHERE (status = 'PENDING');

-- Takes some of its seats, never all, from a reservation in one of the states p_from; the rest costs p_amount_minor, by
-- p_lines. False when it is not such a one, or has not all of the seats. The caller has the reservation's row lock.
-- +goose StatementBegin
CREATE FUNCTION release_seats(p_showtime_id uuid, p_reservation_id uuid, p_seats smallint[], p_from text[], p_amount_minor bigint, p_lines jsonb)
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reservations SET seats = ARRAY(SELECT s.no FROM unnest(seats) WITH ORDINALITY AS s (no, at) WHERE s.no <> ALL (p_seats) ORDER BY s.at),
            released = released || p_seats, amount_minor = p_amount_minor, lines = p_lines
        WHERE showtime_id = p_showtime_id AND id = p_reservation_id AND status = ANY (p_from) AND seats @> p_seats AND NOT seats <@ p_seats;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM 1 FROM seat_claims WHERE showtime_id = p_showtime_id AND seat_no = ANY (p_seats) ORDER BY seat_no FOR UPDATE;
    DELETE FROM seat_claims
        WHERE showtime_id = p_showtime_id AND seat_no = ANY (p_seats) AND reservation_id = p_reservation_id;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION release_seats;
DROP TABLE refunds;
ALTER TABLE payments DROP CONSTRAINT payments_promised_check;
ALTER TABLE payments DROP COLUMN promised_minor;
ALTER TABLE payment_attempts DROP CONSTRAINT payment_attempts_amount_check;
ALTER TABLE payment_attempts DROP COLUMN amount_minor;
ALTER TABLE reservations DROP COLUMN released;
DROP TABLE refund_policies;
DROP FUNCTION refund_policies_stay;
