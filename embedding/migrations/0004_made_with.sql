-- What a document's chunks were made with: the orchestrator's word for the settings that they were cut with, and what was put
-- before each for the model. An unchanged page is touched, and not made anew, only where these are what they would be now.
-- Null: an older version wrote it, or a caller who brought chunks.
ALTER TABLE documents
    ADD COLUMN IF NOT EXISTS chunking_hash text,
    ADD COLUMN IF NOT EXISTS passage_prefix text;
