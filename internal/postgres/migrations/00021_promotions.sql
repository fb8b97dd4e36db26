-- Codes that make tickets cheaper: within a time, a budget and a number for each customer.

-- +goose Up
CREATE TABLE promotions (
    id           uuid PRIMARY KEY,
    theater_id   uuid NOT NULL,
    code         text NOT NULL,
    label        text NOT NULL,
    basis_points integer NOT NULL DEFAULT 0,
    amount_minor bigint NOT NULL DEFAULT 0,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    max_uses     integer,
    max_minor    bigint,
    per_user     integer,
    combinable   boolean NOT NULL DEFAULT false,
    scope        jsonb NOT NULL DEFAULT '{}',
    active       boolean NOT NULL DEFAULT true,
    version      integer NOT NULL DEFAULT 1,
    used_count   integer NOT NULL DEFAULT 0,
    used_minor   bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT promotions_theater_fkey FOREIGN KEY (theater_id) REFERENCES theaters (id) ON DELETE CASCADE,
    CONSTRAINT promotions_code_check CHECK (code ~ '^[A-Z0-9]{6,32}$'),
    CONSTRAINT promotions_label_length_check CHECK (length(label) BETWEEN 1 AND 60),
    CONSTRAINT promotions_change_check CHECK ((basis_points = 0) <> (amount_minor = 0)),
    CONSTRAINT promotions_size_check CHECK (basis_points BETWEEN -10000 AND 0 AND amount_minor BETWEEN -1000000000 AND 0),
    CONSTRAINT promotions_window_check CHECK (starts_at < ends_at),
    CONSTRAINT promotions_limits_check CHECK (max_uses > 0 AND max_minor > 0 AND per_user > 0),
    CONSTRAINT promotions_used_check CHECK (used_count >= 0 AND used_minor >= 0)
);
CREATE UNIQUE INDEX promotions_code_key ON promotions (theater_id, code);

-- A use of a promotion by a reservation. It goes back when the reservation ends, whichever way.
CREATE TABLE promotion_redemptions (
    showtime_id    uuid NOT NULL,
    reservation_id uuid NOT NULL,
    id             uuid NOT NULL,
    viewer_id      uuid NOT NULL,
    amount_minor   bigint NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    returned_at    timestamptz,
    CONSTRAINT promotion_redemptions_pkey PRIMARY KEY (showtime_id, reservation_id, id),
    CONSTRAINT promotion_redemptions_reservation_fkey FOREIGN KEY (showtime_id, reservation_id) REFERENCES reservations (showtime_id, id) ON DELETE CASCADE,
    CONSTRAINT promotion_redemptions_promotion_fkey FOREIGN KEY (id) REFERENCES promotions (id) ON DELETE CASCADE,
    CONSTRAINT promotion_redemptions_amount_check CHECK (amount_minor > 0)
);
CREATE INDEX promotion_redemptions_viewer_idx ON promotion_redemptions (viewer_id, id);
CREATE INDEX promotion_redemptions_promotion_idx ON promotion_redemptions (id);

-- As before, and the promotions that the reservation used are given back.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION end_reservation(p_showtime_id uuid, p_reservation_id uuid, p_from text[], p_to text) RETURNS boolean
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
    -- Last, and in one order: this row is shared by all who use the code.
    PERFORM 1 FROM promotion_redemptions r JOIN promotions p ON p.id = r.id
        WHERE r.showtime_id = p_showtime_id AND r.reservation_id = p_reservation_id AND r.returned_at IS NULL ORDER BY p.id FOR UPDATE OF p;
    IF FOUND THEN
        WITH returned AS (UPDATE promotion_redemptions SET returned_at = v_now
            WHERE showtime_id = p_showtime_id AND reservation_id = p_reservation_id AND returned_at IS NULL RETURNING id, amount_minor)
        UPDATE promotions p SET used_count = p.used_count - 1, used_minor = p.used_minor - r.amount_minor FROM returned r WHERE p.id = r.id;
    END IF;
    RETURN true;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION end_reservation(p_showtime_id uuid, p_reservation_id uuid, p_from text[], p_to text) RETURNS boolean
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
DROP TABLE promotion_redemptions, promotions;
