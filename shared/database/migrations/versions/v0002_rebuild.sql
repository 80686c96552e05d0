-- Where a rebuild puts what the event log says, beside what is stored.
CREATE SCHEMA rebuild;
GRANT USAGE ON SCHEMA rebuild TO ebbtide_segmenter;

-- Makes the tables anew, empty, with the columns that the live ones have today (of transitions those that the log decides). The owner's rights are lent for
-- this one act. In counters shard 0 is what the log says, and shard 1 what stored users say beyond that.
CREATE FUNCTION make_rebuild_tables() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning' AS $$
DECLARE
    counter text;
BEGIN
    DROP TABLE IF EXISTS rebuild.users, rebuild.transitions, rebuild.differing;
    CREATE UNLOGGED TABLE rebuild.users (LIKE public.users INCLUDING DEFAULTS, PRIMARY KEY (user_id));
    CREATE UNLOGGED TABLE rebuild.transitions AS
        SELECT user_id, at, before, after, reason, policy_version FROM public.transitions WITH NO DATA;
    CREATE UNLOGGED TABLE rebuild.differing (user_id text COLLATE "C" PRIMARY KEY);
    FOREACH counter IN ARRAY ARRAY['active_users', 'retention', 'lifecycle_flows', 'lifecycle_flow_months'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS rebuild.%I', counter);
        EXECUTE format('CREATE UNLOGGED TABLE rebuild.%I (LIKE public.%I INCLUDING INDEXES INCLUDING STORAGE)',
                       counter, counter);
    END LOOP;
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA rebuild TO ebbtide_segmenter;
END $$;

REVOKE EXECUTE ON FUNCTION make_rebuild_tables() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_rebuild_tables() TO ebbtide_segmenter;
-- The zone is another one from a rebuild on.
GRANT UPDATE (zone) ON product TO ebbtide_segmenter;
