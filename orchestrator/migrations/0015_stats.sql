-- How one owner's unfinished jobs stand: without it they would be looked for among everybody's. A job enters it once and
-- leaves it once.
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (owner) WHERE ended_at IS NULL;
