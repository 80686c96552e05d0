-- The right to end jobs, lent for this one act: the api writes no other state of a job.
-- Ends a job that waits or runs; false: it had ended. Where a step has the row, this waits for the end of the step.
CREATE FUNCTION cancel_job(which uuid, asked_by text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE jobs SET state = 'cancelled', error = 'cancelled by ' || asked_by, updated_at = at
    WHERE job_id = which AND state IN ('waiting', 'running');
    RETURN FOUND;
END $$;

REVOKE EXECUTE ON FUNCTION cancel_job(uuid, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cancel_job(uuid, text, timestamptz) TO ebbtide_api;
