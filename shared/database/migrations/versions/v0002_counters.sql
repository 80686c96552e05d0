-- The time zone that the days in these tables are days of. Written once, by the first segmenter.
CREATE TABLE product (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    zone   text    NOT NULL
);

-- The days on which a user was active: bit i of `days`, the lowest of the first byte first, is `first_day` + i.
-- Null where they were never counted.
ALTER TABLE users
    ADD first_day date,
    ADD days      bytea,
    ADD channel   text COLLATE "C" NOT NULL DEFAULT 'unknown',
    ADD platform  text COLLATE "C" NOT NULL DEFAULT 'unknown',
    ADD CHECK ((first_day IS NULL) = (days IS NULL));

-- Counters. A cell is the sum of its shards: eight, so that lanes wait less for each other, and one of the
-- jobs. `value` is '' for all users. Room is left on each page, for a row changes where it lies. Keys are compared
-- byte by byte, which costs least.
CREATE TABLE active_users (
    period    text COLLATE "C" NOT NULL CHECK (period IN ('day', 'week', 'month')),
    dimension text COLLATE "C" NOT NULL CHECK (dimension IN ('all', 'channel', 'platform')),
    start     date     NOT NULL,
    value     text COLLATE "C" NOT NULL,
    shard     smallint NOT NULL CHECK (shard BETWEEN 0 AND 8),
    users     bigint   NOT NULL,
    new_users bigint   NOT NULL,
    PRIMARY KEY (period, dimension, start, value, shard)
) WITH (fillfactor = 70);

CREATE TABLE retention (
    period    text COLLATE "C" NOT NULL CHECK (period IN ('day', 'week')),
    dimension text COLLATE "C" NOT NULL CHECK (dimension IN ('all', 'channel', 'platform')),
    cohort    date     NOT NULL,
    value     text COLLATE "C" NOT NULL,
    age       smallint NOT NULL CHECK (age BETWEEN 0 AND 400),
    shard     smallint NOT NULL CHECK (shard BETWEEN 0 AND 8),
    users     bigint   NOT NULL,
    PRIMARY KEY (period, dimension, cohort, value, age, shard)
) WITH (fillfactor = 70);

-- `before` is '' where a user came to be.
CREATE TABLE lifecycle_flows (
    dimension   text COLLATE "C" NOT NULL CHECK (dimension IN ('all', 'channel', 'platform')),
    hour        timestamptz NOT NULL,
    value       text COLLATE "C" NOT NULL,
    before      text COLLATE "C" NOT NULL,
    after       text COLLATE "C" NOT NULL,
    shard       smallint    NOT NULL CHECK (shard BETWEEN 0 AND 8),
    transitions bigint      NOT NULL,
    PRIMARY KEY (dimension, hour, value, before, after, shard)
) WITH (fillfactor = 70);

-- The same by months of UTC in which the hours begin, so that what all of the past sums up to is read fast.
CREATE TABLE lifecycle_flow_months (
    dimension   text COLLATE "C" NOT NULL CHECK (dimension IN ('all', 'channel', 'platform')),
    month       date     NOT NULL,
    value       text COLLATE "C" NOT NULL,
    before      text COLLATE "C" NOT NULL,
    after       text COLLATE "C" NOT NULL,
    shard       smallint NOT NULL CHECK (shard BETWEEN 0 AND 8),
    transitions bigint   NOT NULL,
    PRIMARY KEY (dimension, month, value, before, after, shard)
) WITH (fillfactor = 70);

-- What was recounted from the log, how often it agreed with what is stored, and where it did not.
CREATE TABLE reconciliations (
    reconciliation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at                timestamptz NOT NULL,  -- product time
    users_checked     integer     NOT NULL,
    users_skipped     integer     NOT NULL,  -- the log no longer holds all of them
    users_differing   integer     NOT NULL,
    cells_checked     integer     NOT NULL,
    cells_differing   integer     NOT NULL
);

CREATE TABLE reconciliation_differences (
    difference_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reconciliation_id bigint NOT NULL REFERENCES reconciliations,
    kind              text   NOT NULL CHECK (kind IN ('user', 'active_users', 'retention', 'lifecycle_flows')),
    subject           text   NOT NULL,
    field             text   NOT NULL,
    stored            text,
    recounted         text
);
CREATE INDEX differences_of ON reconciliation_differences (reconciliation_id);

GRANT SELECT, INSERT ON product TO ebbtide_segmenter;
GRANT SELECT, INSERT, UPDATE ON active_users, retention, lifecycle_flows, lifecycle_flow_months
    TO ebbtide_segmenter;
GRANT SELECT, INSERT, DELETE ON reconciliations, reconciliation_differences TO ebbtide_segmenter;
GRANT SELECT ON product, active_users, retention, lifecycle_flows, lifecycle_flow_months,
    reconciliations, reconciliation_differences TO ebbtide_api;
