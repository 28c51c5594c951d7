-- A stage whose answer is its result is started by whoever claims its jobs: claiming and starting are one move.

-- The functions of 0004 with fewer parameters stay: until its processes are restarted, the version before this one calls them.

-- A stage's result: the job moves on to `p_next_stage`, or is completed where there is none. No row if the attempt is
-- not the job's any more. What the first stage tells of a page is kept as it is, later stages add to it. `p_here`: the
-- stage answered whoever reports, which ends its pause. `p_trace_parent`: of such a stage the hand-out's own span, which a
-- later attempt's links to.
CREATE OR REPLACE FUNCTION take_success(
    p_job uuid, p_stage text, p_attempt uuid, p_first boolean, p_by_host boolean, p_here boolean, p_host_next_at timestamptz,
    p_next_stage text, p_next_status text, p_next_by_host boolean,
    p_content_ref text, p_bytes bigint, p_extraction jsonb, p_chunks integer, p_tokens bigint, p_document jsonb,
    p_trace_parent text
) RETURNS TABLE (attempts integer, run_seconds double precision, ended_seconds double precision) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_job record;
    v_run record;
BEGIN
    SELECT owner, host, tag, submitted_at INTO v_job FROM jobs
    WHERE id = p_job AND stage = p_stage AND attempt_id = p_attempt AND attempt_open AND placement <> 'ended'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO job_stages AS s (owner, job_id, stage, ended_at, finished_attempt, trace_parent)
    VALUES (v_job.owner, p_job, p_stage, now(), p_attempt, p_trace_parent)
    ON CONFLICT (owner, job_id, stage) DO UPDATE SET
        ended_at = now(), finished_attempt = p_attempt, trace_parent = coalesce(p_trace_parent, s.trace_parent)
    RETURNING s.attempts, s.started_at, extract(epoch FROM s.ended_at - s.started_at)::float8 AS seconds INTO v_run;
    DELETE FROM leases WHERE owner = v_job.owner AND job_id = p_job;
    -- `as_of`: versions of a document are ordered by when their page was asked for, on this clock
    UPDATE jobs SET
        attempt_open = false, committing = false, not_before = NULL, waiting_since = now(),
        content_ref = CASE WHEN p_first THEN p_content_ref ELSE coalesce(p_content_ref, content_ref) END,
        bytes = CASE WHEN p_first THEN p_bytes ELSE bytes END,
        extraction = CASE WHEN p_first THEN p_extraction ELSE extraction END,
        as_of = CASE WHEN p_first THEN coalesce(v_run.started_at, now()) ELSE as_of END,
        chunks = coalesce(p_chunks, chunks), tokens = coalesce(p_tokens, tokens),
        document = CASE WHEN p_document IS NULL THEN document ELSE document || p_document END,
        stage = coalesce(p_next_stage, stage), status = coalesce(p_next_status, 'completed'),
        placement = CASE WHEN p_next_stage IS NULL THEN 'ended' WHEN p_next_by_host THEN 'parked' ELSE 'ready' END,
        ended_at = CASE WHEN p_next_stage IS NULL THEN now() END
    WHERE owner = v_job.owner AND id = p_job;
    IF p_next_stage IS NULL THEN
        UPDATE owners SET open_jobs = open_jobs - 1 WHERE owner = v_job.owner;
    ELSIF p_next_by_host THEN
        PERFORM occupy_lane(v_job.host, v_job.tag);
    END IF;
    IF p_by_host OR p_next_stage IS NULL THEN
        PERFORM leave_lane(v_job.host, p_job, p_host_next_at);
    END IF;
    IF p_here THEN
        UPDATE stages SET pauses = 0, paused_until = NULL, pause_reason = NULL WHERE stage = p_stage AND pauses > 0;
    END IF;
    RETURN QUERY SELECT v_run.attempts, v_run.seconds,
        CASE WHEN p_next_stage IS NULL THEN extract(epoch FROM now() - v_job.submitted_at)::float8 END;
END $$;

