ALTER TABLE users ADD COLUMN email text, ADD COLUMN name text;
ALTER TABLE sessions ADD COLUMN device text NOT NULL DEFAULT '';
