-- Pages whose sitemap says that they are as they were are not asked for, and their documents are touched all the same.

-- Takes in jobs that begin, and end, in the last stage: each touches the document of its page as it was known at the last look,
-- whose time it keeps. What is not there, or not so any more, is fetched as if nothing were known. Their turns follow what
-- is ready there and what their owner got there before, as those of removals do. Which ones: of a page that is known no
-- more, or was cut otherwise, there is nothing to touch.
CREATE OR REPLACE FUNCTION insert_touches(
    p_owner text, p_corpus text, p_metadata jsonb, p_chunking jsonb, p_render text, p_stage text, p_status text,
    p_crawl uuid, p_run integer, p_ids uuid[], p_urls text[], p_hosts text[], p_traceparents text[]
) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_count integer;
    v_weight double precision;
    v_tag double precision;
    v_turn double precision;
BEGIN
    -- as long as they are locked no removal takes them
    SELECT array_agg(id), count(*) INTO v_ids, v_count FROM (
        SELECT given.id FROM unnest(p_ids, p_urls) AS given(id, url)
        JOIN validators ON owner = p_owner AND corpus_name = p_corpus AND validators.url = given.url
            AND chunking_hash = chunking_hash_of(p_chunking)
        ORDER BY given.url FOR KEY SHARE OF validators) there;
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
    RETURN QUERY INSERT INTO jobs (
        owner, id, url, host, corpus_name, metadata, chunking, render, traceparent, crawl_id, run, stage, status, placement,
        tag, turn, unchanged, known, look, saved_bytes, as_of
    )
    SELECT p_owner, given.id, given.url, given.host, p_corpus, p_metadata, p_chunking, p_render, given.traceparent, p_crawl,
        p_run, p_stage, p_status, 'ready', v_tag, v_turn + given.nth / v_weight, true,
        known_of(p_owner, p_corpus, given.url, p_chunking, false), '{"not_modified": true, "by_lastmod": true}', bytes,
        looked_at
    FROM unnest(p_ids, p_urls, p_hosts, p_traceparents) WITH ORDINALITY AS given(id, url, host, traceparent, nth)
    JOIN validators ON owner = p_owner AND corpus_name = p_corpus AND validators.url = given.url
    WHERE given.id = ANY(v_ids)
    RETURNING id;
END $$;
