-- A removal takes what stood when it was decided on, however long it takes to get round to it, or to try it again: what was
-- asked for meanwhile stays.

-- When a crawl was deleted, and when a run began to remove what is gone. `NULL`: not yet, or by the version before.
ALTER TABLE crawls ADD COLUMN IF NOT EXISTS deleting_at timestamptz;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS removing_at timestamptz;

-- As in 0011, with the time as of which documents are removed. `NULL`: now.
CREATE OR REPLACE FUNCTION insert_removals(
    p_owner text, p_corpus text, p_stage text, p_status text, p_crawl uuid, p_run integer,
    p_retries_of uuid[], p_ids uuid[], p_urls text[], p_hosts text[], p_traceparents text[], p_as_of timestamptz
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
        p_run, p_stage, p_status, 'ready', v_tag, v_turn + given.nth / v_weight, coalesce(p_as_of, now())
    FROM unnest(p_retries_of, p_ids, p_urls, p_hosts, p_traceparents) WITH ORDINALITY
        AS given(retry_of, id, url, host, traceparent, nth);
END $$;

-- That of the version before, which may run beside.
CREATE OR REPLACE FUNCTION insert_removals(
    p_owner text, p_corpus text, p_stage text, p_status text, p_crawl uuid, p_run integer,
    p_retries_of uuid[], p_ids uuid[], p_urls text[], p_hosts text[], p_traceparents text[]
) RETURNS void LANGUAGE sql AS $$
    SELECT insert_removals(p_owner, p_corpus, p_stage, p_status, p_crawl, p_run, p_retries_of, p_ids, p_urls, p_hosts,
        p_traceparents, NULL)
$$;
