TRUNCATE ceremonies;
ALTER TABLE ceremonies DROP COLUMN state_sealed, ADD COLUMN state bytea NOT NULL;
ALTER TABLE factors
    ADD COLUMN name text,
    ADD COLUMN credential_id bytea,
    ADD COLUMN credential bytea;
ALTER TABLE federated_identities ADD COLUMN subject text;
