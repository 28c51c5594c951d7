"""The embedding service's Celery app: `celery -A app.worker.celery_app worker -Q embed_jobs`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from app.config import settings
from app.core.service import Embedding, open_embedding
from app.worker.callbacks import open_orchestrator
from ml_shared.clients.orchestrator import OrchestratorClient
from ml_shared.names import Queue
from ml_shared.queues.results import ResultStore
from ml_shared.storage.redis_client import open_redis
from ml_shared.worker.celery import build_celery_app

SOFT_TIME_LIMIT_SECONDS: Final = 300
# the longest document has 20,000 chunks: about 100 s at the endpoint
TIME_LIMIT_SECONDS: Final = 330


@dataclass(frozen=True)
class Resources:
    """What one Celery child opened."""

    embedding: Embedding
    orchestrator: OrchestratorClient | None
    results: ResultStore | None


@asynccontextmanager
async def open_resources() -> AsyncIterator[Resources]:
    """Open what the tasks of one child need."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings.REDIS_URL))
        # a child has one task at a time
        opened = open_embedding(
            settings, command_timeout_seconds=SOFT_TIME_LIMIT_SECONDS, requests_at_once=1, searches=False
        )
        yield Resources(
            embedding=await stack.enter_async_context(opened),
            orchestrator=await stack.enter_async_context(open_orchestrator(settings)),
            results=ResultStore(redis, settings),
        )


app = build_celery_app(
    settings,
    queue=Queue.EMBED_JOBS,
    include=["app.worker.tasks"],
    resources=open_resources,
    soft_time_limit_seconds=SOFT_TIME_LIMIT_SECONDS,
    time_limit_seconds=TIME_LIMIT_SECONDS,
)
