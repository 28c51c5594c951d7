"""What the console's tests look at, where indexing it for real would take minutes: rows, as the services write them."""

from typing import Any, Final
from uuid import uuid4

from conftest import Stage

MANY_JOBS: Final = 10_000
LONG_CORPUS: Final = "long"
LONG_CHUNKS: Final = 2_600
# of about 2,000 characters each, of which the last 200 are the next one's first: five megabytes
WORD_CHUNK: Final = 1_300
# the chunk that is one word; it and the ones after it make a megabyte without a blank


def many_jobs(stage: Stage, owner: str) -> None:
    """Give an owner a history: jobs that ended."""
    stage.jobs_sql(
        """INSERT INTO jobs (owner, id, url, host, corpus_name, stage, placement, status, tag, submitted_at, ended_at,
               error_code, error_message, failed_stage, chunks, tokens)
           SELECT $1, gen_random_uuid(), 'http://many.test/page/' || n, 'many.test', 'many', 'embedding', 'ended',
               CASE WHEN n % 9 = 0 THEN 'failed' ELSE 'completed' END, 0, now() - n * interval '7 seconds',
               now() - n * interval '7 seconds' + interval '3 seconds',
               CASE WHEN n % 9 = 0 THEN 'fetch_timeout' END, CASE WHEN n % 9 = 0 THEN 'too slow' END,
               CASE WHEN n % 9 = 0 THEN 'scraping' END, 3, 900
           FROM generate_series(1, $2::integer) n""",
        owner,
        MANY_JOBS,
    )


def forget_jobs(stage: Stage, owner: str) -> None:
    stage.jobs_sql("DELETE FROM jobs WHERE owner = $1 AND host = 'many.test'", owner)


def long_text() -> list[tuple[int, int, str]]:
    """Return the chunks of a text of five megabytes: where each begins and ends, and its words."""
    found: list[tuple[int, int, str]] = []
    start, shared = 0, ""
    for number in range(LONG_CHUNKS):
        if WORD_CHUNK <= number < WORD_CHUNK + 520:
            own = "w" * 1800
        else:
            own = (f"Paragraph {number} of a long text, with its words. " * 40)[:1780] + "\n\nA new line.\n\n"[:20]
        text = shared + own
        found.append((start, start + len(text), text))
        shared = text[-200:]
        start += len(text) - 200
    return found


def long_document(stage: Stage, owner: str) -> str:
    """Put a document of five megabytes into a corpus of its own, and return its id."""
    document = uuid4()
    model = stage.vectors_sql("SELECT id FROM models LIMIT 1")[0]["id"]
    chunks = long_text()
    stage.vectors_sql(
        """INSERT INTO corpora (owner, name, live, document_count, chunk_count, token_count, model_id)
           VALUES ($1, $2, true, 1, $3::bigint, $3::bigint * 480, $4) ON CONFLICT (owner, name) DO NOTHING""",
        *(owner, LONG_CORPUS, LONG_CHUNKS, model),
    )
    stage.vectors_sql(
        """INSERT INTO documents (owner, corpus, id, url, as_of, submitted_at, model_id, title, chunk_count, token_count, indexed_at)
           VALUES ($1, $2, $3, $4, now(), now(), $5, 'A long text', $6::integer, $6::bigint * 480, now())""",
        *(owner, LONG_CORPUS, document, f"http://long.test/{document}", model, LONG_CHUNKS),
    )
    columns: list[list[Any]] = [list(column) for column in zip(*chunks, strict=True)]
    stage.vectors_sql(
        """INSERT INTO chunks (owner, corpus, document_id, chunk_index, start_offset, end_offset, token_count, text_hash,
               text, heading_path)
           SELECT $1, $2, $3, n - 1, s, e, 480, sha256(convert_to(t, 'UTF8')), t, ARRAY['Part ' || n / 100]
           FROM unnest($4::integer[], $5::integer[], $6::text[]) WITH ORDINALITY AS one(s, e, t, n)""",
        *(owner, LONG_CORPUS, document, *columns),
    )
    return str(document)
