-- What was done, by whom, and what it changed: written once, in the transaction of the act itself.

-- +goose Up
CREATE TABLE audit_entries (
    id         uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    action     text NOT NULL,
    actor_id   uuid,
    subject    text NOT NULL DEFAULT '',
    theater_id uuid,
    reason     text NOT NULL DEFAULT '',
    -- json, not jsonb: the text stays as it was sealed.
    before     json,
    after      json,
    request_id text NOT NULL DEFAULT '',
    address    text NOT NULL DEFAULT '',
    -- Place in the chain and its hash; both come later, once, from the sealer.
    position   bigint,
    seal       bytea,
    CONSTRAINT audit_entries_action_check CHECK (action ~ '^[a-z_]+([.][a-z_]+)+$' AND length(action) <= 100),
    CONSTRAINT audit_entries_lengths_check CHECK (
        length(subject) <= 200 AND length(reason) <= 1000 AND length(request_id) <= 100 AND length(address) <= 100
        AND octet_length(before::text) <= 65536 AND octet_length(after::text) <= 65536),
    CONSTRAINT audit_entries_seal_check CHECK (
        (position IS NULL) = (seal IS NULL) AND position > 0 AND octet_length(seal) = 32)
);
CREATE UNIQUE INDEX audit_entries_position_key ON audit_entries (position);
CREATE INDEX audit_entries_unsealed_idx ON audit_entries (created_at, id) WHERE (position IS NULL);
CREATE INDEX audit_entries_created_idx ON audit_entries (created_at, id);
CREATE INDEX audit_entries_action_idx ON audit_entries (action, created_at, id);
CREATE INDEX audit_entries_actor_idx ON audit_entries (actor_id, created_at, id);
CREATE INDEX audit_entries_subject_idx ON audit_entries (subject, created_at, id);
CREATE INDEX audit_entries_theater_idx ON audit_entries (theater_id, created_at, id) WHERE (theater_id IS NOT NULL);

-- +goose StatementBegin
CREATE FUNCTION audit_entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.position IS NULL AND NEW.position IS NOT NULL THEN
        OLD.position := NEW.position;
        OLD.seal := NEW.seal;
        IF OLD::text = NEW::text THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'entries of the audit log are neither changed nor deleted' USING ERRCODE = 'insufficient_privilege';
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR DELETE ON audit_entries FOR EACH ROW EXECUTE FUNCTION audit_entries_stay();
CREATE TRIGGER audit_entries_stay_whole BEFORE TRUNCATE ON audit_entries FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay();
-- Also where a session says that it replicates.
ALTER TABLE audit_entries ENABLE ALWAYS TRIGGER audit_entries_stay, ENABLE ALWAYS TRIGGER audit_entries_stay_whole;

-- +goose Down
DROP TABLE audit_entries;
DROP FUNCTION audit_entries_stay;
