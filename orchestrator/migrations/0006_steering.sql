-- Batches, cancelling, and the lists of jobs that one can ask for.

-- `cancel_open`: it was asked for, and jobs of it may still have to be cancelled. Written before the first of them is, so
-- that whoever makes a pass of the recovery finishes what a crash left.
CREATE TABLE IF NOT EXISTS batches (
    owner           text        NOT NULL,
    id              uuid        NOT NULL,
    corpus_name     text        NOT NULL,
    retry_of        uuid,
    cancel_asked_at timestamptz,
    cancel_open     boolean     NOT NULL DEFAULT false,
    submitted_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, id)
);
CREATE INDEX IF NOT EXISTS batches_by_owner ON batches (owner, submitted_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS batches_to_cancel ON batches (cancel_asked_at) WHERE cancel_open;
CREATE INDEX IF NOT EXISTS batches_by_retry_of ON batches (owner, retry_of) WHERE retry_of IS NOT NULL;

-- in place of the one without the order of lists
DROP INDEX IF EXISTS jobs_by_batch;
CREATE INDEX IF NOT EXISTS jobs_of_batch ON jobs (owner, batch_id, submitted_at DESC, id DESC) WHERE batch_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_by_host ON jobs (owner, host, submitted_at DESC, id DESC);
-- of a URL the beginning: a whole one may be too long for an index
CREATE INDEX IF NOT EXISTS jobs_by_url ON jobs (owner, (left(url, 256)) COLLATE "C");
-- these two have ended jobs only: what moves a job touches them once
CREATE INDEX IF NOT EXISTS jobs_by_error ON jobs (owner, error_code, submitted_at DESC, id DESC) WHERE error_code IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_by_end ON jobs (owner, ended_at) WHERE ended_at IS NOT NULL;

-- Cancels the given jobs, of one owner, whose rows the caller has locked. Rows are locked in the order that everybody keeps
-- (jobs, leases, owners, lanes), and an owner's turns at the very end: a pass waits for these while it holds lanes. What
-- nobody has worked on, nor is about to, gives its tag back, and its turn if it had got one.
CREATE OR REPLACE FUNCTION cancel_locked(p_owner text, p_first_stage text, p_jobs uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_hosts text[];
    v_tags bigint;
    v_turns bigint;
    v_weight double precision;
BEGIN
    WITH cancelled AS (
        SELECT host, placement, stage = p_first_stage AND placement <> 'leased' AND NOT EXISTS (
            SELECT 1 FROM job_stages WHERE owner = p_owner AND job_id = jobs.id AND attempts > 0) AS unused
        FROM jobs WHERE owner = p_owner AND id = ANY(p_jobs)
    )
    SELECT array_agg(DISTINCT host), count(*) FILTER (WHERE unused), count(*) FILTER (WHERE unused AND placement = 'ready')
    INTO v_hosts, v_tags, v_turns FROM cancelled;
    UPDATE jobs SET
        status = 'cancelled', placement = 'ended', not_before = NULL, attempt_open = false, committing = false,
        ended_at = now(), waiting_since = now()
    WHERE owner = p_owner AND id = ANY(p_jobs);
    PERFORM 1 FROM leases WHERE owner = p_owner AND job_id = ANY(p_jobs) ORDER BY job_id FOR UPDATE;
    DELETE FROM leases WHERE owner = p_owner AND job_id = ANY(p_jobs);
    UPDATE owners SET open_jobs = open_jobs - cardinality(p_jobs), last_tag = GREATEST(last_tag - v_tags / weight, 0)
    WHERE owner = p_owner RETURNING weight INTO v_weight;
    -- Two statements: a job that was parked while the first one waited is seen by the second, one that is parked later
    -- marks the lane as occupied again. A lane that nobody waits in must not look occupied, or passes open it for nothing.
    PERFORM 1 FROM lanes WHERE host = ANY(v_hosts) ORDER BY host COLLATE "C" FOR UPDATE;
    UPDATE lanes SET
        holder = CASE WHEN holder = ANY(p_jobs) THEN NULL ELSE holder END,
        occupied = occupied AND EXISTS (SELECT 1 FROM jobs WHERE placement = 'parked' AND jobs.host = lanes.host)
    WHERE host = ANY(v_hosts);
    IF v_turns > 0 THEN
        UPDATE owner_turns SET last_turn = last_turn - v_turns / v_weight WHERE owner = p_owner AND stage = p_first_stage;
    END IF;
END $$;

-- Cancels a job, unless its result is just being written; waits for whoever moves it. Whether that was done.
CREATE OR REPLACE FUNCTION cancel_job(p_owner text, p_job uuid, p_first_stage text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM jobs
    WHERE owner = p_owner AND id = p_job AND placement <> 'ended' AND NOT (committing AND attempt_open)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM cancel_locked(p_owner, p_first_stage, ARRAY[p_job]);
    RETURN true;
END $$;

-- Cancels at most so many jobs of a batch that nobody is moving just now. How many.
CREATE OR REPLACE FUNCTION cancel_some(p_owner text, p_batch uuid, p_first_stage text, p_limit integer)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_jobs uuid[];
BEGIN
    SELECT array_agg(id) INTO v_jobs FROM (
        SELECT id FROM jobs
        WHERE owner = p_owner AND batch_id = p_batch AND placement <> 'ended' AND NOT (committing AND attempt_open)
        LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ) picked;
    IF v_jobs IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM cancel_locked(p_owner, p_first_stage, v_jobs);
    RETURN cardinality(v_jobs);
END $$;
