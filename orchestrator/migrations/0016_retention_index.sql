-- The index that retention looks for old jobs by serves nothing else. As a plain index on `ended_at` it is smaller than
-- `jobs_by_end` (owner, ended_at), so that where one owner has most of the jobs, or where a plan is made for any owner, it was
-- taken for one owner's ended jobs: all owners' were read, and thrown away. By this expression no owner's list asks.

CREATE INDEX IF NOT EXISTS jobs_to_forget ON jobs ((ended_at AT TIME ZONE 'UTC')) WHERE ended_at IS NOT NULL;
DROP INDEX IF EXISTS jobs_by_age;

-- As in 0009, by that index, and by rows' places: joined by their keys, a plan for any limit read all jobs each time. A row
-- that is locked does not move. Until its processes are restarted the version before this one calls it too.
CREATE OR REPLACE FUNCTION forget_jobs(p_before timestamptz, p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_count integer;
BEGIN
    DELETE FROM jobs WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM jobs WHERE ended_at IS NOT NULL AND ended_at AT TIME ZONE 'UTC' < p_before AT TIME ZONE 'UTC'
        ORDER BY ended_at AT TIME ZONE 'UTC' LIMIT p_limit FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;
