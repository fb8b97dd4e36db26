ALTER TABLE users
    DROP COLUMN email_sealed,
    DROP COLUMN email_index,
    DROP COLUMN name_sealed,
    ALTER COLUMN email SET NOT NULL,
    ALTER COLUMN name SET NOT NULL,
    ADD CONSTRAINT users_email_length_check CHECK (length(email) BETWEEN 3 AND 254),
    ADD CONSTRAINT users_name_length_check CHECK (length(name) BETWEEN 1 AND 100);
CREATE UNIQUE INDEX users_email_key ON users (email);
ALTER TABLE sessions
    DROP COLUMN device_sealed,
    ADD CONSTRAINT sessions_device_length_check CHECK (length(device) <= 200);
