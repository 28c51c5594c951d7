"""What becomes of a task that no job waits for: when it is tried again, and what is kept for who asks for its outcome."""

import logging
from typing import Final

from celery.utils.time import get_exponential_backoff_interval
from redis.exceptions import RedisError

from ml_shared.errors import ServiceError
from ml_shared.queues.results import ResultStore
from ml_shared.worker.stage import StageOutcome

logger = logging.getLogger(__name__)

RETRY_MAX_SECONDS: Final = 300
# Celery holds a delayed task in a worker's memory: short, or it waits in Postgres as a job


def countdown(retries: int, error: ServiceError) -> float:
    """Return how long to wait: what the error asks for, or longer each time, with jitter; never long."""
    backoff = get_exponential_backoff_interval(factor=1, retries=retries, maximum=RETRY_MAX_SECONDS, full_jitter=True)
    return float(min(RETRY_MAX_SECONDS, max(backoff, error.retry_after_seconds or 0)))


async def keep(store: ResultStore | None, task_id: str, outcome: StageOutcome) -> None:
    """Keep what a body gave back. One that can't be kept is a failure that is; without a store there is nobody to ask."""
    if store is None:
        return
    try:
        await store.finish(task_id, outcome.result.model_dump_json().encode(), 200)
    except ServiceError as error:
        await keep_failure(store, task_id, error)
    except RedisError:
        logger.exception("the task's outcome could not be kept", extra={"task_id": task_id})


async def keep_failure(store: ResultStore | None, task_id: str, error: ServiceError) -> None:
    """Keep why a task failed."""
    if store is None:
        return
    try:
        await store.finish_failed(task_id, error)
    except (ServiceError, RedisError):
        logger.exception("the task's failure could not be kept", extra={"task_id": task_id})
