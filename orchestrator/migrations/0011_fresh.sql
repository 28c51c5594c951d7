-- An unchanged page costs nothing: what a page was known by at the last look, jobs that pass only the last stage because
-- nothing changed, and jobs that begin there because their page is gone.

-- By what the page of a document is known: what its site gave to recognise its state by, and what of it was indexed, under
-- which settings. Only a hint: the embedding service says whether the document is still there, and still that one. `url` is the
-- normal form; `looked_at` is when the page was asked for, as `jobs.as_of` has it.
CREATE TABLE IF NOT EXISTS validators (
    owner         text        NOT NULL,
    corpus_name   text        NOT NULL,
    url           text        NOT NULL,
    etag          text,
    last_modified text,
    content_hash  text        NOT NULL,
    chunking_hash text        NOT NULL,
    bytes         bigint,
    looked_at     timestamptz NOT NULL,
    PRIMARY KEY (owner, corpus_name, url)
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS validators_by_age ON validators (looked_at);

-- `document_url`: the normal form of `url`, where that is another. `afresh`: nothing that is known of the page counts.
-- `known`: what the scraper was sent of that; `look`: what it found. `unchanged`: they are the same, so the last stage is
-- asked to touch the document.
ALTER TABLE jobs
    ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'page',
    ADD COLUMN IF NOT EXISTS crawl_id uuid,
    ADD COLUMN IF NOT EXISTS run integer,
    ADD COLUMN IF NOT EXISTS document_url text,
    ADD COLUMN IF NOT EXISTS afresh boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS known jsonb,
    ADD COLUMN IF NOT EXISTS look jsonb,
    ADD COLUMN IF NOT EXISTS unchanged boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS outcome text,
    ADD COLUMN IF NOT EXISTS saved_bytes bigint,
    ADD COLUMN IF NOT EXISTS saved_chunks integer;

-- Settings of chunking in one word: `jsonb` writes what is equal in one way.
CREATE OR REPLACE FUNCTION chunking_hash_of(p_chunking jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(p_chunking::text, 'UTF8')), 'hex')
$$;

-- What a page is known by, if it was indexed under these settings: a page that is not sent again can't be cut otherwise.
CREATE OR REPLACE FUNCTION known_of(p_owner text, p_corpus text, p_url text, p_chunking jsonb, p_afresh boolean)
RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'etag', etag, 'last_modified', last_modified, 'content_hash', content_hash, 'bytes', bytes))
    FROM validators
    WHERE NOT p_afresh AND owner = p_owner AND corpus_name = p_corpus AND url = p_url
      AND chunking_hash = chunking_hash_of(p_chunking)
$$;

