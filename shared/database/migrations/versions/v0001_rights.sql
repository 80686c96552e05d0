-- Roles are the cluster's, so they may exist already; their passwords are set by the migrate command.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['ebbtide_segmenter', 'ebbtide_alerts', 'ebbtide_api'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO ebbtide_segmenter, ebbtide_alerts, ebbtide_api;

REVOKE EXECUTE ON FUNCTION ensure_events_partition(date) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION ensure_transitions_partition(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_events_partition(date) TO ebbtide_segmenter;
GRANT EXECUTE ON FUNCTION ensure_transitions_partition(date) TO ebbtide_segmenter;

GRANT SELECT, INSERT, UPDATE, DELETE ON consumer_worker TO ebbtide_segmenter, ebbtide_alerts;
GRANT SELECT, INSERT, UPDATE ON consumer_partition TO ebbtide_segmenter, ebbtide_alerts;
GRANT SELECT, INSERT, DELETE ON outbox TO ebbtide_segmenter, ebbtide_alerts;
GRANT INSERT ON batch_ledger TO ebbtide_segmenter, ebbtide_alerts;
GRANT SELECT, INSERT ON dead_letters TO ebbtide_segmenter, ebbtide_alerts;

GRANT SELECT, INSERT, UPDATE, DELETE ON users TO ebbtide_segmenter;
GRANT SELECT, INSERT ON events TO ebbtide_segmenter;
GRANT SELECT, INSERT ON transitions TO ebbtide_segmenter;
GRANT UPDATE (retracted_at, retracted_because) ON transitions TO ebbtide_segmenter;
GRANT SELECT ON policies TO ebbtide_segmenter;

GRANT SELECT, INSERT, UPDATE ON alerts TO ebbtide_alerts;
GRANT SELECT, INSERT, UPDATE ON notifications TO ebbtide_alerts;
GRANT SELECT, INSERT, DELETE ON seen_transitions TO ebbtide_alerts;

GRANT SELECT ON consumer_worker, consumer_partition, dead_letters, users, events, transitions,
    policies, alerts, notifications TO ebbtide_api;

-- A group's rows belong to one service. A name may carry a suffix: a second deployment beside the first.
ALTER TABLE consumer_worker ENABLE ROW LEVEL SECURITY;
ALTER TABLE consumer_partition ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY segmenter_groups ON consumer_worker TO ebbtide_segmenter
    USING (starts_with(grp, 'segmenter') OR starts_with(grp, 'dead-letters'));
CREATE POLICY segmenter_groups ON consumer_partition TO ebbtide_segmenter
    USING (starts_with(grp, 'segmenter') OR starts_with(grp, 'dead-letters'));
CREATE POLICY segmenter_groups ON outbox TO ebbtide_segmenter
    USING (starts_with(grp, 'segmenter') OR starts_with(grp, 'dead-letters'));
CREATE POLICY alerts_groups ON consumer_worker TO ebbtide_alerts USING (starts_with(grp, 'alerts'));
CREATE POLICY alerts_groups ON consumer_partition TO ebbtide_alerts USING (starts_with(grp, 'alerts'));
CREATE POLICY alerts_groups ON outbox TO ebbtide_alerts USING (starts_with(grp, 'alerts'));
CREATE POLICY api_reads ON consumer_worker FOR SELECT TO ebbtide_api USING (true);
CREATE POLICY api_reads ON consumer_partition FOR SELECT TO ebbtide_api USING (true);
