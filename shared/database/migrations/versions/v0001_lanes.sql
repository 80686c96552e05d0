CREATE TABLE consumer_worker (
    grp         text        NOT NULL,
    worker      text        NOT NULL,
    alive_until timestamptz NOT NULL,
    leaving     boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (grp, worker)
);

CREATE TABLE consumer_partition (
    grp               text    NOT NULL,
    topic             text    NOT NULL,
    part              integer NOT NULL,
    epoch             bigint  NOT NULL DEFAULT 0,
    owner             text,
    next_offset       bigint  NOT NULL DEFAULT 0,
    topic_incarnation text,
    claimed_at        timestamptz,
    watermark         timestamptz,
    end_offset        bigint,
    folded_at         timestamptz,
    frozen_reason     text,
    PRIMARY KEY (grp, topic, part)
);

-- Every batch says what it covered: ranges must tile the offsets, and epochs never fall. Written
-- only where a worker is told to keep it. No unique key: it records what happened, and must not
-- prevent it.
CREATE TABLE batch_ledger (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    grp         text        NOT NULL,
    topic       text        NOT NULL,
    part        integer     NOT NULL,
    epoch       bigint      NOT NULL,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    grp        text        NOT NULL,
    part       integer     NOT NULL,
    topic      text        NOT NULL,
    key        bytea       NOT NULL,
    value      bytea       NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX outbox_in_order ON outbox (grp, part, id);

CREATE TABLE dead_letters (
    dead_letter_id text COLLATE "C" PRIMARY KEY,
    code           text        NOT NULL,
    field          text,
    reason         text        NOT NULL,
    origin         text        NOT NULL,
    source         text,
    topic          text        NOT NULL,
    part           integer     NOT NULL,
    kafka_offset   bigint      NOT NULL,
    key            bytea,
    value          bytea       NOT NULL,
    truncated      boolean     NOT NULL DEFAULT false,
    refused_at     timestamptz NOT NULL
);
CREATE INDEX dead_letters_newest ON dead_letters (refused_at DESC, dead_letter_id DESC);
