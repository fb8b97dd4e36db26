-- What people call their second factors, their passkeys, and who they are at providers is sealed. Between this and end.sql
-- the program seals what is there. What was under way is not carried over: whoever waits at a step begins again.
-- Emptied, not deleted from: what a transaction deletes stays in the file.
TRUNCATE ceremonies;
ALTER TABLE ceremonies DROP COLUMN state, ADD COLUMN state_sealed bytea NOT NULL;
ALTER TABLE factors
    ADD COLUMN name_sealed bytea,
    ADD COLUMN credential_hash bytea,
    ADD COLUMN credential_sealed bytea;
ALTER TABLE federated_identities
    ADD COLUMN subject_sealed bytea,
    ADD COLUMN subject_index bytea;
