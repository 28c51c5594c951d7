-- What was uploaded, of a job of that kind: under which reference its bytes are kept, and what it was said to be.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS upload jsonb;
