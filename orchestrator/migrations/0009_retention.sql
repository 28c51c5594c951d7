-- What is forgotten after a while: ended jobs and what hangs on them. Each call takes some rows that nobody has locked, in a
-- transaction of its own; no pass waits for it, since passes ask for unfinished jobs alone.

CREATE INDEX IF NOT EXISTS jobs_by_age ON jobs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS batches_by_age ON batches (submitted_at);

-- Forgets jobs that ended before a time; with them go their stages, by the foreign key. How many.
CREATE OR REPLACE FUNCTION forget_jobs(p_before timestamptz, p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    WITH old AS MATERIALIZED (
        SELECT owner, id FROM jobs WHERE ended_at < p_before ORDER BY ended_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM jobs USING old WHERE jobs.owner = old.owner AND jobs.id = old.id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

-- Forgets batches from before a time that have no job any more; begins after `p_after`, and answers where it came to and how
-- many it looked at, so that those which are kept are looked at once a round.
CREATE OR REPLACE FUNCTION forget_batches(
    p_before timestamptz, p_after timestamptz, p_limit integer, OUT looked integer, OUT reached timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    WITH old AS MATERIALIZED (
        SELECT owner, id, submitted_at FROM batches WHERE submitted_at < p_before AND submitted_at >= p_after
        ORDER BY submitted_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        DELETE FROM batches USING old WHERE batches.owner = old.owner AND batches.id = old.id
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.owner = old.owner AND jobs.batch_id = old.id)
    )
    SELECT count(*), max(submitted_at) INTO looked, reached FROM old;
END $$;

-- Forgets what webhooks were told before a time; and what is to be sent to one that there is no more. How many.
CREATE OR REPLACE FUNCTION forget_deliveries(p_before timestamptz, p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    WITH old AS MATERIALIZED (
        SELECT owner, id FROM webhook_deliveries WHERE created_at < p_before
        ORDER BY created_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM webhook_deliveries d USING old WHERE d.owner = old.owner AND d.id = old.id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

CREATE OR REPLACE FUNCTION forget_strays(p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    WITH RECURSIVE lanes AS (
        (SELECT owner, webhook_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY owner, webhook_id LIMIT 1)
        UNION ALL
        SELECT following.owner, following.webhook_id FROM lanes CROSS JOIN LATERAL (
            SELECT d.owner, d.webhook_id FROM webhook_deliveries d
            WHERE d.status = 'pending' AND (d.owner, d.webhook_id) > (lanes.owner, lanes.webhook_id)
            ORDER BY d.owner, d.webhook_id LIMIT 1) following
    ), stray AS MATERIALIZED (
        SELECT d.owner, d.id FROM lanes JOIN webhook_deliveries d
            ON d.owner = lanes.owner AND d.webhook_id = lanes.webhook_id AND d.status = 'pending'
        WHERE NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.owner = lanes.owner AND w.id = lanes.webhook_id)
        LIMIT p_limit FOR UPDATE OF d SKIP LOCKED
    )
    DELETE FROM webhook_deliveries d USING stray WHERE d.owner = stray.owner AND d.id = stray.id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;

CREATE OR REPLACE FUNCTION forget_keys(p_before timestamptz, p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    WITH old AS MATERIALIZED (
        SELECT owner, route, key FROM idempotency_keys WHERE created_at < p_before
        ORDER BY created_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM idempotency_keys k USING old WHERE k.owner = old.owner AND k.route = old.route AND k.key = old.key;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;
