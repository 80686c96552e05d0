"""The tables that Bytewax's dataflow writes, and how it writes them.

Users and transitions have the columns and the indexes that the segmenter's tables had when this was
written; the event log's table is the raw limit's.
"""

TABLES = """
    CREATE TABLE IF NOT EXISTS bytewax_users (
        user_id text COLLATE "C" PRIMARY KEY, part integer NOT NULL, first_seen timestamptz NOT NULL,
        last_seen timestamptz NOT NULL, span_start timestamptz NOT NULL,
        earlier_spans timestamptz[] NOT NULL, lifecycle text NOT NULL,
        lifecycle_since timestamptz NOT NULL, deadline timestamptz, deadline_to text,
        event_count bigint NOT NULL, known_at timestamptz NOT NULL, policy_version integer NOT NULL,
        revision integer NOT NULL, updated_at timestamptz NOT NULL);
    CREATE INDEX IF NOT EXISTS bytewax_due ON bytewax_users (part, deadline)
        WHERE deadline IS NOT NULL;
    CREATE INDEX IF NOT EXISTS bytewax_by_lifecycle ON bytewax_users (lifecycle, user_id);
    CREATE TABLE IF NOT EXISTS bytewax_transitions (
        transition_id uuid, at timestamptz, user_id text COLLATE "C" NOT NULL, kind text NOT NULL,
        before text, after text NOT NULL, recorded_at timestamptz NOT NULL, reason text NOT NULL,
        policy_version integer NOT NULL, historical boolean NOT NULL, evidence jsonb NOT NULL,
        PRIMARY KEY (transition_id, at));
    CREATE INDEX IF NOT EXISTS bytewax_history ON bytewax_transitions (user_id, at);
    CREATE INDEX IF NOT EXISTS bytewax_latest ON bytewax_transitions (at, transition_id);
"""
STAGED_USERS = """
    CREATE TEMPORARY TABLE staged_users (LIKE bytewax_users) ON COMMIT DELETE ROWS
"""
STAGED_TRANSITIONS = """
    CREATE TEMPORARY TABLE staged_transitions (LIKE bytewax_transitions) ON COMMIT DELETE ROWS
"""
UPSERT_USERS = """
    INSERT INTO bytewax_users SELECT * FROM staged_users
    ON CONFLICT (user_id) DO UPDATE SET
        part = excluded.part, last_seen = excluded.last_seen, span_start = excluded.span_start,
        lifecycle = excluded.lifecycle, lifecycle_since = excluded.lifecycle_since,
        deadline = excluded.deadline, deadline_to = excluded.deadline_to,
        event_count = excluded.event_count, known_at = excluded.known_at,
        updated_at = excluded.updated_at
"""
# What a crash made Bytewax say again is known by its id.
ADD_TRANSITIONS = """
    INSERT INTO bytewax_transitions SELECT * FROM staged_transitions ON CONFLICT DO NOTHING
"""
# Held until the connection ends, however that comes about.
ONE_WRITER = "SELECT pg_advisory_lock(hashtext('bytewax_users'))"
