-- Deletes the oldest jobs that ended before an instant, and returns how many. These stay: the last application of a
-- policy, which says how the active one came to hold; and those of a funnel that is not counted yet, or not removed
-- yet, for they say why.
CREATE FUNCTION forget_jobs(ended_before timestamptz, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    number integer;
BEGIN
    DELETE FROM jobs WHERE job_id IN (
        SELECT job_id FROM jobs
        WHERE created_at < ended_before AND updated_at < ended_before
          AND state IN ('done', 'failed', 'cancelled')
          AND job_id IS DISTINCT FROM (
              SELECT latest.job_id FROM jobs latest WHERE latest.kind = 'policy_apply'
              ORDER BY (latest.argument ->> 'version')::integer DESC NULLS LAST, latest.created_at DESC LIMIT 1)
          AND NOT EXISTS (
              SELECT FROM funnels
              WHERE funnel_id = (jobs.argument ->> 'funnel_id')::integer AND funnels.state <> 'live')
        ORDER BY created_at, job_id LIMIT most FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END $$;

REVOKE EXECUTE ON FUNCTION forget_jobs(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_jobs(timestamptz, integer) TO ebbtide_segmenter;
