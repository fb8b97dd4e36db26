-- What is personal of accounts and sessions is sealed. Between this and end.sql the program seals what is there.
ALTER TABLE users
    ADD COLUMN email_sealed bytea,
    ADD COLUMN email_index bytea,
    ADD COLUMN name_sealed bytea;
ALTER TABLE sessions ADD COLUMN device_sealed bytea;
