-- Vectors in a table of their own, a row for each model that made one of a chunk: a corpus can have another model's vectors
-- made beside those that answer, and change over by one column of its row.
-- `model_id` refers to no row by a constraint, which would be looked up for each vector written.

CREATE TABLE IF NOT EXISTS vectors (
    owner        text     NOT NULL,
    corpus       text     COLLATE "C" NOT NULL,
    document_id  uuid     NOT NULL,
    id           bigint   NOT NULL,
    model_id     smallint NOT NULL,
    embedding    halfvec  STORAGE PLAIN NOT NULL
);

-- Part of one owner's vectors that has an HNSW index, `vectors_segment_<id>`: those with `after_id < id <= up_to_id`. An owner's
-- segments follow each other from 0 on, and what comes after the last one is its tail, which is compared row by row. Ids are handed
-- out before a row is written, so a row may come late: if a segment has its id, its index takes it.
CREATE TABLE IF NOT EXISTS vector_segments (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id  smallint    NOT NULL REFERENCES models (id),
    owner     text        NOT NULL,
    after_id  bigint      NOT NULL,
    up_to_id  bigint      NOT NULL,
    built     bigint      NOT NULL,
    state     text        NOT NULL CHECK (state IN ('building', 'ready', 'retired')),
    made_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS vector_segments_owner ON vector_segments (owner, model_id);

-- The vectors move before there is an index on where they go. Models' own indexes on chunks go with the column.
DO $$
BEGIN
    IF EXISTS (SELECT FROM information_schema.columns
               WHERE table_schema = current_schema() AND table_name = 'chunks' AND column_name = 'embedding') THEN
        INSERT INTO vectors SELECT owner, corpus, document_id, id, model_id, embedding FROM chunks;
        ALTER TABLE chunks DROP COLUMN embedding, DROP COLUMN model_id;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'vectors_pkey') THEN
        ALTER TABLE vectors
            ADD CONSTRAINT vectors_pkey PRIMARY KEY (owner, corpus, document_id, id, model_id),
            ADD CONSTRAINT vectors_chunk FOREIGN KEY (owner, corpus, document_id, id)
                REFERENCES chunks (owner, corpus, document_id, id) ON DELETE CASCADE;
    END IF;
END
$$;
CREATE INDEX IF NOT EXISTS vectors_by_id ON vectors (owner, model_id, id);
