-- Webhooks: where an owner wants to be told, and what is to be told there.

-- `sealed`, `previous_sealed`: the secrets, under a key that is not in the database. `not_before`: after a failure all that is for this
-- endpoint waits, so that one which hangs takes no turn of the others.
CREATE TABLE IF NOT EXISTS webhooks (
    owner           text        NOT NULL,
    id              uuid        NOT NULL,
    url             text        NOT NULL,
    host            text        NOT NULL,
    events          text[]      NOT NULL,
    sealed          bytea       NOT NULL,
    previous_sealed bytea,
    previous_until  timestamptz,
    failures        integer     NOT NULL DEFAULT 0,
    failing_since   timestamptz,
    not_before      timestamptz NOT NULL DEFAULT now(),
    paused_at       timestamptz,
    pause_reason    text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, id)
);

-- The outbox, and the log. pending: to be sent; sending: leased; held: its endpoint is paused; delivered, failed: ended,
-- and sent again only if somebody asks. `id` is what the receiver gets as `webhook-id`, however often it is sent.
CREATE TABLE IF NOT EXISTS webhook_deliveries (
    owner            text        NOT NULL,
    id               uuid        NOT NULL DEFAULT gen_random_uuid(),
    webhook_id       uuid        NOT NULL,
    type             text        NOT NULL,
    data             jsonb       NOT NULL,
    status           text        NOT NULL CHECK (status IN ('pending', 'sending', 'held', 'delivered', 'failed')),
    attempts         integer     NOT NULL DEFAULT 0,
    next_at          timestamptz NOT NULL DEFAULT now(),
    tried_since      timestamptz,
    last_attempt_at  timestamptz,
    lease            uuid,
    leased_until     timestamptz,
    response_status  integer,
    latency_seconds  double precision,
    response_excerpt text,
    error_code       text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz,
    PRIMARY KEY (owner, id)
);
CREATE INDEX IF NOT EXISTS webhook_deliveries_pending ON webhook_deliveries (owner, webhook_id, next_at)
    WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS webhook_deliveries_sending ON webhook_deliveries (leased_until) WHERE status = 'sending';
