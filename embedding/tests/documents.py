"""Documents for the tests, and how they get in."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from opentelemetry import trace

from app.core.logic import Order, execute_index
from app.core.service import Embedding
from app.core.settling import Settling
from ml_shared.auth.context import hash_key
from ml_shared.contracts.embedding import ChunkIn, Document, IndexResult

OWNER = "key:owner"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """Return a time so many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def chunks_of(*texts: str) -> list[ChunkIn]:
    """Return chunks of these texts, one after the other."""
    made, start = [], 0
    for index, text in enumerate(texts):
        made.append(ChunkIn(index=index, text=text, start=start, end=start + len(text), token_count=len(text.split())))
        start += len(text)
    return made


async def index(
    service: Embedding,
    *texts: str,
    url: str = "https://example.com/page",
    owner: str = OWNER,
    corpus: str = "docs",
    as_of: datetime = NOON,
    submitted_at: datetime | None = None,
    **document: Any,
) -> IndexResult:
    """Index a document of these texts."""
    order = Order(
        owner=owner,
        corpus_name=corpus,
        document=Document(url=url, **document),
        as_of=as_of,
        submitted_at=submitted_at or as_of,
    )
    return await execute_index(service, order, chunks_of(*texts))


def settling_of(service: Embedding, *, more_than: int = 0, tail_rows: int = 1, loaded_rows: int = 1) -> Settling:
    """Return what moves vectors into indexes, from few on."""
    return Settling(
        service.settings.DATABASE_URL,
        service.pool,
        more_than=more_than,
        workers=0,
        tail_rows=tail_rows,
        loaded_rows=loaded_rows,
    )


async def settle(service: Embedding) -> None:
    """Move all vectors into indexes."""
    while await settling_of(service).look():
        pass


async def locks_let_go(service: Embedding) -> None:
    """Wait until no session holds a lock of its own: one that is killed tells its client before it lets go of them."""
    held = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
        "WHERE locktype = 'advisory' AND datname = current_database()"
    )
    async with asyncio.timeout(60):
        while await service.pool.fetchval(held):
            await asyncio.sleep(0.01)


async def stored_texts(service: Embedding, url: str = "https://example.com/page") -> list[str]:
    """Return a document's chunks in their order, whoever owns them."""
    rows = await service.pool.fetch(
        "SELECT text FROM chunks JOIN documents ON documents.id = document_id WHERE url = $1 ORDER BY chunk_index", url
    )
    return [row["text"] for row in rows]


async def add(
    client: httpx.AsyncClient,
    *chunks: str | dict[str, Any],
    headers: dict[str, str] | None = None,
    corpus_name: str = "docs",
    document: dict[str, Any] | None = None,
) -> IndexResult:
    """Index a document of now into the application behind a client, for the client's own key or another."""
    from app.main import app

    key = (headers or client.headers)["X-API-Key"]
    now = datetime.now(UTC)
    described = Document.model_validate({"url": "https://example.com/page"} | (document or {}))
    order = Order(f"key:{hash_key(key)}", corpus_name, described, now, now)
    texts = chunks_of(*(chunk for chunk in chunks if isinstance(chunk, str)))
    pieces = [ChunkIn.model_validate(chunk) for chunk in chunks if isinstance(chunk, dict)]
    with trace.get_tracer(__name__).start_as_current_span("test"):
        return await execute_index(app.state.embedding, order, [*texts, *pieces])
