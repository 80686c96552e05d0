-- Makes the shadow's tables anew, those of funnels among them. In counters shard 0 is what the log says, and shard 1
-- what stored users, or their marks, say beyond that. Replacing the function keeps who may call it.
CREATE OR REPLACE FUNCTION make_rebuild_tables() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET client_min_messages = 'warning' AS $$
DECLARE
    counter text;
BEGIN
    DROP TABLE IF EXISTS rebuild.users, rebuild.transitions, rebuild.differing, rebuild.funnel_users,
        rebuild.differing_marks;
    CREATE UNLOGGED TABLE rebuild.users (LIKE public.users INCLUDING DEFAULTS, PRIMARY KEY (user_id));
    CREATE UNLOGGED TABLE rebuild.transitions AS
        SELECT user_id, at, before, after, reason, policy_version FROM public.transitions WITH NO DATA;
    CREATE UNLOGGED TABLE rebuild.differing (user_id text COLLATE "C" PRIMARY KEY);
    CREATE UNLOGGED TABLE rebuild.funnel_users (LIKE public.funnel_users INCLUDING DEFAULTS INCLUDING INDEXES);
    CREATE UNLOGGED TABLE rebuild.differing_marks (
        user_id text COLLATE "C", funnel_id integer, PRIMARY KEY (user_id, funnel_id));
    FOREACH counter IN ARRAY ARRAY['active_users', 'retention', 'lifecycle_flows', 'lifecycle_flow_months',
                                   'funnel_counts'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS rebuild.%I', counter);
        EXECUTE format('CREATE UNLOGGED TABLE rebuild.%I (LIKE public.%I INCLUDING INDEXES INCLUDING STORAGE)',
                       counter, counter);
    END LOOP;
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA rebuild TO ebbtide_segmenter;
END $$;
