-- What a funnel is never changes: another definition is another funnel.
CREATE TABLE funnels (
    funnel_id  integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL,
    steps      jsonb       NOT NULL CHECK (jsonb_array_length(steps) BETWEEN 2 AND 10),
    window_s   integer     NOT NULL CHECK (window_s BETWEEN 60 AND 7776000),
    state      text        NOT NULL DEFAULT 'backfilling' CHECK (state IN ('backfilling', 'live', 'deleting')),
    created_at timestamptz NOT NULL,
    held_since timestamptz,
    pages_done bigint      NOT NULL DEFAULT 0,
    pages      bigint
);
CREATE UNIQUE INDEX funnels_named ON funnels (name) WHERE state <> 'deleting';

-- Every batch asks which definitions hold, by this alone. Not a number: one that a database restored from a
-- backup counts up to again would mean something else. Locked by whoever changes the definitions.
CREATE TABLE funnels_version (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    version uuid    NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO funnels_version DEFAULT VALUES;

-- A funnel's marks of one user; `revision` tells a row that another transaction made meanwhile.
CREATE TABLE funnel_users (
    funnel_id integer NOT NULL,
    user_id   text COLLATE "C" NOT NULL,
    marks     bytea   NOT NULL,
    truncated boolean NOT NULL DEFAULT false,
    revision  integer NOT NULL DEFAULT 1,
    PRIMARY KEY (funnel_id, user_id)
);
CREATE INDEX funnel_users_truncated ON funnel_users (funnel_id) WHERE truncated;

-- How many users made at least this step on the days that they entered on. A cell is the sum of its shards:
-- eight, so that lanes wait less for each other, and one of the jobs.
CREATE TABLE funnel_counts (
    funnel_id integer  NOT NULL,
    day       date     NOT NULL,
    step      smallint NOT NULL CHECK (step BETWEEN 1 AND 10),
    shard     smallint NOT NULL CHECK (shard BETWEEN 0 AND 8),
    users     bigint   NOT NULL,
    PRIMARY KEY (funnel_id, day, step, shard)
) WITH (fillfactor = 70);

-- Counts every funnel anew from the event log, while the lanes count on: after a change of the product's time
-- zone, or where what is stored is not trusted. Of days that the log no longer holds nothing is left. Returns how
-- many funnels there are. The owner's rights are lent for this one act.
CREATE FUNCTION recount_funnels(asked_by text, at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    number integer;
BEGIN
    -- First of all: whoever works on one has its row locked, and ends with the step in hand.
    UPDATE jobs SET state = 'cancelled', updated_at = at
    WHERE kind = 'backfill_funnel' AND state IN ('waiting', 'running');
    TRUNCATE funnel_users, funnel_counts;
    UPDATE funnels SET state = 'backfilling', pages = NULL, pages_done = 0, held_since = NULL
    WHERE state <> 'deleting';
    INSERT INTO jobs (kind, argument, requested_by, created_at, updated_at)
    SELECT 'backfill_funnel', jsonb_build_object('funnel_id', funnel_id), asked_by, at, at
    FROM funnels WHERE state <> 'deleting' ORDER BY funnel_id;
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END $$;

REVOKE EXECUTE ON FUNCTION recount_funnels(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION recount_funnels(text, timestamptz) TO ebbtide_segmenter;
GRANT SELECT, DELETE ON funnels TO ebbtide_segmenter;
GRANT UPDATE (state, held_since, pages_done, pages) ON funnels TO ebbtide_segmenter;
GRANT SELECT ON funnels_version TO ebbtide_segmenter;
GRANT SELECT, INSERT, UPDATE, DELETE ON funnel_users, funnel_counts TO ebbtide_segmenter;

GRANT SELECT, INSERT ON funnels TO ebbtide_api;
GRANT UPDATE (state) ON funnels TO ebbtide_api;
GRANT SELECT, UPDATE ON funnels_version TO ebbtide_api;
GRANT SELECT ON funnel_counts TO ebbtide_api;
GRANT SELECT (funnel_id, truncated) ON funnel_users TO ebbtide_api;
