ALTER TABLE users
    DROP COLUMN email,
    DROP COLUMN name,
    ALTER COLUMN email_sealed SET NOT NULL,
    ALTER COLUMN email_index SET NOT NULL,
    ALTER COLUMN name_sealed SET NOT NULL,
    ADD CONSTRAINT users_email_index_length_check CHECK (octet_length(email_index) = 36);
CREATE UNIQUE INDEX users_email_index_key ON users (email_index);
-- Null: the device called itself nothing.
ALTER TABLE sessions DROP COLUMN device;

-- A dropped column stays in the table's file until its rows are written anew.
CLUSTER users USING users_pkey;
CLUSTER sessions USING sessions_pkey;
ALTER TABLE users SET WITHOUT CLUSTER;
ALTER TABLE sessions SET WITHOUT CLUSTER;
