-- Roles are granted on a scope, the platform or one theater, and accounts can be disabled.

-- +goose Up
CREATE TABLE role_grants (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    role       text NOT NULL,
    theater_id uuid,
    granted_by uuid,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT role_grants_user_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT role_grants_theater_fkey FOREIGN KEY (theater_id) REFERENCES theaters (id) ON DELETE CASCADE,
    CONSTRAINT role_grants_granted_by_fkey FOREIGN KEY (granted_by) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT role_grants_role_check CHECK (role IN ('THEATER_STAFF', 'THEATER_MANAGER', 'SUPPORT', 'FINANCE', 'ADMIN')),
    -- Without a theater a role is held on the platform: all theaters, and what belongs to none.
    CONSTRAINT role_grants_scope_check CHECK (theater_id IS NULL OR role IN ('THEATER_STAFF', 'THEATER_MANAGER')),
    CONSTRAINT role_grants_reason_length_check CHECK (length(reason) BETWEEN 1 AND 500)
);
CREATE UNIQUE INDEX role_grants_key ON role_grants (user_id, role, COALESCE(theater_id, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX role_grants_theater_idx ON role_grants (theater_id, role);

ALTER TABLE users
    ADD COLUMN disabled_at timestamptz,
    ADD COLUMN disabled_reason text,
    ADD CONSTRAINT users_disabled_check CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    ADD CONSTRAINT users_disabled_reason_length_check CHECK (length(disabled_reason) BETWEEN 1 AND 500);

INSERT INTO role_grants (id, user_id, role, reason)
    SELECT gen_random_uuid(), id, role, 'held before roles had scopes' FROM users WHERE role <> 'CUSTOMER';
ALTER TABLE users DROP COLUMN role;
-- The access tokens of before do not say where a role is held: their sessions renew.
WITH changed AS (UPDATE sessions SET generation = generation + 1 RETURNING id, generation)
INSERT INTO session_revocations (session_id, generation, noted_at) SELECT id, generation, clock_timestamp() FROM changed
    ON CONFLICT (session_id) DO UPDATE SET generation = excluded.generation, noted_at = excluded.noted_at;

-- There is no way back into an installation whose last administrator has gone, whichever command would do it. The lock
-- makes two of them who remove each other come one after the other.
-- +goose StatementBegin
CREATE FUNCTION keep_an_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'users' AND NOT EXISTS (SELECT FROM role_grants WHERE user_id = OLD.id AND role = 'ADMIN') THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('keep_an_admin', 0));
    IF NOT EXISTS (SELECT FROM role_grants g JOIN users u ON u.id = g.user_id WHERE g.role = 'ADMIN' AND u.disabled_at IS NULL) THEN
        RAISE EXCEPTION 'this is the last administrator' USING ERRCODE = 'check_violation', CONSTRAINT = 'role_grants_last_admin';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER role_grants_last_admin AFTER DELETE ON role_grants
    FOR EACH ROW WHEN (OLD.role = 'ADMIN') EXECUTE FUNCTION keep_an_admin();
CREATE TRIGGER users_last_admin AFTER UPDATE OF disabled_at ON users
    FOR EACH ROW WHEN (OLD.disabled_at IS NULL AND NEW.disabled_at IS NOT NULL) EXECUTE FUNCTION keep_an_admin();

-- +goose Down
DROP TRIGGER users_last_admin ON users;
DROP TRIGGER role_grants_last_admin ON role_grants;
DROP FUNCTION keep_an_admin;
ALTER TABLE users
    ADD COLUMN role text NOT NULL DEFAULT 'CUSTOMER',
    ADD CONSTRAINT users_role_check CHECK (role IN ('CUSTOMER', 'THEATER_MANAGER', 'ADMIN'));
UPDATE users u SET role = g.role FROM role_grants g WHERE g.user_id = u.id AND g.role = 'THEATER_MANAGER' AND g.theater_id IS NULL;
UPDATE users u SET role = g.role FROM role_grants g WHERE g.user_id = u.id AND g.role = 'ADMIN';
ALTER TABLE users DROP COLUMN disabled_at, DROP COLUMN disabled_reason;
DROP TABLE role_grants;
