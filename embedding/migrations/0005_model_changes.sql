-- Changes of corpora to another model that the operator asked for by a route. Whichever API process has the lock carries out the
-- open one; ended with its process, it goes on in another.
CREATE TABLE IF NOT EXISTS model_changes (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model       text        NOT NULL,
    owner       text,
    corpus      text        COLLATE "C",
    min_recall  real        NOT NULL,
    switch      boolean     NOT NULL,
    forget      boolean     NOT NULL,
    state       text        NOT NULL DEFAULT 'waiting'
                            CHECK (state IN ('waiting', 'running', 'completed', 'incomplete', 'failed', 'cancelled')),
    said        text[]      NOT NULL DEFAULT '{}',
    asked_at    timestamptz NOT NULL DEFAULT now(),
    begun_at    timestamptz,
    ended_at    timestamptz
);
-- one at a time
CREATE UNIQUE INDEX IF NOT EXISTS model_changes_open ON model_changes ((true)) WHERE state IN ('waiting', 'running');

-- Whether a change of model brought the corpus to the one that its row names: until the vectors of the one before are deleted, no
-- worker that knows only that one writes the corpus back to it.
ALTER TABLE corpora ADD COLUMN IF NOT EXISTS switched boolean NOT NULL DEFAULT false;

-- The header of the table that a chunk goes on with, as chunking says it beside the chunk's text.
ALTER TABLE chunks ADD COLUMN IF NOT EXISTS context text;
