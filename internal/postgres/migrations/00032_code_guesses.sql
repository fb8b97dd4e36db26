-- Promotion codes that somebody asked for and that do not exist, counted at all nodes together.

-- +goose Up
-- By who asked: a customer, or who of the staff named the code. A window begins with its first wrong code.
CREATE TABLE code_guesses (
    id       uuid PRIMARY KEY,
    wrong    integer NOT NULL,
    began_at timestamptz NOT NULL,
    CONSTRAINT code_guesses_wrong_check CHECK (wrong > 0)
);
CREATE INDEX code_guesses_began_idx ON code_guesses (began_at);

-- +goose Down
DROP TABLE code_guesses;
