-- +goose Up
-- Counts the changes of a showtime, so that of two who change it at once the second is told.
ALTER TABLE showtimes ADD COLUMN version integer NOT NULL DEFAULT 1;

-- +goose Down
ALTER TABLE showtimes DROP COLUMN version;
