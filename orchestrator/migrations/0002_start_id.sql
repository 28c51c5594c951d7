-- Which delivery of a task said `started`: said again, because the answer was lost, it is the same start and counts once.

ALTER TABLE leases ADD COLUMN IF NOT EXISTS start_id text;
