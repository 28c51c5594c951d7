-- As `claim_jobs` in 0020 and 0021, and a pass says all of a job that is handed out: `render`, `upload`, and whether it was handed out to this
-- stage before (`again`). Who asks for these beside it, in one statement, sees the jobs of the moment at which that statement
-- began: a job that was submitted while the pass waited for its lock was claimed, told to nobody, and lay under its lease.
CREATE OR REPLACE FUNCTION hand_out_jobs(
    p_stage text, p_status text, p_by_host boolean, p_waiting_status text, p_behind text[], p_high_water bigint,
    p_in_flight bigint, p_lease_seconds double precision, p_mature_batch integer, p_lane_batch integer,
    p_deadline_seconds double precision, p_first boolean, p_kinds text[]
) RETURNS TABLE (
    owner text, id uuid, attempt_id uuid, url text, host text, corpus_name text, metadata jsonb, chunking jsonb,
    document jsonb, content_ref text, as_of timestamptz, submitted_at timestamptz, traceparent text,
    earlier_traceparent text, attempts integer,
    kind text, known jsonb, unchanged boolean, chunking_hash text, render text, upload jsonb, again boolean
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
                occupied = coalesce((
                    SELECT true FROM jobs WHERE placement = 'parked' AND host = heads.host AND stage = p_stage LIMIT 1), false)
            FROM heads WHERE lanes.host = heads.host;
        END IF;
    END IF;
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT owner, id FROM jobs WHERE stage = p_stage AND placement = 'ready'
            AND CASE WHEN unchanged THEN 'touch' ELSE kind END = ANY(p_kinds)
        ORDER BY turn LIMIT v_free FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE jobs SET placement = 'leased', status = p_status, attempt_id = gen_random_uuid(), attempt_open = true,
            committing = false, waiting_since = now(),
            known = CASE WHEN p_first THEN known_of(jobs.owner, jobs.corpus_name, coalesce(jobs.document_url, jobs.url),
                jobs.chunking, jobs.afresh OR jobs.kind = 'links') ELSE jobs.known END
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
        claimed.traceparent, job_stages.trace_parent, started.attempts,
        claimed.kind, claimed.known, claimed.unchanged, chunking_hash_of(claimed.chunking),
        claimed.render, claimed.upload, job_stages.job_id IS NOT NULL
    FROM claimed LEFT JOIN started ON started.job_id = claimed.id LEFT JOIN job_stages
        ON job_stages.owner = claimed.owner AND job_stages.job_id = claimed.id AND job_stages.stage = p_stage
    ORDER BY claimed.turn;
END $$;

-- That of the version before, which asked for the rest beside it; those before it ask this one. Its own name and columns stay: a new
-- PostgreSQL runs all files as it starts, and then they are applied once more.
CREATE OR REPLACE FUNCTION claim_jobs(
    p_stage text, p_status text, p_by_host boolean, p_waiting_status text, p_behind text[], p_high_water bigint,
    p_in_flight bigint, p_lease_seconds double precision, p_mature_batch integer, p_lane_batch integer,
    p_deadline_seconds double precision, p_first boolean, p_kinds text[]
) RETURNS TABLE (
    owner text, id uuid, attempt_id uuid, url text, host text, corpus_name text, metadata jsonb, chunking jsonb,
    document jsonb, content_ref text, as_of timestamptz, submitted_at timestamptz, traceparent text,
    earlier_traceparent text, attempts integer,
    kind text, known jsonb, unchanged boolean, chunking_hash text
) LANGUAGE sql AS $$
    SELECT owner, id, attempt_id, url, host, corpus_name, metadata, chunking, document, content_ref, as_of, submitted_at,
        traceparent, earlier_traceparent, attempts, kind, known, unchanged, chunking_hash
    FROM hand_out_jobs(
        p_stage, p_status, p_by_host, p_waiting_status, p_behind, p_high_water, p_in_flight, p_lease_seconds, p_mature_batch,
        p_lane_batch, p_deadline_seconds, p_first, p_kinds)
$$;
