-- Whether a browser builds a job's page: never | auto | always, as the contract has it.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS render text NOT NULL DEFAULT 'never';
