-- Devices that accounts were signed in to from, so that their owners hear of others.

-- +goose Up
-- The id is a keyed hash of account, device and network: nothing can be read from it.
CREATE TABLE known_devices (
    id      uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT known_devices_user_fkey REFERENCES users ON DELETE CASCADE,
    seen_at timestamptz NOT NULL
);
CREATE INDEX known_devices_user_idx ON known_devices (user_id, seen_at);
CREATE INDEX known_devices_seen_idx ON known_devices (seen_at);

-- +goose Down
DROP TABLE known_devices;