CREATE INDEX IF NOT EXISTS webhook_deliveries_log ON webhook_deliveries (owner, webhook_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS webhook_deliveries_by_age ON webhook_deliveries (created_at);

-- whether the end of a batch was written to the outbox
ALTER TABLE batches ADD COLUMN IF NOT EXISTS announced_at timestamptz;
-- others' columns, which the trigger reads
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS crawl_id uuid;
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS run integer;
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS kind text NOT NULL DEFAULT 'page';

CREATE OR REPLACE FUNCTION told_time(p_time timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- Writes an event for each endpoint of its owner that wants it, within the transaction that makes it.
CREATE OR REPLACE FUNCTION announce_event(p_owner text, p_type text, p_data jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO webhook_deliveries (owner, webhook_id, type, data, status)
    SELECT owner, id, p_type, p_data, CASE WHEN paused_at IS NULL THEN 'pending' ELSE 'held' END
    FROM webhooks WHERE owner = p_owner AND p_type = ANY (events)
$$;

CREATE OR REPLACE FUNCTION announce_batch(p_owner text, p_batch uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_batch record;
BEGIN
    -- Whoever ends a job of the batch comes by here, one after the other. A statement of its own: the next one sees what
    -- those before have committed, so that the last one finds that it is the last.
    SELECT corpus_name, submitted_at, announced_at INTO v_batch FROM batches
    WHERE owner = p_owner AND id = p_batch FOR NO KEY UPDATE;
    IF NOT FOUND OR v_batch.announced_at IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM 1 FROM jobs WHERE owner = p_owner AND batch_id = p_batch AND placement <> 'ended' LIMIT 1;
    IF FOUND THEN
        RETURN;
    END IF;
    UPDATE batches SET announced_at = now() WHERE owner = p_owner AND id = p_batch;
    PERFORM announce_event(p_owner, 'batch.ended', (
        SELECT jsonb_build_object(
            'batch_id', p_batch, 'corpus_name', v_batch.corpus_name, 'jobs', count(*),
            'counts', jsonb_build_object(
                'completed', count(*) FILTER (WHERE status = 'completed'),
                'failed', count(*) FILTER (WHERE status = 'failed'),
                'cancelled', count(*) FILTER (WHERE status = 'cancelled')),
            'submitted_at', told_time(v_batch.submitted_at), 'ended_at', told_time(max(ended_at)))
        FROM jobs WHERE owner = p_owner AND batch_id = p_batch));
END $$;

-- What ends a job tells of it, whichever statement that is. Rows are locked in the order jobs, batches, leases, …: this runs
-- at the end of the statement that ended the job. A job that was cancelled with its batch or run is told by their end, once.
CREATE OR REPLACE FUNCTION announce_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_wanted text[];
BEGIN
    IF NOT EXISTS (SELECT 1 FROM webhooks WHERE owner = NEW.owner) THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(DISTINCT event) INTO v_wanted FROM webhooks, unnest(events) AS event WHERE owner = NEW.owner;
    IF 'job.' || NEW.status = ANY (v_wanted) AND NOT (NEW.status = 'cancelled' AND (NEW.crawl_id IS NOT NULL OR EXISTS (
        SELECT 1 FROM batches WHERE owner = NEW.owner AND id = NEW.batch_id AND cancel_asked_at IS NOT NULL)))
    THEN
        PERFORM announce_event(NEW.owner, 'job.' || NEW.status, jsonb_build_object(
            'job_id', NEW.id, 'url', NEW.url, 'corpus_name', NEW.corpus_name, 'status', NEW.status,
            'batch_id', NEW.batch_id, 'crawl_id', NEW.crawl_id, 'run', NEW.run, 'retry_of', NEW.retry_of,
            'metadata', NEW.metadata,
            'counts', jsonb_build_object('bytes', NEW.bytes, 'chunks', NEW.chunks, 'tokens', NEW.tokens),
            'error', CASE WHEN NEW.status = 'failed' THEN jsonb_build_object(
                'code', NEW.error_code, 'message', NEW.error_message, 'failed_stage', NEW.failed_stage) END,
            'submitted_at', told_time(NEW.submitted_at), 'ended_at', told_time(NEW.ended_at)));
    END IF;
    IF NEW.batch_id IS NOT NULL AND 'batch.ended' = ANY (v_wanted) THEN
        PERFORM announce_batch(NEW.owner, NEW.batch_id);
    END IF;
    RETURN NULL;
END $$;

-- For each row, since that it ends is seen without calling anything: transition tables would cost each of the dozen updates
-- of a job.
CREATE OR REPLACE TRIGGER jobs_announce_end AFTER UPDATE ON jobs FOR EACH ROW
    WHEN (NEW.placement = 'ended' AND OLD.placement <> 'ended' AND NEW.kind NOT IN ('links', 'remove'))
    EXECUTE FUNCTION announce_end();

-- What a pass of the courier takes: of each endpoint what is due, at most so many at a time a host, oldest first, at most
-- so many in all. It goes from endpoint to endpoint by their index, so that the length of one's backlog costs nothing; one
-- that failed, or is paused, is passed by, but for tests of it (`-infinity`).
CREATE OR REPLACE FUNCTION claim_deliveries(p_a_host integer, p_limit integer, p_lease_seconds double precision)
RETURNS TABLE (
    owner text, id uuid, lease uuid, webhook_id uuid, url text, host text, type text, data jsonb, attempts integer,
    created_at timestamptz, sealed bytea, previous_sealed bytea
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('webhooks'));
    UPDATE webhook_deliveries SET status = 'pending', lease = NULL, leased_until = NULL, error_code = 'lost'
    WHERE status = 'sending' AND leased_until < now();
    RETURN QUERY
    WITH RECURSIVE lanes AS (
        (SELECT owner, webhook_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY owner, webhook_id LIMIT 1)
        UNION ALL
        SELECT following.owner, following.webhook_id FROM lanes CROSS JOIN LATERAL (
            SELECT d.owner, d.webhook_id FROM webhook_deliveries d
            WHERE d.status = 'pending' AND (d.owner, d.webhook_id) > (lanes.owner, lanes.webhook_id)
            ORDER BY d.owner, d.webhook_id LIMIT 1) following
    ), busy AS (
        SELECT w.host, count(*) AS sending FROM webhook_deliveries d
        JOIN webhooks w ON w.owner = d.owner AND w.id = d.webhook_id WHERE d.status = 'sending' GROUP BY w.host
    ), due AS (
        SELECT w.owner, w.host, w.url, w.sealed, heads.id, heads.next_at,
            CASE WHEN w.previous_until > now() THEN w.previous_sealed END AS previous_sealed,
            p_a_host - coalesce(busy.sending, 0) AS free,
            row_number() OVER (PARTITION BY w.host ORDER BY heads.next_at, heads.id) AS place
        FROM lanes JOIN webhooks w ON w.owner = lanes.owner AND w.id = lanes.webhook_id
        LEFT JOIN busy ON busy.host = w.host
        CROSS JOIN LATERAL (
            SELECT d.id, d.next_at FROM webhook_deliveries d
            WHERE d.status = 'pending' AND d.owner = w.owner AND d.webhook_id = w.id
              AND d.next_at <= CASE WHEN w.paused_at IS NULL AND w.not_before <= now() THEN now() ELSE '-infinity' END
            ORDER BY d.next_at LIMIT p_a_host) heads
    ), picked AS MATERIALIZED (
        SELECT * FROM due WHERE place <= free ORDER BY next_at LIMIT p_limit
    )
    UPDATE webhook_deliveries d SET
        status = 'sending', lease = gen_random_uuid(), leased_until = now() + make_interval(secs => p_lease_seconds),
        attempts = d.attempts + 1, tried_since = coalesce(d.tried_since, now()), last_attempt_at = now()
    FROM picked WHERE d.owner = picked.owner AND d.id = picked.id AND d.status = 'pending'
    RETURNING d.owner, d.id, d.lease, d.webhook_id, picked.url, picked.host, d.type, d.data, d.attempts, d.created_at,
        picked.sealed, picked.previous_sealed;
END $$;

-- How an attempt went. `p_error` is null where it arrived. Answers whether the endpoint was paused by this.
CREATE OR REPLACE FUNCTION settle_delivery(
    p_owner text, p_id uuid, p_lease uuid, p_status integer, p_latency double precision, p_excerpt text, p_error text,
    p_retry_seconds double precision, p_jitter double precision, p_day_seconds double precision, p_gone boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_delivery record;
    v_paused boolean;
BEGIN
    UPDATE webhook_deliveries SET
        status = CASE WHEN p_error IS NULL THEN 'delivered'
                      WHEN p_gone OR type = 'webhook.test' OR tried_since < now() - make_interval(secs => p_day_seconds)
                      THEN 'failed' ELSE 'pending' END,
        next_at = now() + make_interval(secs => p_retry_seconds), lease = NULL, leased_until = NULL,
        response_status = p_status, latency_seconds = p_latency, response_excerpt = p_excerpt, error_code = p_error
    WHERE owner = p_owner AND id = p_id AND lease = p_lease AND status = 'sending'
    RETURNING webhook_id, type, status INTO v_delivery;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF v_delivery.status <> 'pending' THEN
        UPDATE webhook_deliveries SET ended_at = now() WHERE owner = p_owner AND id = p_id;
    END IF;
    IF p_error IS NULL THEN
        UPDATE webhooks SET failures = 0, failing_since = NULL, not_before = now()
        WHERE owner = p_owner AND id = v_delivery.webhook_id AND failures > 0;
        RETURN false;
    END IF;
    IF v_delivery.type = 'webhook.test' THEN
        RETURN false;
    END IF;
    UPDATE webhooks SET failures = failures + 1, failing_since = coalesce(failing_since, now()),
        not_before = now() + make_interval(secs => LEAST(5 * 2 ^ LEAST(failures, 10), 900) * p_jitter)
    WHERE owner = p_owner AND id = v_delivery.webhook_id;
    UPDATE webhooks SET paused_at = now(), pause_reason = p_error
    WHERE owner = p_owner AND id = v_delivery.webhook_id AND paused_at IS NULL
      AND (p_gone OR failing_since < now() - make_interval(secs => p_day_seconds))
    RETURNING true INTO v_paused;
    RETURN coalesce(v_paused, false);
END $$;
