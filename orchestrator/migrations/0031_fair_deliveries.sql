-- How many attempts there were before somebody asked for a delivery again: how long the next one waits goes by those since.
ALTER TABLE webhook_deliveries ADD COLUMN IF NOT EXISTS attempts_before integer NOT NULL DEFAULT 0;

-- As in 0008, and an owner has no more than a share of what is sent at once: turns go round by owner, at each host and in all,
-- and what an owner has under way counts among its turns. Nobody has more under way than is left free, so that whoever comes
-- next finds a place. Tests come first of what is their owner's, and wait for `not_before` like the rest. `attempts` are those
-- since somebody asked for it again.
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
    ), sending AS MATERIALIZED (
        SELECT w.owner, w.host, count(*) AS deliveries FROM webhook_deliveries d
        JOIN webhooks w ON w.owner = d.owner AND w.id = d.webhook_id WHERE d.status = 'sending' GROUP BY w.owner, w.host
    ), busy_hosts AS (
        SELECT host, sum(deliveries) AS deliveries FROM sending GROUP BY host
    ), busy_owners AS (
        SELECT owner, sum(deliveries) AS deliveries FROM sending GROUP BY owner
    ), due AS (
        SELECT w.owner, w.host, w.url, w.sealed, heads.id, heads.next_at,
            CASE WHEN w.previous_until > now() THEN w.previous_sealed END AS previous_sealed,
            coalesce(sending.deliveries, 0)
                + row_number() OVER (PARTITION BY w.owner, w.host ORDER BY heads.next_at, heads.id) AS turn
        FROM lanes JOIN webhooks w ON w.owner = lanes.owner AND w.id = lanes.webhook_id AND w.not_before <= now()
        LEFT JOIN sending ON sending.owner = w.owner AND sending.host = w.host
        CROSS JOIN LATERAL (
            SELECT d.id, d.next_at FROM webhook_deliveries d
            WHERE d.status = 'pending' AND d.owner = w.owner AND d.webhook_id = w.id
              AND d.next_at <= CASE WHEN w.paused_at IS NULL THEN now() ELSE '-infinity' END
            ORDER BY d.next_at LIMIT p_a_host) heads
    ), by_host AS (
        SELECT due.*, p_a_host - coalesce(busy_hosts.deliveries, 0) AS free,
            row_number() OVER (PARTITION BY host ORDER BY due.turn, due.next_at, due.id) AS place
        FROM due LEFT JOIN busy_hosts USING (host)
    ), by_owner AS (
        SELECT by_host.owner, by_host.host, url, sealed, previous_sealed, by_host.id, next_at,
            coalesce(busy_owners.deliveries, 0)
                + row_number() OVER (PARTITION BY owner ORDER BY by_host.next_at, by_host.id) AS turn
        FROM by_host LEFT JOIN busy_owners USING (owner) WHERE place <= free
    ), taken AS (
        SELECT *, row_number() OVER (ORDER BY turn, next_at, id) AS place FROM by_owner
    ), picked AS MATERIALIZED (
        SELECT * FROM taken WHERE turn + place <= p_limit + 1
    ), claimed AS (
        UPDATE webhook_deliveries d SET
            status = 'sending', lease = gen_random_uuid(), leased_until = now() + make_interval(secs => p_lease_seconds),
            attempts = d.attempts + 1, tried_since = coalesce(d.tried_since, now()), last_attempt_at = now()
        FROM picked WHERE d.owner = picked.owner AND d.id = picked.id AND d.status = 'pending'
        RETURNING d.owner, d.id, d.lease, d.webhook_id, picked.url, picked.host, d.type, d.data,
            d.attempts - d.attempts_before AS attempts, d.created_at, picked.sealed, picked.previous_sealed, d.next_at
    )
    SELECT owner, id, lease, webhook_id, url, host, type, data, attempts, created_at, sealed, previous_sealed
    FROM claimed ORDER BY next_at, id;
END $$;
