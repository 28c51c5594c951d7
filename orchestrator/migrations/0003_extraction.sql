-- How a page's text was made, and what is to be known of it: as the scraper told, for who asks for the job.

ALTER TABLE jobs ADD COLUMN IF NOT EXISTS extraction jsonb;