-- What a pass takes: as many jobs of a stage as it has free slots, in fair order, each under a new attempt. Nothing
-- while the stage is paused, or while `p_high_water` jobs or more are behind it. One pass of a stage at a time gets
-- further than its lock, so that the limit is exact. With `p_deadline_seconds` they start as well: the lease is that of a
-- run, and `attempts` the number of this one.
CREATE OR REPLACE FUNCTION claim_jobs(
    p_stage text, p_status text, p_by_host boolean, p_waiting_status text, p_behind text[], p_high_water bigint,
    p_in_flight bigint, p_lease_seconds double precision, p_mature_batch integer, p_lane_batch integer,
    p_deadline_seconds double precision
) RETURNS TABLE (
    owner text, id uuid, attempt_id uuid, url text, host text, corpus_name text, metadata jsonb, chunking jsonb,
    document jsonb, content_ref text, as_of timestamptz, submitted_at timestamptz, traceparent text,
    earlier_traceparent text, attempts integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_free bigint;
    v_hosts text[];
BEGIN
    -- Half of all passes find nothing: that is seen without the lock. Whoever makes something runnable asks afterwards.
    IF NOT EXISTS (SELECT 1 FROM jobs WHERE stage = p_stage AND placement = 'ready')
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE placement = 'waiting' AND not_before <= now() AND stage = p_stage)
        AND NOT (p_by_host AND EXISTS (SELECT 1 FROM lanes WHERE occupied AND holder IS NULL AND next_at <= now()))
    THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('stage'), hashtext(p_stage));
    PERFORM 1 FROM stages WHERE stage = p_stage AND coalesce(paused_until <= now(), true);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF (SELECT count(*) FROM (
            SELECT 1 FROM jobs WHERE placement <> 'ended' AND stage = ANY(p_behind) LIMIT p_high_water) few) >= p_high_water
    THEN
        RETURN;
    END IF;
    -- jobs whose time has come; their lanes in the order of hosts, as everybody locks several
    WITH due AS MATERIALIZED (
        SELECT owner, id FROM jobs WHERE placement = 'waiting' AND not_before <= now() AND stage = p_stage
        ORDER BY not_before LIMIT p_mature_batch FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE jobs SET status = p_waiting_status, placement = CASE WHEN p_by_host THEN 'parked' ELSE 'ready' END,
            not_before = NULL, waiting_since = now()
        FROM due WHERE jobs.owner = due.owner AND jobs.id = due.id RETURNING jobs.host, jobs.tag
    )
    INSERT INTO lanes (host, head_tag)
    SELECT host, min(tag) FROM moved WHERE p_by_host GROUP BY host ORDER BY host COLLATE "C"
    ON CONFLICT (host) DO UPDATE SET
        occupied = true,
        head_tag = CASE WHEN lanes.occupied THEN LEAST(lanes.head_tag, excluded.head_tag) ELSE excluded.head_tag END;
    v_free := p_in_flight - (SELECT count(*) FROM leases WHERE stage = p_stage);
    IF v_free <= 0 THEN
        RETURN;
    END IF;
    IF p_by_host THEN
        -- All that are free, not just as many as there are slots: whose turn it is shows among all of them. Two
        -- statements, for the second one's snapshot has to be younger than the lanes' locks: a job that was parked while
        -- the first one waited is seen, one that is parked later marks the lane as occupied again. A job that a report
        -- has locked is passed over, for the report may want the lane next; it keeps the lane occupied.
        SELECT array_agg(free.host) INTO v_hosts FROM (
            SELECT host FROM lanes WHERE occupied AND holder IS NULL AND next_at <= now()
            ORDER BY head_tag LIMIT p_lane_batch FOR UPDATE SKIP LOCKED) free;
        IF v_hosts IS NOT NULL THEN
            WITH heads AS MATERIALIZED (
                SELECT free.host, head.owner, head.id, head.tag FROM unnest(v_hosts) AS free(host) LEFT JOIN LATERAL (
                    SELECT owner, id, tag FROM jobs WHERE placement = 'parked' AND host = free.host AND stage = p_stage
                    ORDER BY tag LIMIT 1 FOR UPDATE SKIP LOCKED
                ) head ON true
            ), turns AS MATERIALIZED (
                SELECT heads.owner, heads.id, GREATEST(coalesce(last_turn, 0), virtual_time)
                    + row_number() OVER (PARTITION BY heads.owner ORDER BY heads.tag) / weight AS turn
                FROM heads JOIN owners ON owners.owner = heads.owner JOIN stages ON stages.stage = p_stage
                LEFT JOIN owner_turns ON owner_turns.owner = heads.owner AND owner_turns.stage = p_stage
            ), remembered AS (
                INSERT INTO owner_turns (owner, stage, last_turn)
                SELECT owner, p_stage, max(turn) FROM turns GROUP BY owner
                ON CONFLICT (owner, stage) DO UPDATE SET last_turn = excluded.last_turn
            ), readied AS (
                UPDATE jobs SET placement = 'ready', turn = turns.turn FROM turns
                WHERE jobs.owner = turns.owner AND jobs.id = turns.id AND jobs.placement = 'parked'
                RETURNING jobs.id
            )
            UPDATE lanes SET holder = heads.id, head_tag = coalesce(heads.tag, head_tag),
                occupied = EXISTS (SELECT 1 FROM jobs WHERE placement = 'parked' AND host = heads.host AND stage = p_stage)
            FROM heads WHERE lanes.host = heads.host;
        END IF;
    END IF;
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT owner, id FROM jobs WHERE stage = p_stage AND placement = 'ready'
        ORDER BY turn LIMIT v_free FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE jobs SET placement = 'leased', status = p_status, attempt_id = gen_random_uuid(), attempt_open = true,
            committing = false, waiting_since = now()
        FROM picked WHERE jobs.owner = picked.owner AND jobs.id = picked.id
        RETURNING jobs.*
    ), leased AS (
        INSERT INTO leases (owner, job_id, stage, attempt_id, phase, expires_at, deadline_at)
        SELECT owner, id, stage, attempt_id, CASE WHEN p_deadline_seconds IS NULL THEN 'dispatch' ELSE 'run' END,
            now() + make_interval(secs => p_lease_seconds), now() + make_interval(secs => p_deadline_seconds) FROM claimed
    ), started AS (
        INSERT INTO job_stages AS s (owner, job_id, stage, attempts, started_at)
        SELECT owner, id, p_stage, 1, now() FROM claimed WHERE p_deadline_seconds IS NOT NULL
        ON CONFLICT (owner, job_id, stage) DO UPDATE SET attempts = s.attempts + 1, started_at = now(), ended_at = NULL
        RETURNING s.job_id, s.attempts
    ), counted AS (
        UPDATE stages SET virtual_time = GREATEST(virtual_time, (SELECT max(turn) FROM claimed))
        WHERE stage = p_stage AND EXISTS (SELECT 1 FROM claimed)
    )
    SELECT claimed.owner, claimed.id, claimed.attempt_id, claimed.url, claimed.host, claimed.corpus_name,
        claimed.metadata, claimed.chunking, claimed.document, claimed.content_ref, claimed.as_of, claimed.submitted_at,
        claimed.traceparent, job_stages.trace_parent, started.attempts
    FROM claimed LEFT JOIN started ON started.job_id = claimed.id LEFT JOIN job_stages
        ON job_stages.owner = claimed.owner AND job_stages.job_id = claimed.id AND job_stages.stage = p_stage
    ORDER BY claimed.turn;
END $$;
