ALTER TABLE factors
    DROP COLUMN name_sealed,
    DROP COLUMN credential_hash,
    DROP COLUMN credential_sealed,
    ALTER COLUMN name SET NOT NULL,
    ADD CONSTRAINT factors_passkey_check CHECK ((kind = 'PASSKEY') = (credential_id IS NOT NULL) AND (credential_id IS NULL) = (credential IS NULL)),
    ADD CONSTRAINT factors_name_length_check CHECK (length(name) BETWEEN 1 AND 100);
CREATE UNIQUE INDEX factors_credential_key ON factors (credential_id);
ALTER TABLE federated_identities
    DROP COLUMN subject_sealed,
    DROP COLUMN subject_index,
    ALTER COLUMN subject SET NOT NULL,
    ADD CONSTRAINT federated_identities_subject_check CHECK (length(subject) BETWEEN 1 AND 255);
CREATE UNIQUE INDEX federated_identities_subject_key ON federated_identities (issuer, subject);
