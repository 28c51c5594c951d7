-- As in 0008, and what was under way to an endpoint that was paused meanwhile is held like the rest: it was due, which it is not.
CREATE OR REPLACE FUNCTION settle_delivery(
    p_owner text, p_id uuid, p_lease uuid, p_status integer, p_latency double precision, p_excerpt text, p_error text,
    p_retry_seconds double precision, p_jitter double precision, p_day_seconds double precision, p_gone boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_delivery record;
    v_paused_at timestamptz;
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
    WHERE owner = p_owner AND id = v_delivery.webhook_id RETURNING paused_at INTO v_paused_at;
    IF v_paused_at IS NOT NULL AND v_delivery.status = 'pending' THEN
        UPDATE webhook_deliveries SET status = 'held' WHERE owner = p_owner AND id = p_id;
    END IF;
    UPDATE webhooks SET paused_at = now(), pause_reason = p_error
    WHERE owner = p_owner AND id = v_delivery.webhook_id AND paused_at IS NULL
      AND (p_gone OR failing_since < now() - make_interval(secs => p_day_seconds))
    RETURNING true INTO v_paused;
    RETURN coalesce(v_paused, false);
END $$;
