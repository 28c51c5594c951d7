-- A run's rows are found by their keys from the first one on. Plans are kept until somebody analyses the table, and of a table of
-- which nothing is known all indexes look alike: a sitemap of 50,000 pages, the first one of all, was compared URL by URL with
-- what it had brought so far, and read for minutes.

-- What is known of a table stays known when it is empty again: so each has had some rows once. Where somebody crawled already
-- there is nothing to do.
DO $$
DECLARE
    v_crawl uuid := gen_random_uuid();
BEGIN
    IF EXISTS (SELECT 1 FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'run_pages') THEN
        RETURN;
    END IF;
    INSERT INTO run_pages (crawl_id, run, url_hash, url, host, state, depth, pattern, patience, nth, outcome, content_hash)
    SELECT v_crawl, 1, substr(sha256(n::text::bytea), 1, 16), 'http://known.test/' || n, 'http://known.test', 'ended',
        n % 5, n % 50, 50, n, 'new', md5(n::text)
    FROM generate_series(1, 2000) n;
    INSERT INTO run_contents (crawl_id, run, content_hash, url_hash)
    SELECT crawl_id, run, content_hash, url_hash FROM run_pages WHERE crawl_id = v_crawl;
    INSERT INTO crawl_documents (crawl_id, url_hash, url, content_hash, last_run)
    SELECT crawl_id, url_hash, url, content_hash, 1 FROM run_pages WHERE crawl_id = v_crawl;
    INSERT INTO crawl_links (crawl_id, url_hash, run, links)
    SELECT crawl_id, url_hash, 1, url_hash FROM run_pages WHERE crawl_id = v_crawl;
    ANALYZE run_pages, run_contents, crawl_documents, crawl_links;
    DELETE FROM run_pages WHERE crawl_id = v_crawl;
    DELETE FROM run_contents WHERE crawl_id = v_crawl;
    DELETE FROM crawl_documents WHERE crawl_id = v_crawl;
    DELETE FROM crawl_links WHERE crawl_id = v_crawl;
END $$;

-- Of a crawl that is new, what is known of a table says that it has no rows; so plans are those for any crawl. And one that was
-- made when there was little must not read a whole table.
DO $$
DECLARE
    v_function regprocedure;
    v_method text;
BEGIN
    FOR v_function IN SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
          AND proname IN ('meet_pages', 'leave_out', 'take_page', 'cancel_run_jobs', 'insert_touches')
    LOOP
        FOREACH v_method IN ARRAY ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin'] LOOP
            EXECUTE format('ALTER FUNCTION %s SET %I = off', v_function, v_method);
        END LOOP;
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', v_function);
    END LOOP;
END $$;
