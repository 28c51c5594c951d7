-- From which run on what is remembered of where a crawl's pages lead is of a scope as wide as it is now. What was noted before
-- lacks what did not belong to the crawl then, so that the runs from here on read such pages once more.
ALTER TABLE crawls ADD COLUMN IF NOT EXISTS links_from integer NOT NULL DEFAULT 0;
