"""A small service's worker, as the real ones are built: for tests within this process, and run by `WorkerProcess`."""

import asyncio
import functools
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from celery.concurrency.asynpool import AsynPool
from pydantic import BaseModel
from redis.asyncio import Redis

from ml_shared.clients.orchestrator import OrchestratorClient
from ml_shared.errors import InvalidError, ServiceError, UnavailableError
from ml_shared.instrumentation import shutdown_telemetry
from ml_shared.names import Queue, Stage
from ml_shared.queues.results import ResultStore
from ml_shared.settings import ServiceSettings
from ml_shared.storage.redis_client import open_redis
from ml_shared.telemetry.attributes import JobStage
from ml_shared.worker import celery as worker_celery
from ml_shared.worker.celery import build_celery_app
from ml_shared.worker.heartbeat import HeartbeatStep
from ml_shared.worker.packs import PackTask
from ml_shared.worker.task import AsyncTask, StageOutcome, StageRun, StageTask

SECRET = "sk-a-key-that-nobody-may-see"
NEXT_AT = datetime(2030, 1, 2, tzinfo=UTC)
settings = ServiceSettings(_env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1")


class Probe(BaseModel):
    """The sync route's answer."""

    word: str
    job_id: str | None = None


@dataclass
class Resources:
    """What task bodies get."""

    redis: Redis
    orchestrator: OrchestratorClient | None
    results: ResultStore | None
    number: str


@asynccontextmanager
async def resources() -> AsyncIterator[Resources]:
    """Open what a child needs."""
    async with AsyncExitStack() as stack:
        # longer than any test has a body wait for its word
        redis = await stack.enter_async_context(open_redis(settings.REDIS_URL or "", timeout_seconds=60))
        orchestrator = None
        if settings.ORCHESTRATOR_URL:
            orchestrator = await stack.enter_async_context(OrchestratorClient.open(settings))
        await redis.rpush("opened", os.getpid())
        yield Resources(redis, orchestrator, ResultStore(redis, settings), f"{os.getpid()}-{time.monotonic_ns()}")
        await redis.rpush("closed", os.getpid())


app = build_celery_app(
    settings,
    queue=Queue.SCRAPER,
    include=["worker_app"],
    resources=resources,
    soft_time_limit_seconds=float(os.environ.get("SOFT_LIMIT", "60")),
    time_limit_seconds=float(os.environ.get("HARD_LIMIT", "90")),
    beat_schedule={
        "tick": {"task": "probe.plain_task", "schedule": 0.1, "args": ("tick",), "options": {"expires": 60}}
    },
)
HeartbeatStep.every_seconds = 0.2
AsynPool.timers = property(lambda pool: {pool.maintain_pool: 300.0})  # 5 by default: Celery itself looks in vain
last_spans_seconds = float(os.environ.get("LAST_SPANS_SECONDS", "30"))  # 3 by default
worker_celery.shutdown_telemetry = functools.partial(shutdown_telemetry, last_spans_seconds)
app.conf.worker_soft_shutdown_timeout = float(os.environ.get("SOFT_SHUTDOWN", "5"))
app.conf.broker_transport_options |= {
    "visibility_timeout": int(os.environ.get("VISIBILITY_SECONDS", "300")),
    "unacked_restore_interval": int(os.environ.get("RESTORE_SECONDS", "1")),
    "unacked_restore_throttle": 1,
}


async def act(run: StageRun, behaviour: str, word: str) -> StageOutcome:
    """Behave as the test asks."""
    redis: Redis = run.resources.redis
    try:
        await redis.rpush("began", f"{behaviour}:{word}")
        await _behave(
            run, behaviour, first=(await redis.lrange("began", 0, -1)).count(f"{behaviour}:{word}".encode()) == 1
        )
    except asyncio.CancelledError:
        await asyncio.sleep(0.05)  # an end that takes a moment, as closing a connection does
        await redis.rpush("cancelled", word)
        raise
    await redis.rpush("ended", f"{run.resources.number}:{id(asyncio.get_running_loop())}")
    return StageOutcome(result=Probe(word=word, job_id=run.job_id), content_ref="ref-1", stats={"bytes": 3})


async def _behave(run: StageRun, behaviour: str, *, first: bool) -> None:
    run.host_next_at = NEXT_AT
    kind, _, value = behaviour.partition("=")
    match kind:
        case "sleep":
            await asyncio.sleep(float(value))
        case "block":
            time.sleep(float(value))
        case "deaf":  # neither limit reaches it before the hard one
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            time.sleep(float(value))
        case "stubborn":  # nothing but a kill ends it
            for number in (signal.SIGTERM, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN)
            if first:
                time.sleep(float(value))
        case "once-sleep":
            if first:
                await asyncio.sleep(float(value))
        case "kind":
            raise next(each for each in ServiceError.__subclasses__() if each.kind == value)("of this kind")
        case "retryable":
            raise UnavailableError("the host is busy", code="host_busy", retry_after_seconds=7)
        case "refuse":
            raise InvalidError("the page is empty", code="empty_content")
        case "crash":
            raise RuntimeError(f"X-API-Key: {SECRET}")
        case "timeout":
            raise httpx.ReadTimeout("too late")
        case "wait":
            await run.resources.redis.blpop(["go"])
        case "release":
            await run.resources.redis.rpush("go", *range(int(value)))
        case "wait-then-kill":
            await run.resources.redis.blpop(["go"])
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(3)
        case "exit-within":
            await asyncio.gather(_exit())
        case "cancel-itself":
            raise asyncio.CancelledError
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill-once":
            if first:
                os.kill(os.getpid(), signal.SIGKILL)
        case "die":
            if first:
                await _die(run.resources.redis, value)
        case "commit":
            await run.committing()
        case "stray":
            asyncio.get_running_loop().create_task(_stray(run.resources.redis), name="stray")


async def _die(redis: Redis, how: str) -> None:
    """End this process as only the kernel, or a library, would."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if how == "leaving-a-process" and (left := os.fork()):
        await redis.rpush("left", left)
    elif how == "leaving-a-process":
        signal.alarm(60)
        os.execvp("sleep", ["sleep", "60"])
    elif how == "slowly":  # in the order of the kernel's: first the files, and then what tells of the end
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        time.sleep(0.4)
    elif how == "exiting":
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSEGV if how == "faulting" else signal.SIGKILL)


async def _exit() -> None:
    sys.exit(3)


def _fail(depth: int) -> None:
    if depth:
        _fail(depth - 1)
    raise RuntimeError("deep down")


async def _stray(redis: Redis) -> None:
    await asyncio.sleep(30)
    await redis.rpush("strayed", "yes")


@app.task(bind=True, base=StageTask, name="probe.stage_task", stage=Stage.SCRAPING, job_stage=JobStage.SCRAPE)
def stage_task(
    self: StageTask,
    job_id: str | None = None,
    attempt_id: str | None = None,
    behaviour: str = "",
    word: str = "w",
    url: str = "https://example.com/a",
) -> None:
    """One stage."""
    self.run_stage(lambda run: act(run, behaviour, word), job_id=job_id, attempt_id=attempt_id, url=url)


@app.task(bind=True, base=PackTask, name="probe.pack_task", of=stage_task)
def pack_task(self: PackTask, jobs: list[dict[str, Any]]) -> None:
    """Several stages."""
    self.run_pack(jobs)


@app.task(bind=True, base=AsyncTask, name="probe.plain_task")
def plain_task(self: AsyncTask, word: str) -> None:
    """A task that is no stage."""

    async def body(opened: Resources) -> Any:
        await opened.redis.rpush("plain", word)
        if word == "fail-deeply":
            await opened.redis.blpop(["go"])
            _fail(60)

    self.run_async(body)
