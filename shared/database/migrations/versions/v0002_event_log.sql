-- From when on the event log holds everything that was folded. No row: it was never shortened.
-- Raised first, and only then are partitions dropped: whoever judges by it has read it by then.
CREATE TABLE log_horizon (
    single     boolean     PRIMARY KEY DEFAULT true CHECK (single),
    held_since timestamptz NOT NULL,
    raised_at  timestamptz NOT NULL  -- lease time
);

-- The partitions that rows can go to now, with their bounds; one that is being detached is none.
CREATE FUNCTION partitions_of(parent regclass)
RETURNS TABLE (child regclass, lower timestamptz, upper timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    SELECT inhrelid::regclass,
           substring(pg_get_expr(relpartbound, inhrelid) FROM 'FROM \(''([^'']+)''\)')::timestamptz,
           substring(pg_get_expr(relpartbound, inhrelid) FROM 'TO \(''([^'']+)''\)')::timestamptz
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = parent AND NOT inhdetachpending
$$;

-- Made beside the parent and then attached: attaching takes a lock that inserts do not wait for.
-- Returns `there`, `made`, or what was found in the way: a table of that name, detached by hand. It is
-- attached again, rows and all. Where that can't be, another partition takes its place, for a lane must
-- not stop; so too where the rows are too many to be checked while lanes wait.
CREATE FUNCTION make_partition(
    parent regclass, child text, lower timestamptz, upper timestamptz, indexed text
) RETURNS text LANGUAGE plpgsql SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    attach CONSTANT text := format('ALTER TABLE %s ATTACH PARTITION %%I FOR VALUES FROM (%L) TO (%L)',
                                   parent, lower, upper);
    most_bytes CONSTANT bigint := 2 * 1024 ^ 3;
    outcome text := 'made';
BEGIN
    -- Looked for without the lock first: nearly always it is there, and nobody waits for another's DDL.
    FOR look IN 1..2 LOOP
        IF EXISTS (SELECT FROM partitions_of(parent) AS p WHERE p.lower <= $3 AND p.upper >= $4) THEN
            RETURN 'there';
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('ebbtide.partitions'));
    END LOOP;
    IF to_regclass(child) IS NOT NULL THEN
        IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(child) AND inhdetachpending) THEN
            EXECUTE format('ALTER TABLE %s DETACH PARTITION %I FINALIZE', parent, child);
        END IF;
        BEGIN
            IF pg_relation_size(child::regclass) > most_bytes THEN
                RAISE EXCEPTION 'it holds more than %', pg_size_pretty(most_bytes);
            END IF;
            EXECUTE format(attach, child);
            RETURN 'attached again';
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                RAISE;
            WHEN OTHERS THEN
                outcome := 'made beside: ' || SQLERRM;
        END;
        child := child || '_beside';
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, parent);
    IF indexed IS NOT NULL THEN
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (%s)', child || '_once', child, indexed);
    END IF;
    EXECUTE format(attach, child);
    RETURN outcome;
END $$;

DROP FUNCTION ensure_events_partition(date);
DROP FUNCTION ensure_transitions_partition(date);

-- A day that the log no longer holds is not made again (`dropped`): its events can't be told from repeats.
CREATE FUNCTION ensure_events_partition(day date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    IF day::timestamptz < (SELECT held_since FROM log_horizon) THEN
        RETURN 'dropped';
    END IF;
    -- The index is the day's own: a key of the whole table would have to hold received_at, which a repeat
    -- has anew. It finds known ids, and stops two lanes that fold one id at the same moment.
    RETURN make_partition('events', format('events_%s', to_char(day, 'YYYY_MM_DD')),
                          day::timestamptz, (day + 1)::timestamptz, 'source, event_id');
END $$;

CREATE FUNCTION ensure_transitions_partition(month date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    first CONSTANT date := date_trunc('month', month)::date;
BEGIN
    RETURN make_partition('transitions', format('transitions_%s', to_char(first, 'YYYY_MM')),
                          first::timestamptz, (first + interval '1 month')::timestamptz, NULL);
END $$;

-- Up to when every segmenter's lanes have folded all that was received; null where one has not begun.
CREATE FUNCTION log_folded_until() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN count(until) = count(*) THEN min(until) END
    FROM (SELECT greatest(folded_until, watermark) AS until FROM consumer_partition
          WHERE starts_with(grp, 'segmenter')) AS lanes
$$;

-- Never into the 8 days before what is not folded yet: there repeats are still looked up.
CREATE FUNCTION raise_log_horizon(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    IF (day::timestamptz <= log_folded_until() - interval '8 days') IS NOT TRUE THEN
        RAISE EXCEPTION 'the log must hold the 8 days before %, up to when all is folded; not only what came from % on',
            coalesce(log_folded_until()::text, '(nothing yet)'), day
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO log_horizon (held_since, raised_at) VALUES (day, clock_timestamp())
    ON CONFLICT (single) DO UPDATE SET held_since = EXCLUDED.held_since, raised_at = EXCLUDED.raised_at
    WHERE log_horizon.held_since < EXCLUDED.held_since;
END $$;

-- Drops the oldest day before the horizon and returns its name; null: there is none, or it was raised less
-- than `patience` ago. Takes the one lock that stops lanes: it waits for it no longer than they could mind,
-- and gives up (lock_not_available) where they are busy. The files go after the lock.
CREATE FUNCTION drop_oldest_events_partition(patience interval) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
SET lock_timeout = '300ms' AS $$
DECLARE
    oldest text;
BEGIN
    SELECT p.child::text INTO oldest  -- quoted where it must be
    FROM partitions_of('events') AS p, log_horizon
    WHERE p.upper <= held_since AND raised_at <= clock_timestamp() - patience
    ORDER BY p.lower LIMIT 1;
    IF oldest IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s', oldest);
    END IF;
    RETURN oldest;
END $$;

REVOKE EXECUTE ON FUNCTION
    partitions_of(regclass), make_partition(regclass, text, timestamptz, timestamptz, text),
    ensure_events_partition(date), ensure_transitions_partition(date), log_folded_until(),
    raise_log_horizon(date), drop_oldest_events_partition(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    partitions_of(regclass), ensure_events_partition(date), ensure_transitions_partition(date),
    log_folded_until(), raise_log_horizon(date), drop_oldest_events_partition(interval)
    TO ebbtide_segmenter;
GRANT SELECT ON log_horizon TO ebbtide_segmenter, ebbtide_api;
