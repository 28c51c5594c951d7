"""The orchestrator's Celery application: the dispatcher, the stuck-job handler, and the beat that runs them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.config import settings
from app.core.dispatch.pipeline import PIPELINE
from app.worker.courier import CourierStep
from app.worker.nudging import Nudger
from app.worker.watching import WatchStep
from ml_shared.names import Queue, TaskName
from ml_shared.storage.redis_client import open_redis
from ml_shared.worker.celery import build_celery_app

if TYPE_CHECKING:
    from app.core.logic import Orchestrator

PURGE_INTERVAL_SECONDS = 600.0
SOFT_TIME_LIMIT_SECONDS = 60
TIME_LIMIT_SECONDS = 75


@dataclass(frozen=True, slots=True)
class Resources:
    """What the tasks of one child share."""

    orchestrator_core: "Orchestrator"
    nudger: Nudger
    orchestrator: None = None
    results: None = None


@asynccontextmanager
async def open_resources() -> AsyncIterator[Resources]:
    """Open a child's own pools and clients, on its loop."""
    from app.core.logic import open_orchestrator  # beat, which runs nothing, does without what it imports

    async with open_redis(settings.REDIS_URL) as redis, open_orchestrator(settings) as orchestrator:
        yield Resources(orchestrator, Nudger(redis))


def _every(seconds: float, task: TaskName, *args: str) -> dict[str, object]:
    # a message that was not taken before the next one is due is of no use any more
    return {"task": task.value, "schedule": seconds, "args": args, "options": {"expires": max(seconds, 1.0)}}


app = build_celery_app(
    settings,
    queue=Queue.ORCHESTRATION,
    include=["app.worker.tasks"],
    resources=open_resources,
    for_children=["app.core.logic"],
    soft_time_limit_seconds=SOFT_TIME_LIMIT_SECONDS,
    time_limit_seconds=TIME_LIMIT_SECONDS,
    beat_schedule={
        "dispatch": _every(
            settings.DISPATCH_INTERVAL_SECONDS, TaskName.DISPATCH, *(definition.stage.value for definition in PIPELINE)
        ),
        "recover": _every(settings.RECOVERY_INTERVAL_SECONDS, TaskName.RECOVER_JOBS),
        "crawl": _every(settings.RECOVERY_INTERVAL_SECONDS, TaskName.CRAWL),
        "purge": _every(PURGE_INTERVAL_SECONDS, TaskName.PURGE),
    },
)
app.steps["worker"].update({WatchStep, CourierStep})