-- Remembers what the page of a job that has been indexed, or touched, is known by. An older look writes nothing.
CREATE OR REPLACE FUNCTION remember_page(p_owner text, p_job uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO validators AS v (
        owner, corpus_name, url, etag, last_modified, content_hash, chunking_hash, bytes, looked_at)
    SELECT owner, corpus_name, coalesce(document_url, url),
        CASE WHEN sent THEN look->>'etag' ELSE coalesce(look->>'etag', known->>'etag') END,
        CASE WHEN sent THEN look->>'last_modified' ELSE coalesce(look->>'last_modified', known->>'last_modified') END,
        CASE WHEN unchanged THEN known->>'content_hash' ELSE look->>'content_hash' END,
        chunking_hash_of(chunking), CASE WHEN sent THEN bytes ELSE (known->>'bytes')::bigint END, as_of
    FROM (SELECT *, NOT coalesce((look->>'not_modified')::boolean, false) AS sent FROM jobs
          WHERE owner = p_owner AND id = p_job) job
    WHERE (unchanged OR look->>'content_hash' IS NOT NULL) AND as_of IS NOT NULL
    ON CONFLICT (owner, corpus_name, url) DO UPDATE SET
        etag = excluded.etag, last_modified = excluded.last_modified, content_hash = excluded.content_hash,
        chunking_hash = excluded.chunking_hash, bytes = excluded.bytes, looked_at = excluded.looked_at
    WHERE v.looked_at <= excluded.looked_at
$$;

-- A stage's result, as in 0005; and where the first stage found its page as it was known, the job goes on to `p_last_stage`,
-- which no lane leads to. `p_superseded`: something newer, or a deletion, stood where the last stage would have written.
-- Rows are locked in the order of 0004, those of validators between leases and owners.
CREATE OR REPLACE FUNCTION take_success(
    p_job uuid, p_stage text, p_attempt uuid, p_first boolean, p_by_host boolean, p_here boolean, p_host_next_at timestamptz,
    p_next_stage text, p_next_status text, p_next_by_host boolean,
    p_content_ref text, p_bytes bigint, p_extraction jsonb, p_chunks integer, p_tokens bigint, p_document jsonb,
    p_trace_parent text,
    p_look jsonb, p_last_stage text, p_last_status text, p_outcome text, p_saved_chunks integer, p_superseded boolean
) RETURNS TABLE (
    attempts integer, run_seconds double precision, ended_seconds double precision, next_stage text, saved_bytes bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_job record;
    v_run record;
    v_not_modified boolean := coalesce((p_look->>'not_modified')::boolean, false);
    v_unchanged boolean;
    v_next_stage text := p_next_stage;
    v_next_status text := p_next_status;
    v_next_by_host boolean := p_next_by_host;
BEGIN
    SELECT owner, host, tag, submitted_at, kind, corpus_name, coalesce(document_url, url) AS page, as_of, known, unchanged,
        saved_bytes
    INTO v_job FROM jobs
    WHERE id = p_job AND stage = p_stage AND attempt_id = p_attempt AND attempt_open AND placement <> 'ended'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_unchanged := v_job.unchanged;
    IF p_first THEN
        v_unchanged := v_job.known IS NOT NULL
            AND (v_not_modified OR coalesce(p_look->>'content_hash' = v_job.known->>'content_hash', false));
        IF v_unchanged AND p_last_stage IS NOT NULL THEN
            v_next_stage := p_last_stage;
            v_next_status := p_last_status;
            v_next_by_host := false;
        END IF;
        v_job.saved_bytes := CASE WHEN v_unchanged AND v_not_modified THEN (v_job.known->>'bytes')::bigint END;
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
        look = CASE WHEN p_first THEN p_look ELSE look END,
        unchanged = v_unchanged,
        saved_bytes = v_job.saved_bytes,
        saved_chunks = coalesce(p_saved_chunks, saved_chunks),
        outcome = CASE WHEN v_next_stage IS NULL AND NOT p_superseded THEN p_outcome END,
        chunks = coalesce(p_chunks, chunks), tokens = coalesce(p_tokens, tokens),
        document = CASE WHEN p_document IS NULL THEN document ELSE document || p_document END,
        stage = coalesce(v_next_stage, stage), status = coalesce(v_next_status, 'completed'),
        placement = CASE WHEN v_next_stage IS NULL THEN 'ended' WHEN v_next_by_host THEN 'parked' ELSE 'ready' END,
        ended_at = CASE WHEN v_next_stage IS NULL THEN now() END
    WHERE owner = v_job.owner AND id = p_job;
    IF v_next_stage IS NULL AND v_job.kind = 'remove' THEN
        DELETE FROM validators
        WHERE owner = v_job.owner AND corpus_name = v_job.corpus_name AND url = v_job.page AND looked_at <= v_job.as_of;
    ELSIF v_next_stage IS NULL AND NOT p_superseded THEN
        PERFORM remember_page(v_job.owner, p_job);
    END IF;
    IF v_next_stage IS NULL THEN
        UPDATE owners SET open_jobs = open_jobs - 1 WHERE owner = v_job.owner;
    ELSIF v_next_by_host THEN
        PERFORM occupy_lane(v_job.host, v_job.tag);
    END IF;
    IF p_by_host OR v_next_stage IS NULL THEN
        PERFORM leave_lane(v_job.host, p_job, p_host_next_at);
    END IF;
    IF p_here THEN
        UPDATE stages SET pauses = 0, paused_until = NULL, pause_reason = NULL WHERE stage = p_stage AND pauses > 0;
    END IF;
    RETURN QUERY SELECT v_run.attempts, v_run.seconds,
        CASE WHEN v_next_stage IS NULL THEN extract(epoch FROM now() - v_job.submitted_at)::float8 END,
        v_next_stage, v_job.saved_bytes;
END $$;

-- Takes in jobs that remove documents of one corpus: they begin, and end, in the last stage. Their turns follow what is ready
-- there and what their owner got there before, so that ten thousand of them hold up nobody. `as_of` is when the removal was
-- asked for: what was looked at later stays. Rows are locked as in 0006: an owner's turns last.
CREATE OR REPLACE FUNCTION insert_removals(
    p_owner text, p_corpus text, p_stage text, p_status text, p_crawl uuid, p_run integer,
    p_retries_of uuid[], p_ids uuid[], p_urls text[], p_hosts text[], p_traceparents text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_count integer := cardinality(p_ids);
    v_weight double precision;
    v_tag double precision;
    v_turn double precision;
BEGIN
    IF v_count = 0 THEN
        RETURN;
    END IF;
    INSERT INTO owners AS o (owner, open_jobs) VALUES (p_owner, v_count)
    ON CONFLICT (owner) DO UPDATE SET open_jobs = o.open_jobs + excluded.open_jobs
    RETURNING weight, last_tag INTO v_weight, v_tag;
    INSERT INTO owner_turns AS t (owner, stage, last_turn)
    SELECT p_owner, p_stage, coalesce(max(virtual_time), 0) + v_count / v_weight FROM stages WHERE stage = p_stage
    ON CONFLICT (owner, stage) DO UPDATE SET last_turn =
        GREATEST(t.last_turn, excluded.last_turn - v_count / v_weight) + v_count / v_weight
    RETURNING last_turn - v_count / v_weight INTO v_turn;
    INSERT INTO jobs (
        owner, id, url, host, corpus_name, traceparent, retry_of, kind, crawl_id, run, stage, status,
        placement, tag, turn, as_of
    )
    SELECT p_owner, given.id, given.url, given.host, p_corpus, given.traceparent, given.retry_of, 'remove', p_crawl,
        p_run, p_stage, p_status, 'ready', v_tag, v_turn + given.nth / v_weight, now()
    FROM unnest(p_retries_of, p_ids, p_urls, p_hosts, p_traceparents) WITH ORDINALITY
        AS given(retry_of, id, url, host, traceparent, nth);
END $$;

-- As in 0005, and with `p_first` a job is told what its page was known by: kept in its row, for what the scraper says is
-- measured by what the scraper was sent, whoever looks at the page meanwhile.
--
-- What a pass takes: as many jobs of a stage as it has free slots, in fair order, each under a new attempt. Nothing
-- while the stage is paused, or while `p_high_water` jobs or more are behind it. One pass of a stage at a time gets
-- further than its lock, so that the limit is exact. With `p_deadline_seconds` they start as well: the lease is that of a
-- run, and `attempts` the number of this one.
CREATE OR REPLACE FUNCTION claim_jobs(
    p_stage text, p_status text, p_by_host boolean, p_waiting_status text, p_behind text[], p_high_water bigint,
    p_in_flight bigint, p_lease_seconds double precision, p_mature_batch integer, p_lane_batch integer,
    p_deadline_seconds double precision, p_first boolean
) RETURNS TABLE (
    owner text, id uuid, attempt_id uuid, url text, host text, corpus_name text, metadata jsonb, chunking jsonb,
    document jsonb, content_ref text, as_of timestamptz, submitted_at timestamptz, traceparent text,
    earlier_traceparent text, attempts integer,
    kind text, known jsonb, unchanged boolean, chunking_hash text
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
        claimed.kind, claimed.known, claimed.unchanged, chunking_hash_of(claimed.chunking)
    FROM claimed LEFT JOIN started ON started.job_id = claimed.id LEFT JOIN job_stages
        ON job_stages.owner = claimed.owner AND job_stages.job_id = claimed.id AND job_stages.stage = p_stage
    ORDER BY claimed.turn;
END $$;
