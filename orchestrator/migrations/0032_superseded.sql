-- A job that came to nothing because something newer, or a deletion, stood where its last stage would have written: it has no outcome,
-- and so have those of a version that told none. Its run is told which of them it is.

ALTER TABLE jobs ADD COLUMN IF NOT EXISTS superseded boolean NOT NULL DEFAULT false;

-- As in 0011, but that it notes this. (What ends in the first stage, in a dry run, is given as superseded so that nothing is remembered.)
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
        superseded = v_next_stage IS NULL AND p_superseded AND NOT p_first,
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
