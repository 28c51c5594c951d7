-- What moves a job touches each index that has its row: two of unfinished jobs, one by stage for passes and one by owner for
-- figures, are one. Both who ask name the stages.
CREATE INDEX IF NOT EXISTS jobs_unfinished_of ON jobs (stage, owner) WHERE placement <> 'ended';
DROP INDEX IF EXISTS jobs_unfinished;
DROP INDEX IF EXISTS jobs_open;

-- As in 0006, and by index however many jobs are cancelled of however few there are. Whether somebody worked on them, and
-- whether a lane is still waited in, is asked in a way that has no other plan: hashed, all jobs that wait would be read.
-- Until its processes are restarted the version before this one calls it too.
--
-- Cancels the given jobs, of one owner, whose rows the caller has locked. Rows are locked in the order that everybody keeps
-- (jobs, leases, owners, lanes), and an owner's turns at the very end: a pass waits for these while it holds lanes. What
-- nobody has worked on, nor is about to, gives its tag back, and its turn if it had got one.
CREATE OR REPLACE FUNCTION cancel_locked(p_owner text, p_first_stage text, p_jobs uuid[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_hosts text[];
    v_tags bigint;
    v_turns bigint;
    v_weight double precision;
BEGIN
    WITH cancelled AS (
        SELECT host, placement, stage = p_first_stage AND placement <> 'leased' AND id NOT IN (
            SELECT job_id FROM job_stages WHERE owner = p_owner AND job_id = ANY(p_jobs) AND attempts > 0) AS unused
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
        occupied = occupied AND coalesce(
            (SELECT true FROM jobs WHERE placement = 'parked' AND jobs.host = lanes.host LIMIT 1), false)
    WHERE host = ANY(v_hosts);
    IF v_turns > 0 THEN
        UPDATE owner_turns SET last_turn = last_turn - v_turns / v_weight WHERE owner = p_owner AND stage = p_first_stage;
    END IF;
END $$;

ALTER FUNCTION cancel_job(text, uuid, text) SET enable_seqscan = off;
ALTER FUNCTION cancel_some(text, uuid, text, integer) SET enable_seqscan = off;
ALTER FUNCTION cancel_run_jobs(text, uuid, integer, text) SET enable_seqscan = off;
