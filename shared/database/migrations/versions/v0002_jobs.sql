-- Work in the background: asked for by a row, done by whichever segmenter takes it, in small transactions that
-- save its cursor. A worker that is killed loses its lease, and the next one goes on from the cursor.
CREATE TABLE jobs (
    job_id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    kind           text        NOT NULL,
    state          text        NOT NULL DEFAULT 'waiting'
                   CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    argument       jsonb       NOT NULL DEFAULT '{}',
    progress_done  bigint      NOT NULL DEFAULT 0,
    progress_total bigint,
    cursor         text,
    result         jsonb,
    error          text,
    requested_by   text        NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    leased_until   timestamptz,  -- lease time
    worker         text
);
CREATE INDEX jobs_open ON jobs (kind, created_at) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_newest ON jobs (created_at DESC, job_id DESC);

GRANT SELECT ON jobs TO ebbtide_segmenter, ebbtide_api;
GRANT INSERT (job_id, kind, argument, requested_by, created_at, updated_at) ON jobs
    TO ebbtide_segmenter, ebbtide_api;
GRANT UPDATE (state, progress_done, progress_total, cursor, result, error, updated_at, leased_until, worker)
    ON jobs TO ebbtide_segmenter;
