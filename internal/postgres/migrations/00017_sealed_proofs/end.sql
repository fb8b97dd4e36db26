-- With a column go its checks and indexes. An id of a passkey is random and long, so a hash finds it and tells nothing.
ALTER TABLE factors
    DROP COLUMN name,
    DROP COLUMN credential_id,
    DROP COLUMN credential,
    ALTER COLUMN name_sealed SET NOT NULL,
    ADD CONSTRAINT factors_passkey_check CHECK ((kind = 'PASSKEY') = (credential_hash IS NOT NULL) AND (credential_hash IS NULL) = (credential_sealed IS NULL)),
    ADD CONSTRAINT factors_credential_hash_length_check CHECK (octet_length(credential_hash) = 32);
CREATE UNIQUE INDEX factors_credential_key ON factors (credential_hash);
ALTER TABLE federated_identities
    DROP COLUMN subject,
    ALTER COLUMN subject_sealed SET NOT NULL,
    ALTER COLUMN subject_index SET NOT NULL,
    ADD CONSTRAINT federated_identities_subject_index_length_check CHECK (octet_length(subject_index) = 36);
CREATE UNIQUE INDEX federated_identities_subject_key ON federated_identities (issuer, subject_index);

-- A dropped column stays in the table's file until its rows are written anew.
CLUSTER factors USING factors_pkey;
CLUSTER federated_identities USING federated_identities_pkey;
ALTER TABLE factors SET WITHOUT CLUSTER;
ALTER TABLE federated_identities SET WITHOUT CLUSTER;
