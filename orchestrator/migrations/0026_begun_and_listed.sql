-- What a schedule's `every` counts from: when it was given. `NULL`: with the crawl.
ALTER TABLE crawls ADD COLUMN IF NOT EXISTS schedule_begun_at timestamptz;

-- What somebody listed is of no pattern but its own: as `app.core.crawls.traps.listed` has it.
CREATE OR REPLACE FUNCTION pattern_of_listed(p_hash bytea) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT ('x' || encode(substr(p_hash, 1, 8), 'hex'))::bit(64)::bigint
$$;

-- As in 0010, planned as in 0023. A page that was met by a link first is one that is listed from when it is met so.
CREATE OR REPLACE FUNCTION meet_pages(
    p_crawl uuid, p_run integer, p_found_on bytea, p_depth integer, p_most_met bigint, p_most_skipped bigint,
    p_urls text[], p_hashes bytea[], p_hosts text[], p_kinds text[], p_optional boolean[], p_reasons text[],
    p_patterns bigint[], p_pattern_mosts integer[], p_patiences integer[], p_lastmods timestamptz[]
) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_met bigint := coalesce((SELECT count FROM run_tallies WHERE crawl_id = p_crawl AND run = p_run AND what = 'met'), 0);
    v_skipped bigint := coalesce(
        (SELECT count FROM run_tallies WHERE crawl_id = p_crawl AND run = p_run AND what = 'skipped'), 0);
    v_followed bytea[] := ARRAY(
        SELECT url_hash FROM unnest(p_hashes, p_reasons) AS given(url_hash, reason) WHERE reason IS NULL);
    v_listed bytea[] := ARRAY(
        SELECT url_hash FROM unnest(p_hashes, p_reasons, p_kinds, p_patterns) AS given(url_hash, reason, kind, pattern)
        WHERE reason IS NULL AND kind = 'page' AND pattern = pattern_of_listed(url_hash));
    v_tallied record;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT url, url_hash, host, kind, optional, pattern, pattern_most, patience, lastmod,
            CASE WHEN reason IS NULL AND v_met >= p_most_met THEN 'over_limit' ELSE reason END AS reason
        FROM unnest(p_urls, p_hashes, p_hosts, p_kinds, p_optional, p_reasons, p_patterns, p_pattern_mosts, p_patiences,
            p_lastmods) AS given(url, url_hash, host, kind, optional, reason, pattern, pattern_most, patience, lastmod)
    ), unmet AS MATERIALIZED (
        SELECT given.*, row_number() OVER (PARTITION BY reason IS NULL ORDER BY url_hash) AS place FROM given
        WHERE NOT EXISTS (SELECT 1 FROM run_pages WHERE crawl_id = p_crawl AND run = p_run AND url_hash = given.url_hash)
    ), kept AS (
        INSERT INTO run_pages (crawl_id, run, url_hash, url, host, kind, state, depth, optional, pattern, pattern_most,
            patience, lastmod, found_on, outcome, reason, ended_at)
        SELECT p_crawl, p_run, url_hash, url, host, kind, CASE WHEN reason IS NULL THEN 'waiting' ELSE 'ended' END, p_depth,
            optional, pattern, pattern_most, patience, lastmod, p_found_on,
            CASE WHEN reason IS NOT NULL THEN 'skipped' END, reason, CASE WHEN reason IS NOT NULL THEN now() END
        FROM unmet WHERE reason IS NULL OR v_skipped + place <= p_most_skipped
        ORDER BY url_hash
        ON CONFLICT DO NOTHING RETURNING outcome
    ), tallied AS (
        SELECT 'met' AS what, count(*) AS count FROM kept WHERE outcome IS NULL
        UNION ALL SELECT 'skipped', count(*) FROM kept WHERE outcome IS NOT NULL
        UNION ALL SELECT 'skipped:' || reason, count(*) FROM unmet
            WHERE reason IS NOT NULL AND v_skipped + place > p_most_skipped GROUP BY reason
    )
    SELECT array_agg(what ORDER BY what) AS names, array_agg(count ORDER BY what) AS counts INTO v_tallied
    FROM tallied WHERE count > 0;
    -- by their keys, however little is known of the table: a join of both lists took seconds where it had no statistics yet
    UPDATE run_pages SET
        state = 'waiting', outcome = NULL, reason = NULL, ended_at = NULL, depth = p_depth, found_on = p_found_on
    WHERE crawl_id = p_crawl AND run = p_run AND url_hash = ANY(ARRAY(
        SELECT url_hash FROM run_pages
        WHERE crawl_id = p_crawl AND run = p_run AND url_hash = ANY(v_followed) AND (
            (outcome = 'skipped' AND reason IN ('too_deep', 'nofollow')) OR (state = 'waiting' AND depth > p_depth))
        ORDER BY url_hash FOR UPDATE SKIP LOCKED));
    UPDATE run_pages SET
        pattern = pattern_of_listed(url_hash), pattern_most = NULL,
        found_on = CASE WHEN state = 'ended' THEN p_found_on ELSE found_on END, depth = LEAST(depth, p_depth),
        state = 'waiting', outcome = NULL, reason = NULL, ended_at = NULL
    WHERE crawl_id = p_crawl AND run = p_run AND url_hash = ANY(ARRAY(
        SELECT url_hash FROM run_pages
        WHERE crawl_id = p_crawl AND run = p_run AND url_hash = ANY(v_listed) AND pattern <> pattern_of_listed(url_hash)
          AND (state = 'waiting' OR (outcome = 'skipped' AND reason = 'trap'))
        ORDER BY url_hash FOR UPDATE SKIP LOCKED));
    INSERT INTO run_tallies AS t (crawl_id, run, what, count)
    SELECT p_crawl, p_run, what, count FROM unnest(v_tallied.names, v_tallied.counts) AS told(what, count) ORDER BY what
    ON CONFLICT (crawl_id, run, what) DO UPDATE SET count = t.count + excluded.count;
    RETURN coalesce((SELECT sum(count) FROM unnest(v_tallied.names, v_tallied.counts) AS told(what, count)
                     WHERE what = 'met'), 0);
END $$;
