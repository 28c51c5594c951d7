"""A stage's task without a job: Celery's own retries, and an outcome that is kept for who asked."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from redis import Redis

from ml_shared.auth.context import CallerContext
from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.contracts.queueing import PendingResult
from ml_shared.errors import HTTP_STATUS, RETRYABLE_KINDS, ErrorKind, NotFoundError
from ml_shared.queues.results import ResultStore, StoredResult, result_response
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.worker.runtime import ChildRuntime

JOB = {"job_id": "job-1", "attempt_id": "attempt-1"}


async def _kept(url: str, worker: ModuleType, task_id: str, owner: str) -> StoredResult | PendingResult | None:
    async with open_redis(url) as client:
        return await ResultStore(client, worker.settings).read(task_id, owner)


async def _reserve(url: str, worker: ModuleType, task_id: str) -> None:
    async with open_redis(url) as client:
        await ResultStore(client, worker.settings).reserve(task_id, "key:a")


@pytest.mark.parametrize("kind", list(ErrorKind))
async def test_the_error_table_decides_for_every_kind_whether_it_is_tried_again(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis_url: str, redis: Redis, kind: ErrorKind
) -> None:
    """A job is `deferred`, for the orchestrator to retry; a task without a job is retried here, three times."""
    passing = kind in RETRYABLE_KINDS
    worker.stage_task.apply(kwargs={**JOB, "behaviour": f"kind={kind}"})
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert callback.status is (CallbackStatus.DEFERRED if passing else CallbackStatus.FAILED)
    assert redis.llen("began") == 1
    await _reserve(redis_url, worker, "task-1")
    worker.stage_task.apply(task_id="task-1", kwargs={"behaviour": f"kind={kind}"})
    assert redis.llen("began") == 1 + (4 if passing else 1)
    kept = await _kept(redis_url, worker, "task-1", "key:a")
    assert isinstance(kept, StoredResult)
    assert (kept.status, json.loads(kept.body)["code"]) == (HTTP_STATUS[kind], callback.error_code)


async def test_without_a_job_the_outcome_is_kept_as_the_sync_route_would_answer(
    worker: ModuleType, redis_url: str, fake_orchestrator: FakeOrchestrator
) -> None:
    await _reserve(redis_url, worker, "task-1")
    worker.stage_task.apply(task_id="task-1", kwargs={"word": "hello"})
    kept = await _kept(redis_url, worker, "task-1", "key:a")
    assert isinstance(kept, StoredResult)
    assert (kept.status, json.loads(kept.body)) == (200, {"word": "hello", "job_id": None})
    assert await _kept(redis_url, worker, "task-1", "key:b") is None
    assert not fake_orchestrator.requests


async def test_without_a_job_a_passing_error_is_retried_three_times_and_then_kept(
    worker: ModuleType, redis_url: str, redis: Redis
) -> None:
    await _reserve(redis_url, worker, "task-1")
    worker.stage_task.apply(task_id="task-1", kwargs={"behaviour": "retryable"})
    assert redis.llen("began") == 4
    ctx = CallerContext(caller_id="a", caller_type="user", owner="key:a", request_id="request-0001")
    async with open_redis(redis_url) as client:
        store = ResultStore(client, worker.settings)
        response = await result_response(store, "task-1", ctx)
        with pytest.raises(NotFoundError):
            await result_response(store, "task-1", CallerContext(caller_id="b", caller_type="user", owner="key:b"))
    assert (response.status_code, response.media_type) == (503, "application/problem+json")
    assert json.loads(bytes(response.body))["code"] == "host_busy"
    assert response.headers["Retry-After"] == "7"


async def test_without_a_job_a_second_delivery_of_what_has_ended_does_nothing(
    worker: ModuleType, redis_url: str, redis: Redis
) -> None:
    """Its worker died, or was stopped, before Celery could take it off the queue."""
    await _reserve(redis_url, worker, "task-1")
    worker.stage_task.apply(task_id="task-1", kwargs={"word": "first"})
    worker.stage_task.apply(task_id="task-1", kwargs={"word": "second"})
    assert redis.lrange("began", 0, -1) == [":first"]
    kept = await _kept(redis_url, worker, "task-1", "key:a")
    assert isinstance(kept, StoredResult)
    assert json.loads(kept.body)["word"] == "first"


async def test_without_a_job_a_lasting_error_is_kept_at_once(worker: ModuleType, redis_url: str, redis: Redis) -> None:
    await _reserve(redis_url, worker, "task-1")
    worker.stage_task.apply(task_id="task-1", kwargs={"behaviour": "crash"}, headers={"ml_request_id": "request-0001"})
    assert redis.llen("began") == 1
    kept = await _kept(redis_url, worker, "task-1", "key:a")
    assert isinstance(kept, StoredResult)
    problem = json.loads(kept.body)
    assert (kept.status, problem["code"], problem["request_id"]) == (500, "internal_error", "request-0001")
    assert worker.SECRET not in kept.body.decode()


async def test_without_a_job_it_is_kept_that_the_child_lacks_its_resources(worker: ModuleType, redis_url: str) -> None:
    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        raise ConnectionRefusedError("no database")
        yield

    worker.app.runtime = ChildRuntime(resources)
    await _reserve(redis_url, worker, "task-1")
    worker.stage_task.apply(task_id="task-1", kwargs={"word": "hello"})
    kept = await _kept(redis_url, worker, "task-1", "key:a")
    assert isinstance(kept, StoredResult)
    assert (kept.status, json.loads(kept.body)["code"]) == (503, "endpoint_unavailable")
