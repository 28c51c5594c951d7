-- As in 0004, and an attempt that was lost holds its host's lane again when it takes its lease up again. The lane was free
-- meanwhile: without it a pass handed out another page of the host beside it. If another job holds the lane by then, the
-- attempt is dropped; its job waits in the lane, and is handed out after that one. The lane is locked after the job, as
-- everybody locks them.
CREATE OR REPLACE FUNCTION report_progress(
    p_job uuid, p_stage text, p_status text, p_attempt uuid, p_phase text, p_start_id text,
    p_lease_seconds double precision, p_deadline_seconds double precision, p_max_attempts integer,
    p_lost_code text, p_lost_message text, p_trace_parent text, p_by_host boolean,
    OUT verdict text, OUT ended_seconds double precision
) LANGUAGE plpgsql AS $$
DECLARE
    v_job record;
    v_starts boolean;
    v_attempts integer;
BEGIN
    verdict := 'abandon';
    SELECT owner, id, host, placement INTO v_job FROM jobs
    WHERE id = p_job AND stage = p_stage AND attempt_id = p_attempt AND attempt_open AND placement <> 'ended'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_by_host AND v_job.placement <> 'leased' THEN
        PERFORM 1 FROM lanes WHERE host = v_job.host FOR UPDATE;
        IF EXISTS (SELECT 1 FROM lanes WHERE host = v_job.host AND holder <> p_job) THEN
            RETURN;
        END IF;
    END IF;
    v_starts := p_phase = 'started' AND NOT EXISTS (
        SELECT 1 FROM leases WHERE attempt_id = p_attempt AND phase = 'run' AND start_id = p_start_id);
    IF v_starts THEN
        INSERT INTO job_stages AS s (owner, job_id, stage, attempts, started_at, trace_parent)
        VALUES (v_job.owner, p_job, p_stage, 1, now(), p_trace_parent)
        ON CONFLICT (owner, job_id, stage) DO UPDATE SET
            attempts = s.attempts + 1, started_at = now(), ended_at = NULL,
            trace_parent = coalesce(excluded.trace_parent, s.trace_parent)
        RETURNING attempts INTO v_attempts;
        IF v_attempts > p_max_attempts THEN
            verdict := 'exhausted';
            ended_seconds := end_job(v_job.owner, p_job, v_job.host, 'failed', p_lost_code, p_lost_message, p_stage);
            RETURN;
        END IF;
    END IF;
    IF v_starts OR v_job.placement <> 'leased' THEN
        -- a lease that ran out, but that nobody took over, is taken up again
        INSERT INTO leases (owner, job_id, stage, attempt_id, phase, expires_at, deadline_at, start_id)
        SELECT v_job.owner, p_job, p_stage, p_attempt, 'run',
            LEAST(now() + make_interval(secs => p_lease_seconds), started.deadline), started.deadline, p_start_id
        FROM (SELECT started_at + make_interval(secs => p_deadline_seconds) AS deadline FROM job_stages
              WHERE owner = v_job.owner AND job_id = p_job AND stage = p_stage) started
        WHERE started.deadline > now()
        ON CONFLICT (owner, job_id) DO UPDATE SET
            phase = 'run', attempt_id = excluded.attempt_id, expires_at = excluded.expires_at,
            deadline_at = excluded.deadline_at, start_id = excluded.start_id;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        UPDATE jobs SET
            placement = 'leased', status = p_status, not_before = NULL, waiting_since = now(),
            committing = committing OR p_phase = 'committing'
        WHERE owner = v_job.owner AND id = p_job;
        IF p_by_host THEN
            UPDATE lanes SET holder = p_job WHERE host = v_job.host AND holder IS NULL;
        END IF;
    ELSE
        UPDATE leases SET expires_at = LEAST(now() + make_interval(secs => p_lease_seconds), deadline_at)
        WHERE attempt_id = p_attempt AND phase = 'run' AND deadline_at > now();
        IF NOT FOUND THEN
            RETURN;
        END IF;
        IF p_phase = 'committing' THEN
            UPDATE jobs SET committing = true WHERE owner = v_job.owner AND id = p_job;
        END IF;
    END IF;
    verdict := 'accepted';
END $$;

-- That of the version before, which may run beside: it does not say whether the stage asks one page of a host at a time.
CREATE OR REPLACE FUNCTION report_progress(
    p_job uuid, p_stage text, p_status text, p_attempt uuid, p_phase text, p_start_id text,
    p_lease_seconds double precision, p_deadline_seconds double precision, p_max_attempts integer,
    p_lost_code text, p_lost_message text, p_trace_parent text,
    OUT verdict text, OUT ended_seconds double precision
) LANGUAGE sql AS $$
    SELECT verdict, ended_seconds FROM report_progress(
        p_job, p_stage, p_status, p_attempt, p_phase, p_start_id, p_lease_seconds, p_deadline_seconds, p_max_attempts,
        p_lost_code, p_lost_message, p_trace_parent, false)
$$;
