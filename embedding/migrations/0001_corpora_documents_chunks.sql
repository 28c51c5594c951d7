-- Owners' corpora, their documents, and the documents' chunks with vectors.
-- Every key and every join carries the owner, so that a table can be split by owner.

CREATE EXTENSION IF NOT EXISTS vector;

-- A model's dimensions are fixed once, by `python -m app.migrate`, which also makes the model's own HNSW index on
-- chunks (partial, on `embedding::halfvec(<dimensions>)`). README.md says why the column itself names no dimension.
CREATE TABLE IF NOT EXISTS models (
    id          smallint    GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL UNIQUE,
    dimensions  integer     NOT NULL CHECK (dimensions BETWEEN 1 AND 3072),
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- A row outlives its corpus: `deleted_at` is the tombstone that keeps out whatever was submitted before.
CREATE TABLE IF NOT EXISTS corpora (
    owner           text        NOT NULL,
    name            text        COLLATE "C" NOT NULL,
    live            boolean     NOT NULL DEFAULT false,
    document_count  bigint      NOT NULL DEFAULT 0,
    chunk_count     bigint      NOT NULL DEFAULT 0,
    token_count     bigint      NOT NULL DEFAULT 0,
    model_id        smallint    REFERENCES models (id),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    PRIMARY KEY (owner, name)
);

-- `indexed_at` is null until a document's first write is complete, and again once it is deleted: what is not null is
-- what lists and searches show. A deleted document keeps its row, with `deleted_at` for a tombstone.
CREATE TABLE IF NOT EXISTS documents (
    owner          text        NOT NULL,
    corpus         text        COLLATE "C" NOT NULL,
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    url            text        COLLATE "C" NOT NULL,
    as_of          timestamptz NOT NULL,
    submitted_at   timestamptz NOT NULL,
    model_id       smallint    NOT NULL REFERENCES models (id),
    title          text,
    final_url      text,
    canonical_url  text,
    content_type   text,
    language       text,
    author         text,
    published_at   text,
    content_hash   text,
    fetched_at     timestamptz,
    metadata       jsonb       NOT NULL DEFAULT '{}',
    chunk_count    integer     NOT NULL DEFAULT 0,
    token_count    bigint      NOT NULL DEFAULT 0,
    job_id         text,
    trace_id       text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    indexed_at     timestamptz,
    deleted_at     timestamptz,
    PRIMARY KEY (owner, corpus, id),
    UNIQUE (owner, corpus, url),
    FOREIGN KEY (owner, corpus) REFERENCES corpora (owner, name)
);

CREATE INDEX IF NOT EXISTS documents_metadata ON documents USING gin (metadata jsonb_path_ops);

-- No index holds chunk_index: a chunk that only moves can then be updated in place, without touching the vector index.
-- `search` carries the scope as a lexeme of its own, so that the text index narrows to one corpus by itself.
-- Both come before the vector index, which is slow to rebuild.
CREATE TABLE IF NOT EXISTS chunks (
    owner         text     NOT NULL,
    corpus        text     COLLATE "C" NOT NULL,
    document_id   uuid     NOT NULL,
    id            bigint   GENERATED ALWAYS AS IDENTITY,
    chunk_index   integer  NOT NULL,
    start_offset  integer  NOT NULL,
    end_offset    integer  NOT NULL,
    token_count   integer  NOT NULL,
    model_id      smallint NOT NULL REFERENCES models (id),
    text_hash     bytea    NOT NULL,
    text          text     NOT NULL,
    heading_path  text[]   NOT NULL,
    trace_id      text,
    search        tsvector NOT NULL GENERATED ALWAYS AS (
        to_tsvector('english', text) || array_to_tsvector(ARRAY['scope:' || owner || '/' || corpus])
    ) STORED,
    embedding     halfvec  STORAGE PLAIN NOT NULL,
    PRIMARY KEY (owner, corpus, document_id, id),
    FOREIGN KEY (owner, corpus, document_id) REFERENCES documents (owner, corpus, id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS chunks_text_hash ON chunks (owner, corpus, text_hash);
CREATE INDEX IF NOT EXISTS chunks_search ON chunks USING gin (search);
