-- What a theater changes of the prices of its seats, by ticket type, format and hour, and the fees and taxes on them.

-- +goose Up
CREATE TABLE price_rules (
    id              uuid PRIMARY KEY,
    theater_id      uuid NOT NULL,
    kind            text NOT NULL,
    label           text NOT NULL,
    ticket_type     text NOT NULL DEFAULT '',
    format          text NOT NULL DEFAULT '',
    weekdays        smallint NOT NULL DEFAULT 0,
    from_minute     smallint NOT NULL DEFAULT 0,
    to_minute       smallint NOT NULL DEFAULT 0,
    basis_points    integer NOT NULL DEFAULT 0,
    amount_minor    bigint NOT NULL DEFAULT 0,
    per_reservation boolean NOT NULL DEFAULT false,
    included        boolean NOT NULL DEFAULT false,
    active          boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT price_rules_theater_fkey FOREIGN KEY (theater_id) REFERENCES theaters (id) ON DELETE CASCADE,
    CONSTRAINT price_rules_kind_check CHECK (kind IN ('TICKET_TYPE', 'FORMAT', 'TIME_BAND', 'FEE', 'TAX')),
    CONSTRAINT price_rules_label_length_check CHECK (length(label) BETWEEN 1 AND 60),
    CONSTRAINT price_rules_ticket_type_check CHECK (ticket_type IN ('', 'ADULT', 'CHILD', 'SENIOR', 'STUDENT') AND (ticket_type <> '') = (kind = 'TICKET_TYPE')),
    CONSTRAINT price_rules_format_length_check CHECK (length(format) <= 60 AND (format <> '') = (kind = 'FORMAT')),
    -- Bits of Sunday to Saturday. What ends before it begins, or at midnight, goes on into the next day.
    CONSTRAINT price_rules_band_check CHECK (
        kind = 'TIME_BAND' AND weekdays BETWEEN 1 AND 127 AND from_minute BETWEEN 0 AND 1439 AND to_minute BETWEEN 1 AND 1440 AND from_minute <> to_minute
        OR kind <> 'TIME_BAND' AND weekdays = 0 AND from_minute = 0 AND to_minute = 0),
    CONSTRAINT price_rules_change_check CHECK ((basis_points = 0) <> (amount_minor = 0)),
    CONSTRAINT price_rules_size_check CHECK (basis_points BETWEEN -10000 AND 10000 AND amount_minor BETWEEN -1000000000 AND 1000000000),
    CONSTRAINT price_rules_gives_check CHECK (kind NOT IN ('FEE', 'TAX') OR basis_points >= 0 AND amount_minor >= 0),
    CONSTRAINT price_rules_tax_check CHECK (kind = 'TAX' AND amount_minor = 0 OR kind <> 'TAX' AND NOT included),
    CONSTRAINT price_rules_fee_check CHECK (NOT per_reservation OR kind = 'FEE' AND basis_points = 0),
    -- The prices of a theater contain its taxes, or its taxes come on top.
    CONSTRAINT price_rules_taxes_excl EXCLUDE USING gist (theater_id WITH =, (included::integer) WITH <>) WHERE (kind = 'TAX' AND active)
);
CREATE INDEX price_rules_theater_idx ON price_rules (theater_id, id);
CREATE UNIQUE INDEX price_rules_ticket_type_key ON price_rules (theater_id, ticket_type) WHERE (kind = 'TICKET_TYPE');
CREATE UNIQUE INDEX price_rules_format_key ON price_rules (theater_id, format) WHERE (kind = 'FORMAT');

-- +goose Down
DROP TABLE price_rules;
