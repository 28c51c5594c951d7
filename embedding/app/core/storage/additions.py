"""Writing a document that the corpus does not hold yet: everything in one statement, and so in one round trip.

Nothing is there to differ from, to lock or to count off, which is true of most documents. Where that turns out to be wrong the
statement writes nothing, and `documents` does it in a transaction of several.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

import orjson
from pgvector import HalfVector

from app.core.difference import NewChunk
from app.core.storage.claims import CLAIM_VALUES, LANGUAGES, OPEN_CORPUS, DocumentWrite
from app.core.storage.models import Model
from app.core.terms import VERSION, DocumentTerms

CHUNKS_AT_ONCE: Final = 500
# About 1 MB of half vectors. More is copied in as a stream, and holds up nobody meanwhile: what is sent here is
# written by the client in one piece

# The corpus' row is updated last, since its lock keeps other writers waiting: only when the chunks have been counted is
# it known which row to update. unnest() flattens nested arrays, so headings travel as JSON, and the terms' numbers as one
# array with the places in it where a chunk's begin and end.
ADD_DOCUMENT: Final = f"""
WITH corpus AS MATERIALIZED ({OPEN_CORPUS.format(others="$37")}), claimed AS (
    INSERT INTO documents ({CLAIM_VALUES.columns}, chunk_count, token_count, indexed_at, terms_version)
    SELECT owner, name, {CLAIM_VALUES.placeholders}, $21, $22, now(), {VERSION} FROM corpus
    ON CONFLICT (owner, corpus, url) DO NOTHING
    RETURNING id
), new AS MATERIALIZED (
    SELECT nextval('chunks_id_seq') AS id, given.* FROM unnest(
        $23::int[], $24::int[], $25::int[], $26::int[], $27::bytea[], $28::text[], $29::text[], $30::halfvec[],
        $31::int[], $32::bigint[], $33::int[], $34::int[], $38::text[]
    ) AS given (chunk_index, start_offset, end_offset, token_count, text_hash, text, heading_path, embedding,
                length, digest, first, last, context)
), added AS (
    INSERT INTO chunks (owner, corpus, document_id, id, chunk_index, start_offset, end_offset, token_count,
                        text_hash, text, heading_path, trace_id, context)
    OVERRIDING SYSTEM VALUE
    SELECT $1, $2, claimed.id, new.id, new.chunk_index, new.start_offset, new.end_offset, new.token_count,
           new.text_hash, new.text, ARRAY(SELECT jsonb_array_elements_text(new.heading_path::jsonb)), $18, new.context
    FROM claimed, new
    RETURNING chunk_index
), meant AS (
    INSERT INTO vectors (owner, corpus, document_id, id, model_id, embedding)
    SELECT $1, $2, claimed.id, new.id, $6, new.embedding FROM claimed, new
), said AS (
    INSERT INTO chunk_terms (owner, corpus, document_id, id, length, digest, numbers)
    SELECT $1, $2, claimed.id, new.id, new.length, new.digest, ($35::bigint[])[new.first : new.last] FROM claimed, new
)
UPDATE corpora SET live = true, document_count = document_count + 1, chunk_count = chunk_count + $21,
                   token_count = token_count + $22, model_id = $6, updated_at = now(),
                   languages = {LANGUAGES.format("$36")}
FROM claimed, (SELECT count(*) AS chunks FROM added) AS counted
WHERE corpora.owner = $1 AND corpora.name = $2 AND counted.chunks = $21
RETURNING claimed.id
"""  # noqa: S608 - column names and places of our own


async def add_document(
    connection: Any,
    write: DocumentWrite,
    model: Model,
    chunks: Sequence[NewChunk],
    vectors: Mapping[bytes, HalfVector],
    terms: DocumentTerms,
) -> UUID | None:
    """Write a document that is not there yet, and return its id.

    Returns
    -------
    UUID or None
        `None`, and nothing is written, where the corpus or the document's row is not as this needs it.
    """
    made = [terms.made(chunk) for chunk in chunks]
    ends = list(accumulate(len(one.numbers) for one in made))
    added: UUID | None = await connection.fetchval(
        ADD_DOCUMENT,
        *write.claim_values(model),
        len(chunks),
        sum(chunk.token_count for chunk in chunks),
        [chunk.index for chunk in chunks],
        [chunk.start for chunk in chunks],
        [chunk.end for chunk in chunks],
        [chunk.token_count for chunk in chunks],
        [chunk.text_hash for chunk in chunks],
        [chunk.text for chunk in chunks],
        [orjson.dumps(chunk.heading_path).decode() for chunk in chunks],
        [vectors[chunk.text_hash] for chunk in chunks],
        [one.length for one in made],
        [terms.digest(chunk.heading_path) for chunk in chunks],
        [end - len(one.numbers) + 1 for one, end in zip(made, ends, strict=True)],
        ends,
        [number for one in made for number in one.numbers],
        terms.language,
        write.other_models,
        [chunk.context for chunk in chunks],
    )
    return added
