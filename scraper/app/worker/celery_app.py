"""The scraper's Celery app: `celery -A app.worker.celery_app worker -Q scraper`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from app.config import settings
from app.core.logic import Scraper, open_scraper
from app.worker.callbacks import open_orchestrator
from ml_shared.clients.orchestrator import OrchestratorClient
from ml_shared.names import Queue
from ml_shared.queues.results import ResultStore
from ml_shared.storage.redis_client import open_redis
from ml_shared.worker.celery import build_celery_app

SOFT_TIME_LIMIT_SECONDS: Final = 105
# a page's 20 s on the network, 15 s for its text, for one that is rendered 30 s and its text once more, and turns to wait for
TIME_LIMIT_SECONDS: Final = 120


@dataclass(frozen=True)
class Resources:
    """What one Celery child opened."""

    scraper: Scraper
    orchestrator: OrchestratorClient | None
    results: ResultStore | None


@asynccontextmanager
async def open_resources() -> AsyncIterator[Resources]:
    """Open what the tasks of one child need. A child has one task at a time, so one process to extract in."""
    if not settings.REDIS_URL:
        raise RuntimeError("the scraper needs REDIS_URL: the pace of every host is kept there")
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings.REDIS_URL))
        yield Resources(
            scraper=await stack.enter_async_context(open_scraper(settings, redis, processes=1)),
            orchestrator=await stack.enter_async_context(open_orchestrator(settings)),
            results=ResultStore(redis, settings),
        )


app = build_celery_app(
    settings,
    queue=Queue.SCRAPER,
    include=["app.worker.tasks"],
    resources=open_resources,
    soft_time_limit_seconds=SOFT_TIME_LIMIT_SECONDS,
    time_limit_seconds=TIME_LIMIT_SECONDS,
)
