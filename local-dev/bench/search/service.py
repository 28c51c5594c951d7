"""The embedding service's own code over a PostgreSQL of its own, with an endpoint that knows its texts' vectors already."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import numpy as np

from bench.search.data import DIMENSIONS, MadeDocument, Part, Vectors
from bench.services import NOWHERE, import_from
from ml_shared.contracts.embedding import ChunkIn, Document
from ml_shared.storage.migrations import migrate
from ml_shared.testing.servers import PostgresServer

KEY: Final = "key-of-the-bench"
MODEL: Final = "made-up"
AS_COMPOSE_HAS_IT: Final = {"shared_buffers": "1GB", "maintenance_work_mem": "1GB"}


class KnownVectors:
    """In place of the endpoint's client: what a text's vector is was said before."""

    def __init__(self, embedded: Any) -> None:
        self._embedded = embedded
        self.known: dict[str, Vectors] = {}

    async def embed(self, texts: Sequence[str], **_: Any) -> Any:
        """Return the texts' vectors."""
        return self._embedded(np.stack([self.known[text] for text in texts]), 0)


@asynccontextmanager
async def opened(postgres: PostgresServer, *, buffers: str | None = None) -> AsyncIterator["Bench"]:
    """Open the service on a new database of a server that has the compose file's memory."""
    dsn = postgres.dsn(postgres.create_database())
    connection = await asyncpg.connect(dsn)
    for name, value in (AS_COMPOSE_HAS_IT | ({"shared_buffers": buffers} if buffers else {})).items():
        await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    await connection.close()
    postgres.restart()
    settings = {
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "ORCHESTRATOR_URL": NOWHERE,
        "ORCHESTRATOR_KEY_HASH": "0" * 64,
        "SERVICE_API_KEY": KEY,
        "DATABASE_URL": dsn,
        "DATABASE_POOL_SIZE": "16",
        "EMBEDDING_API_BASE_URL": f"{NOWHERE}/v1",
        "EMBEDDING_API_KEY": KEY,
        "EMBEDDING_MODEL": MODEL,
        "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
    }
    logic = import_from("embedding", "app.core.logic", **settings)
    await migrate(dsn, import_from("embedding", "app.core.storage.pool").MIGRATIONS)
    connection = await asyncpg.connect(dsn)
    try:
        await import_from("embedding", "app.core.storage.models").prepare_model(connection, MODEL, DIMENSIONS)
    finally:
        await connection.close()
    opening = import_from("embedding", "app.core.service")
    async with opening.open_embedding(opening.Settings(), command_timeout_seconds=600) as service:
        endpoint = KnownVectors(import_from("embedding", "app.core.endpoint").Embedded)
        object.__setattr__(service, "endpoint", endpoint)  # it is frozen
        yield Bench(logic, service, endpoint, postgres)


class Bench:
    """What is measured: the service's use cases, and the loop that builds its indexes."""

    def __init__(self, logic: Any, service: Any, endpoint: KnownVectors, postgres: PostgresServer) -> None:
        self.logic = logic
        self.service = service
        self.endpoint = endpoint
        self.postgres = postgres
        settling = import_from("embedding", "app.core.settling")
        settings = service.settings
        self.mover = settling.Settling(
            settings.DATABASE_URL,
            service.pool,
            more_than=settings.EXACT_SEARCH_MAX_ROWS,
            workers=settings.VECTOR_INDEX_WORKERS,
        )

    async def index(self, part: Part, made: MadeDocument) -> float:
        """Write a document, and return the seconds that it took."""
        self.endpoint.known |= dict(zip(made.texts, made.vectors, strict=True))
        now = datetime.now(UTC)
        document = Document(url=made.url, title="A document", language="en", metadata={"group": made.group})
        order = self.logic.Order(part.owner, part.corpus, document, now, now)
        chunks, start = [], 0
        for number, text in enumerate(made.texts):
            chunks.append(ChunkIn(index=number, text=text, start=start, end=start + len(text), token_count=80))
            start += len(text)
        began = time.perf_counter()
        await self.logic.execute_index(self.service, order, chunks)
        seconds = time.perf_counter() - began
        for text in made.texts:
            self.endpoint.known.pop(text, None)
        return seconds

    async def move(self) -> float:
        """Move what is due into indexes, and return the seconds that it took."""
        began = time.perf_counter()
        while await self.mover.look():
            pass
        return time.perf_counter() - began

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        """Ask the database."""
        rows: list[Any] = await self.service.pool.fetch(statement, *arguments)
        return rows

    async def sizes(self) -> dict[str, int]:
        """Return the bytes of the large tables, and of their indexes."""
        segments = import_from("embedding", "app.core.storage.segments")
        found: dict[str, int] = {}
        for name, rows, indexes in await segments.read_relations(self.service.pool):
            found |= {name: rows, f"{name}, indexes": indexes}
        return found
