"""What the service has open, once a process: the database, the endpoints of the models that it serves, the reranker."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg
from opentelemetry import trace

from app.config import Settings
from app.core.answers.reranker import Reranker
from app.core.endpoint import REQUESTS_AT_ONCE, EmbeddingEndpoint
from app.core.storage.models import Model, read_model
from app.core.storage.pool import open_store
from app.core.tokens import ModelTokenizer
from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span


@dataclass(frozen=True, slots=True)
class Served:
    """A model that vectors can be had of, with the settings that are its own."""

    settings: Settings
    endpoint: EmbeddingEndpoint
    model: Model


@dataclass(frozen=True, slots=True)
class Embedding:
    """The service's resources, opened once a process."""

    settings: Settings
    pool: asyncpg.Pool
    endpoint: EmbeddingEndpoint
    model: Model
    next: Served | None = None
    tokenizer: ModelTokenizer | None = None
    reranker: Reranker | None = None

    def serving(self, name: str | None) -> Served:
        """Return the model of a name if it is served, else the one that new corpora get."""
        if self.next is not None and self.next.model.name == name:
            return self.next
        return Served(self.settings, self.endpoint, self.model)


@asynccontextmanager
async def open_embedding(
    settings: Settings,
    *,
    command_timeout_seconds: float,
    requests_at_once: int = REQUESTS_AT_ONCE,
    searches: bool = True,
) -> AsyncIterator[Embedding]:
    """Open the database and the endpoint's client on the running loop.

    Parameters
    ----------
    requests_at_once
        How many requests, or documents, may have all their calls to the endpoint in flight.
    searches
        Whether there will be any: they need the tokenizer and the reranker.

    Raises
    ------
    StaleSchemaError, ModelNotPreparedError
        If `python -m app.migrate` has to run first.
    DimensionMismatchError
        If the database and the settings disagree on the model's dimensions.
    TokenizerFileError
        If the tokenizer that the settings name can't be used.
    """
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_store(
                settings.DATABASE_URL,
                max_size=settings.DATABASE_POOL_SIZE,
                command_timeout_seconds=command_timeout_seconds,
            )
        )
        endpoint = await stack.enter_async_context(EmbeddingEndpoint.open(settings, requests_at_once=requests_at_once))
        model = await read_model(pool, settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS)
        service = Embedding(settings, pool, endpoint, model)
        if (other := settings.of_next_model()) is not None:
            endpoint = await stack.enter_async_context(EmbeddingEndpoint.open(other, requests_at_once=requests_at_once))
            model = await read_model(pool, other.EMBEDDING_MODEL, other.EMBEDDING_DIMENSIONS)
            service = replace(service, next=Served(other, endpoint, model))
        if searches:
            reranker = await stack.enter_async_context(Reranker.open(settings))
            service = replace(service, tokenizer=ModelTokenizer.of(settings), reranker=reranker)
        yield service


def read_span(name: str, service: Embedding) -> AbstractContextManager[trace.Span]:
    """Return a span of turning texts into vectors for somebody who waits."""
    known: dict[str, Value] = {
        attributes.JOB_STAGE: attributes.JobStage.READ,
        attributes.OPERATION: Operation.READ.value,
        attributes.REQUEST_MODE: RequestMode.SYNC.value,
        attributes.EMBEDDING_MODEL: service.model.name,
    }
    return work_span(name, attributes=known)
