"""What the console's tests look at, where having it for real would take minutes: rows, as services write them, and answers."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from conftest import Stage

from ml_shared.contracts.crawls import CrawlPage, CrawlView, PagesPage, PageView, RunPage, RunView

MANY_JOBS: Final = 10_000
LONG_CORPUS: Final = "long"
LONG_CHUNKS: Final = 2_600
# of about 2,000 characters each, of which the last 200 are the next one's first: five megabytes
WORD_CHUNK: Final = 1_300
# the chunk that is one word; it and the ones after it make a megabyte without a blank
CRAWL: Final = "0f0e0d0c-0b0a-4000-8000-000000000001"
NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


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


def crawl_answers() -> dict[str, Any]:
    """What the API answers of one crawl, made of the contract's own models."""
    crawl = CrawlView(
        crawl_id=CRAWL,
        corpus_name="site",
        source="site",
        url="https://site.test/docs/",
        include=["/docs/*"],
        max_pages=1000,
        max_depth=10,
        last_run=2,
        last_state="running",
        documents=41,
        submitted_at=NOW,
    )
    run = RunView(
        crawl_id=CRAWL,
        run=2,
        state="running",
        trigger="requested",
        held="mass_deletion",
        held_documents=20,
        pages=6,
        waiting=3,
        open=1,
        outcomes={"new": 2, "changed": 1, "unchanged": 1, "failed": 1, "skipped": 1},
        reasons={"skipped": {"robots_disallowed": 1}, "failed": {"http_status": 1}},
        pages_per_minute=12.4,
        started_at=NOW - timedelta(minutes=2),
    )
    pages = [
        PageView(
            url=f"https://site.test/docs/{name}", state="ended", outcome=outcome, reason=reason, depth=1, ended_at=NOW
        )
        for name, outcome, reason in (
            *(("a/one", "new", None), ("a/two", "changed", None), ("b/three?x=<b>", "failed", "http_status")),
            ("private", "skipped", "robots_disallowed"),
        )
    ]
    return {
        "crawls": CrawlPage(items=[crawl]),
        f"crawls/{CRAWL}": crawl,
        f"crawls/{CRAWL}/runs": RunPage(items=[run]),
        f"crawls/{CRAWL}/runs/2": run,
        f"crawls/{CRAWL}/runs/2/pages": PagesPage(items=pages),
    }
