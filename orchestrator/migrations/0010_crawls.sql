-- Crawls: what is to be kept of a site in a corpus, each time that it is looked at, and what became of every page.

ALTER TABLE jobs
    ADD COLUMN IF NOT EXISTS crawl_id uuid,
    ADD COLUMN IF NOT EXISTS run integer,
    ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'page',
    ADD COLUMN IF NOT EXISTS outcome text,
    ADD COLUMN IF NOT EXISTS saved_bytes bigint,
    ADD COLUMN IF NOT EXISTS saved_chunks integer;
CREATE INDEX IF NOT EXISTS jobs_of_crawl ON jobs (owner, crawl_id, submitted_at DESC, id DESC) WHERE crawl_id IS NOT NULL;

-- `definition` is what was asked for, without `urls`. `deleting`: it is gone from lists, and what is left of it goes bit by bit.
CREATE TABLE IF NOT EXISTS crawls (
    owner         text        NOT NULL,
    id            uuid        NOT NULL,
    corpus_name   text        NOT NULL,
    metadata      jsonb       NOT NULL DEFAULT '{}',
    chunking      jsonb       NOT NULL DEFAULT '{}',
    definition    jsonb       NOT NULL,
    urls          text[]      NOT NULL DEFAULT '{}',
    schedule      jsonb,
    next_run_at   timestamptz,
    paused        boolean     NOT NULL DEFAULT false,
    missed_runs   integer     NOT NULL DEFAULT 0,
    missed_at     timestamptz,
    missed_reason text,
    last_run      integer     NOT NULL DEFAULT 0,
    deleting      text        CHECK (deleting IN ('delete', 'keep')),
    submitted_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, id)
);
CREATE UNIQUE INDEX IF NOT EXISTS crawls_by_id ON crawls (id);
CREATE INDEX IF NOT EXISTS crawls_by_owner ON crawls (owner, submitted_at DESC, id DESC) WHERE deleting IS NULL;
CREATE INDEX IF NOT EXISTS crawls_due ON crawls (next_run_at) WHERE next_run_at IS NOT NULL AND NOT paused AND deleting IS NULL;
CREATE INDEX IF NOT EXISTS crawls_deleting ON crawls (id) WHERE deleting IS NOT NULL;

