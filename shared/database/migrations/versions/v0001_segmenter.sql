CREATE TABLE users (
    user_id         text COLLATE "C" PRIMARY KEY,
    part            integer       NOT NULL,
    first_seen      timestamptz   NOT NULL,
    last_seen       timestamptz   NOT NULL,
    span_start      timestamptz   NOT NULL,
    earlier_spans   timestamptz[] NOT NULL DEFAULT '{}',
    lifecycle       text          NOT NULL CHECK (lifecycle IN ('new', 'active', 'silent', 'churned', 'returned')),
    lifecycle_since timestamptz   NOT NULL,
    deadline        timestamptz,
    deadline_to     text,
    event_count     bigint        NOT NULL DEFAULT 0,
    known_at        timestamptz   NOT NULL,
    policy_version  integer       NOT NULL,
    revision        integer       NOT NULL DEFAULT 0,
    updated_at      timestamptz   NOT NULL,
    CHECK (first_seen <= span_start AND span_start <= last_seen)
);
CREATE INDEX users_due ON users (part, deadline) WHERE deadline IS NOT NULL;
CREATE INDEX users_by_lifecycle ON users (lifecycle, user_id);

CREATE TABLE events (
    source       text        NOT NULL,
    event_id     text        NOT NULL,
    received_at  timestamptz NOT NULL,
    user_id      text COLLATE "C" NOT NULL,
    type         text        NOT NULL,
    name         text,
    "timestamp"  timestamptz NOT NULL,
    anonymous_id text,
    active       boolean     NOT NULL DEFAULT true,
    historical   boolean     NOT NULL DEFAULT false,
    flags        text[]      NOT NULL DEFAULT '{}',
    part         integer     NOT NULL,
    kafka_offset bigint      NOT NULL,
    payload      json        NOT NULL
) PARTITION BY RANGE (received_at);
CREATE INDEX events_of_user ON events (user_id, "timestamp");

CREATE TABLE transitions (
    transition_id     uuid        NOT NULL,
    at                timestamptz NOT NULL,
    user_id           text COLLATE "C" NOT NULL,
    kind              text        NOT NULL,
    before            text,
    after             text        NOT NULL,
    recorded_at       timestamptz NOT NULL,
    reason            text        NOT NULL,
    policy_version    integer     NOT NULL,
    historical        boolean     NOT NULL DEFAULT false,
    evidence          jsonb       NOT NULL DEFAULT '{}',
    retracted_at      timestamptz,
    retracted_because text,
    PRIMARY KEY (transition_id, at)
) PARTITION BY RANGE (at);
CREATE INDEX transitions_of_user ON transitions (user_id, at);
CREATE INDEX transitions_in_time ON transitions (at, transition_id);

CREATE TABLE policies (
    version       integer PRIMARY KEY,
    new_for       interval    NOT NULL CHECK (new_for > interval '0'),
    silent_after  interval    NOT NULL CHECK (silent_after > interval '0'),
    churned_after interval    NOT NULL CHECK (churned_after > silent_after),
    returned_for  interval    NOT NULL CHECK (returned_for > interval '0'),
    note          text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    activated_at  timestamptz
);
INSERT INTO policies (version, new_for, silent_after, churned_after, returned_for, note, activated_at)
VALUES (1, '7 days', '7 days', '30 days', '7 days', 'the policy a new system starts with', now());

-- Partitions are made beside the parent and then attached: attaching takes a lock that inserts do
-- not wait for, where CREATE … PARTITION OF would stop them all. The owner's rights are lent for
-- this one act, so that no service may create tables.
CREATE FUNCTION ensure_events_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    child text := format('events_%s', to_char(day, 'YYYY_MM_DD'));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ebbtide.partitions'));
    IF to_regclass(child) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child);
    -- The day's own: a key of the whole table would have to hold received_at, which a repeat has anew.
    -- Finds known ids, and stops two lanes that fold one id at the same moment.
    EXECUTE format('CREATE UNIQUE INDEX %I ON %I (source, event_id)', child || '_once', child);
    EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   child, day::timestamptz, (day + 1)::timestamptz);
END $$;

CREATE FUNCTION ensure_transitions_partition(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    child text := format('transitions_%s', to_char(first, 'YYYY_MM'));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ebbtide.partitions'));
    IF to_regclass(child) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE transitions INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child);
    EXECUTE format('ALTER TABLE transitions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   child, first::timestamptz, (first + interval '1 month')::timestamptz);
END $$;
