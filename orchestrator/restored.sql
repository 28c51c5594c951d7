-- What restore.sh runs on a database that it put back: it wakes up in another time than the one it was dumped in.

-- The attempts that ran then were not lost by their pages: they don't count, and are handed out again at once.
UPDATE job_stages SET attempts = GREATEST(attempts - 1, 0) FROM leases
WHERE leases.phase = 'run' AND leases.owner = job_stages.owner AND leases.job_id = job_stages.job_id
  AND leases.stage = job_stages.stage;
UPDATE leases SET expires_at = now();

-- Nor did anything wait since: a stage that was put off has MAX_DEFERRED_SECONDS again.
UPDATE job_stages SET first_deferred_at = NULL WHERE first_deferred_at IS NOT NULL;