-- `definition` is the crawl's at the run's begin. `moved`: how many passes found something to do, by which its events are numbered. `held_documents`: how many would be removed, and are not unless confirmed.
CREATE TABLE IF NOT EXISTS runs (
    owner           text        NOT NULL,
    crawl_id        uuid        NOT NULL,
    run             integer     NOT NULL,
    state           text        NOT NULL DEFAULT 'running' CHECK (state IN
                        ('running', 'completed', 'completed_with_errors', 'failed', 'cancelled')),
    trigger         text        NOT NULL,
    force           boolean     NOT NULL DEFAULT false,
    definition      jsonb       NOT NULL,
    removing        boolean     NOT NULL DEFAULT false,
    moved           integer     NOT NULL DEFAULT 0,
    stopped         text,
    held            text,
    held_documents  integer     NOT NULL DEFAULT 0,
    confirmed_at    timestamptz,
    cancel_asked_at timestamptz,
    traceparent     text,
    started_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    PRIMARY KEY (crawl_id, run),
    CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX IF NOT EXISTS runs_open ON runs (owner) WHERE state = 'running' OR removing;
CREATE UNIQUE INDEX IF NOT EXISTS runs_one_at_once ON runs (crawl_id) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS runs_held ON runs (crawl_id) WHERE held IS NOT NULL;

-- The frontier, and what became of it: a URL is in a run once. `nth`: the how-manieth page of the run it was that was asked
-- for. `found_on`: what led to it first. `elsewhere`: the page that is the document instead. `kind`: a page, or links to read.
CREATE TABLE IF NOT EXISTS run_pages (
    crawl_id     uuid        NOT NULL,
    run          integer     NOT NULL,
    url_hash     bytea       NOT NULL,
    n            bigint      GENERATED ALWAYS AS IDENTITY,
    url          text        NOT NULL,
    host         text        NOT NULL,
    kind         text        NOT NULL DEFAULT 'page' CHECK (kind IN ('page', 'links')),
    state        text        NOT NULL CHECK (state IN ('waiting', 'open', 'ended')),
    depth        integer     NOT NULL,
    optional     boolean     NOT NULL DEFAULT false,
    pattern      bigint      NOT NULL,
    pattern_most integer,
    patience     integer     NOT NULL,
    lastmod      timestamptz,
    found_on     bytea,
    nth          integer,
    job_id       uuid,
    outcome      text,
    reason       text,
    detail       text,
    elsewhere    bytea,
    content_hash text,
    not_modified boolean     NOT NULL DEFAULT false,
    bytes        bigint,
    saved_bytes  bigint,
    saved_chunks integer,
    ended_at     timestamptz,
    PRIMARY KEY (crawl_id, url_hash, run),
    CHECK ((state = 'ended') = (outcome IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS run_pages_frontier ON run_pages (crawl_id, run, depth, url_hash) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS run_pages_open ON run_pages (crawl_id, run) WHERE state = 'open';
CREATE INDEX IF NOT EXISTS run_pages_links ON run_pages (crawl_id, run) WHERE kind = 'links';
CREATE INDEX IF NOT EXISTS run_pages_in_order ON run_pages (crawl_id, run, n);
CREATE INDEX IF NOT EXISTS run_pages_by_outcome ON run_pages (crawl_id, run, outcome, reason, n) WHERE outcome IS NOT NULL;
-- of a URL the beginning: a whole one may be too long for an index
CREATE INDEX IF NOT EXISTS run_pages_by_url ON run_pages (crawl_id, run, (left(url, 256)) COLLATE "C");
CREATE INDEX IF NOT EXISTS run_pages_asked ON run_pages (crawl_id, run, nth) WHERE nth IS NOT NULL;
CREATE INDEX IF NOT EXISTS run_pages_by_pattern ON run_pages (crawl_id, run, pattern, nth) WHERE nth IS NOT NULL;

-- Which page of a run is the document of a text.
CREATE TABLE IF NOT EXISTS run_contents (
    crawl_id     uuid    NOT NULL,
    run          integer NOT NULL,
    content_hash text    NOT NULL,
    url_hash     bytea   NOT NULL,
    PRIMARY KEY (crawl_id, run, content_hash)
);

-- What bounds a run (`met`, `skipped`: rows that there are), and what was met beyond the rows that are kept: `skipped:<reason>`.
CREATE TABLE IF NOT EXISTS run_tallies (
    crawl_id uuid    NOT NULL,
    run      integer NOT NULL,
    what     text    NOT NULL,
    count    bigint  NOT NULL,
    PRIMARY KEY (crawl_id, run, what)
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS run_warnings (
    crawl_id uuid    NOT NULL,
    run      integer NOT NULL,
    code     text    NOT NULL,
    url_hash bytea   NOT NULL,
    url      text,
    message  text    NOT NULL,
    PRIMARY KEY (crawl_id, run, code, url_hash)
);

-- The pages of a crawl that are documents of its corpus. `missed`: in how many runs in a row they were gone.
CREATE TABLE IF NOT EXISTS crawl_documents (
    crawl_id     uuid        NOT NULL,
    url_hash     bytea       NOT NULL,
    url          text        NOT NULL,
    content_hash text,
    last_run     integer     NOT NULL,
    fetched_at   timestamptz NOT NULL DEFAULT now(),
    missed       integer     NOT NULL DEFAULT 0,
    gone_reason  text,
    PRIMARY KEY (crawl_id, url_hash)
);
CREATE INDEX IF NOT EXISTS crawl_documents_by_content ON crawl_documents (crawl_id, content_hash);
CREATE INDEX IF NOT EXISTS crawl_documents_by_url ON crawl_documents (url_hash);
CREATE INDEX IF NOT EXISTS crawl_documents_gone ON crawl_documents (crawl_id) WHERE missed > 0;

-- Where the links of a page led, one hash after the other: a page that is as it was is not sent, and its links are met all
-- the same. `unfollowed`: those that the page asks not to follow.
CREATE TABLE IF NOT EXISTS crawl_links (
    crawl_id   uuid    NOT NULL,
    url_hash   bytea   NOT NULL,
    run        integer NOT NULL,
    links      bytea   NOT NULL,
    unfollowed bytea   NOT NULL DEFAULT '',
    PRIMARY KEY (crawl_id, url_hash)
);

-- Takes URLs into a run: each once, however often it is met. One that was left out for how it was met (too deep, by a link
-- that is not to be followed) is taken in when it is met otherwise. Rows of pages are locked last of all, after lanes, and
-- several in the order of their hashes.
CREATE OR REPLACE FUNCTION meet_pages(
    p_crawl uuid, p_run integer, p_found_on bytea, p_depth integer, p_most_met bigint, p_most_skipped bigint,
    p_urls text[], p_hashes bytea[], p_hosts text[], p_kinds text[], p_optional boolean[], p_reasons text[],
    p_patterns bigint[], p_pattern_mosts integer[], p_patiences integer[], p_lastmods timestamptz[]
) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_met bigint := coalesce((SELECT count FROM run_tallies WHERE crawl_id = p_crawl AND run = p_run AND what = 'met'), 0);
    v_skipped bigint := coalesce(
        (SELECT count FROM run_tallies WHERE crawl_id = p_crawl AND run = p_run AND what = 'skipped'), 0);
    v_followed bytea[] := ARRAY(
        SELECT url_hash FROM unnest(p_hashes, p_reasons) AS given(url_hash, reason) WHERE reason IS NULL);
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
    INSERT INTO run_tallies AS t (crawl_id, run, what, count)
    SELECT p_crawl, p_run, what, count FROM unnest(v_tallied.names, v_tallied.counts) AS told(what, count) ORDER BY what
    ON CONFLICT (crawl_id, run, what) DO UPDATE SET count = t.count + excluded.count;
    RETURN coalesce((SELECT sum(count) FROM unnest(v_tallied.names, v_tallied.counts) AS told(what, count)
                     WHERE what = 'met'), 0);
END $$;

-- Leaves out what is not asked for any more, some at a time: as rows, as long as these are few, and beyond that as counts.
-- How many.
CREATE OR REPLACE FUNCTION leave_out(
    p_crawl uuid, p_run integer, p_reason text, p_most_skipped bigint, p_limit integer
) RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_room bigint := p_most_skipped - coalesce(
        (SELECT count FROM run_tallies WHERE crawl_id = p_crawl AND run = p_run AND what = 'skipped'), 0);
    v_kept integer;
    v_dropped integer := 0;
BEGIN
    UPDATE run_pages SET state = 'ended', outcome = 'skipped', reason = p_reason, ended_at = now()
    FROM (SELECT url_hash FROM run_pages WHERE crawl_id = p_crawl AND run = p_run AND state = 'waiting'
          ORDER BY depth, url_hash LIMIT GREATEST(LEAST(p_limit, v_room), 0) FOR UPDATE) picked
    WHERE crawl_id = p_crawl AND run = p_run AND run_pages.url_hash = picked.url_hash;
    GET DIAGNOSTICS v_kept = ROW_COUNT;
    IF v_kept < p_limit THEN
        DELETE FROM run_pages USING (
            SELECT url_hash FROM run_pages WHERE crawl_id = p_crawl AND run = p_run AND state = 'waiting'
            ORDER BY depth, url_hash LIMIT p_limit - v_kept FOR UPDATE) picked
        WHERE crawl_id = p_crawl AND run = p_run AND run_pages.url_hash = picked.url_hash;
        GET DIAGNOSTICS v_dropped = ROW_COUNT;
    END IF;
    INSERT INTO run_tallies AS t (crawl_id, run, what, count)
    SELECT p_crawl, p_run, what, count FROM (VALUES ('skipped', v_kept), ('skipped:' || p_reason, v_dropped)) told(what, count)
    WHERE count > 0 ORDER BY what
    ON CONFLICT (crawl_id, run, what) DO UPDATE SET count = t.count + excluded.count;
    RETURN v_kept + v_dropped;
END $$;

-- Cancels the jobs of a run that nobody is moving just now: they are as many as a run has open at most. How many.
CREATE OR REPLACE FUNCTION cancel_run_jobs(p_owner text, p_crawl uuid, p_run integer, p_first_stage text) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_jobs uuid[];
BEGIN
    SELECT array_agg(id) INTO v_jobs FROM (
        SELECT jobs.id FROM jobs
        WHERE owner = p_owner AND placement <> 'ended' AND NOT (committing AND attempt_open) AND id = ANY(ARRAY(
            SELECT job_id FROM run_pages WHERE crawl_id = p_crawl AND run = p_run AND state = 'open'))
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    ) picked;
    IF v_jobs IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM cancel_locked(p_owner, p_first_stage, v_jobs);
    RETURN cardinality(v_jobs);
END $$;

-- A page's result (`take_success` is that of 0011): its job moves on, or is completed where the page is not to be indexed, and its links are in the frontier:
-- all of it, or nothing. No row if the attempt is not the job's any more.
CREATE OR REPLACE FUNCTION take_page(
    p_job uuid, p_stage text, p_attempt uuid, p_by_host boolean, p_host_next_at timestamptz,
    p_next_stage text, p_next_status text, p_next_by_host boolean, p_content_ref text, p_bytes bigint, p_extraction jsonb,
    p_crawl uuid, p_run integer, p_url_hash bytea, p_index boolean, p_reason text, p_detail text,
    p_elsewhere bytea, p_elsewhere_url text, p_content_hash text, p_not_modified boolean,
    p_document jsonb, p_look jsonb, p_last_stage text, p_last_status text
) RETURNS TABLE (
    attempts integer, run_seconds double precision, ended_seconds double precision, next_stage text, saved_bytes bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_reason text := p_reason;
    v_detail text := p_detail;
    v_elsewhere bytea;
    v_next bytea := p_elsewhere;
    v_hash text := p_content_hash;
    v_first bytea;
    v_index boolean;
    v_done record;
BEGIN
    PERFORM 1 FROM jobs
    WHERE id = p_job AND stage = p_stage AND attempt_id = p_attempt AND attempt_open AND placement <> 'ended'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_not_modified THEN
        SELECT content_hash INTO v_hash FROM crawl_documents WHERE crawl_id = p_crawl AND url_hash = p_url_hash;
    END IF;
    IF v_reason IS NULL AND p_elsewhere IS NOT NULL THEN
        -- one at a time: of two pages that name each other, each would leave it to the other
        PERFORM pg_advisory_xact_lock(hashtext('elsewhere'), hashtext(p_crawl::text));
        FOR v_step IN 1..20 LOOP
            EXIT WHEN v_next IS NULL OR v_next = p_url_hash;
            SELECT elsewhere INTO v_next FROM run_pages WHERE crawl_id = p_crawl AND run = p_run AND url_hash = v_next;
        END LOOP;
        IF v_next IS DISTINCT FROM p_url_hash THEN
            v_reason := 'canonical_elsewhere';
            v_detail := p_elsewhere_url;
            v_elsewhere := p_elsewhere;
        END IF;
    END IF;
    IF v_reason IS NULL AND v_hash IS NOT NULL THEN
        -- what is the document of a text stays it, whichever page of that text comes first this time
        SELECT known.url_hash INTO v_first FROM crawl_documents known
        LEFT JOIN run_pages met ON met.crawl_id = p_crawl AND met.run = p_run AND met.url_hash = known.url_hash
        WHERE known.crawl_id = p_crawl AND known.content_hash = v_hash AND known.missed = 0
          AND (met.outcome IS NULL OR met.outcome IN ('new', 'changed', 'unchanged')) AND met.elsewhere IS NULL
          AND coalesce(met.content_hash, v_hash) = v_hash
        ORDER BY known.url_hash = p_url_hash DESC, known.url_hash LIMIT 1;
        INSERT INTO run_contents (crawl_id, run, content_hash, url_hash)
        VALUES (p_crawl, p_run, v_hash, coalesce(v_first, p_url_hash)) ON CONFLICT DO NOTHING;
        SELECT url_hash INTO v_first FROM run_contents WHERE crawl_id = p_crawl AND run = p_run AND content_hash = v_hash;
        IF v_first <> p_url_hash THEN
            v_reason := 'duplicate_content';
            v_elsewhere := v_first;
            SELECT url INTO v_detail FROM run_pages WHERE crawl_id = p_crawl AND url_hash = v_first ORDER BY run DESC LIMIT 1;
        END IF;
    END IF;
    -- what is not indexed under this URL is not known as if it were
    v_index := p_index AND v_reason IS NULL;
    SELECT * INTO v_done FROM take_success(
        p_job, p_stage, p_attempt, true, p_by_host, false, p_host_next_at,
        CASE WHEN v_index THEN p_next_stage END, CASE WHEN v_index THEN p_next_status END, v_index AND p_next_by_host,
        p_content_ref, p_bytes, p_extraction, NULL, NULL, p_document, NULL,
        p_look, CASE WHEN v_index THEN p_last_stage END, CASE WHEN v_index THEN p_last_status END, NULL, NULL, NOT v_index);
    UPDATE run_pages SET
        reason = v_reason, detail = v_detail, elsewhere = v_elsewhere, content_hash = v_hash, not_modified = p_not_modified,
        bytes = p_bytes
    WHERE crawl_id = p_crawl AND run = p_run AND url_hash = p_url_hash AND state = 'open' AND job_id = p_job;
    RETURN QUERY SELECT v_done.attempts, v_done.run_seconds, v_done.ended_seconds, v_done.next_stage, v_done.saved_bytes;
END $$;
