-- Words as the service takes them apart (app/core/terms.py), in place of to_tsvector's.
-- A table of its own, narrow because its long arrays lie out of line: a search passes thousands of rows of it, and a new
-- title writes no vector anew. Without `fastupdate` what was just written is found as fast as the rest.

CREATE TABLE IF NOT EXISTS chunk_terms (
    owner        text     NOT NULL,
    corpus       text     COLLATE "C" NOT NULL,
    document_id  uuid     NOT NULL,
    id           bigint   NOT NULL,
    length       integer  NOT NULL,
    digest       bigint   NOT NULL,
    numbers      bigint[] STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (owner, corpus, document_id, id),
    FOREIGN KEY (owner, corpus, document_id, id) REFERENCES chunks (owner, corpus, document_id, id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS chunk_terms_numbers ON chunk_terms USING gin (numbers) WITH (fastupdate = off);

-- 0: its chunks have no row above yet, and are found by the old column. `python -m app.migrate` says who brings them here.
ALTER TABLE documents ADD COLUMN IF NOT EXISTS terms_version smallint NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS documents_terms_version ON documents (terms_version, owner, corpus);

-- which languages a query's words are stemmed in
ALTER TABLE corpora ADD COLUMN IF NOT EXISTS languages text[] NOT NULL DEFAULT '{}';

-- What is there stays; what is new has none.
ALTER TABLE chunks ALTER COLUMN search DROP EXPRESSION IF EXISTS;
ALTER TABLE chunks ALTER COLUMN search DROP NOT NULL;

-- By owner and corpus first, it was as good a way to a chunk as its key, to a planner without statistics: every row that a
-- freshly filled corpus found by its words was looked for among all of the corpus.
CREATE INDEX IF NOT EXISTS chunks_by_text_hash ON chunks (text_hash, owner, corpus);
DROP INDEX IF EXISTS chunks_text_hash;
