"""Several jobs in one message: each as it would be alone, and what ends all of them is nobody's failure."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis import Redis

from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.servers import RedisServer
from ml_shared.testing.worker import WorkerProcess

Start = Callable[..., WorkerProcess]
PACK = "probe.pack_task"


def _pack(*behaviours: str) -> dict[str, Any]:
    return {"jobs": [{"kwargs": _job(number, each)} for number, each in enumerate(behaviours, 1)]}


def _job(number: int, behaviour: str) -> dict[str, str]:
    return {"job_id": f"job-{number}", "attempt_id": f"attempt-{number}", "behaviour": behaviour, "word": str(number)}


def _ends(fake: FakeOrchestrator, number: int) -> list[tuple[CallbackStatus, str | None]]:
    return [(told.status, told.error_code) for told in fake.callbacks_for(f"job-{number}")]


GIVEN_BACK = [(CallbackStatus.DEFERRED, "stage_unavailable")]
DONE = [(CallbackStatus.SUCCESS, None)]


def test_each_job_of_a_pack_ends_as_it_would_alone(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter
) -> None:
    pack = _pack("sleep=0.1", "refuse", "retryable", "commit")
    pack["jobs"][0]["traceparent"] = f"00-{1:032x}-{2:016x}-01"
    pack["jobs"].append({"kwargs": {"unheard": "of"}})
    worker.pack_task.apply(kwargs=pack)
    assert _ends(fake_orchestrator, 1) == _ends(fake_orchestrator, 4) == DONE
    assert _ends(fake_orchestrator, 2) == [(CallbackStatus.FAILED, "empty_content")]
    assert _ends(fake_orchestrator, 3) == [(CallbackStatus.DEFERRED, "host_busy")]
    assert ProgressPhase.COMMITTING in fake_orchestrator.phases_for("job-4")
    runs = {
        span.attributes["job.id"]: span for span in spans.get_finished_spans() if span.name == "run/probe.stage_task"
    }
    assert set(runs) == {"job-1", "job-2", "job-3", "job-4"}
    assert runs["job-1"].context.trace_id == 1
    assert runs["job-1"].parent.span_id == 2
    assert not runs["job-2"].status.is_ok
    assert runs["job-3"].context.trace_id != runs["job-4"].context.trace_id


def test_jobs_of_a_pack_are_worked_on_beside_each_other(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator
) -> None:
    waits = _pack("wait", "wait")
    waits["jobs"].append({"kwargs": _job(3, "release=2")})
    worker.pack_task.apply(kwargs=waits)  # one after the other, the first would wait for ever
    assert [_ends(fake_orchestrator, number) for number in (1, 2, 3)] == [DONE] * 3


def test_a_job_that_nobody_wants_is_dropped_and_no_other(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator
) -> None:
    fake_orchestrator.abandoned.add("attempt-1")
    worker.pack_task.apply(kwargs=_pack("sleep=30", "sleep=0.1"))
    assert _ends(fake_orchestrator, 1) == []
    assert _ends(fake_orchestrator, 2) == DONE


def test_a_worker_s_stop_gives_a_pack_back(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    with start(REMAP_SIGTERM="SIGQUIT", SOFT_SHUTDOWN="0.2") as worker:
        send(name=PACK, **_pack("sleep=30", "sleep=30"))
        worker.wait_for(lambda: redis.llen("began") == 2)
        worker.terminate()
    assert _ends(fake_orchestrator, 1) == _ends(fake_orchestrator, 2) == GIVEN_BACK


@pytest.fixture(scope="module")
def limited(start_at: Start, redis_server: RedisServer) -> Iterator[WorkerProcess]:
    """A worker whose limits are soon reached, for the tests from here on: it would take the messages of another one, too."""
    redis_server.flush()  # a worker that stopped has left its messages there
    with start_at(SOFT_LIMIT="4", HARD_LIMIT="8") as running:
        yield running


@pytest.mark.parametrize("killer", ["kill", "deaf=30"], ids=["by-the-kernel", "at-the-hard-limit"])
def test_what_kills_a_worker_gives_back_all_that_it_had_and_fails_nobody(
    limited: WorkerProcess, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator, killer: str
) -> None:
    send(name=PACK, **_pack("sleep=30", killer))
    limited.wait_for(lambda: all(_ends(fake_orchestrator, number) for number in (1, 2)))
    send(name=PACK, jobs=[{"kwargs": _job(3, "")}, {"kwargs": _job(4, "")}])
    limited.wait_for(lambda: all(_ends(fake_orchestrator, number) for number in (3, 4)))
    limited.wait_for(lambda: redis.hlen("unacked") == 0)
    assert _ends(fake_orchestrator, 1) == _ends(fake_orchestrator, 2) == GIVEN_BACK
    assert _ends(fake_orchestrator, 3) == _ends(fake_orchestrator, 4) == DONE
    assert redis.lrange("began", 0, -1).count(f"{killer}:2") == 1


def test_a_body_that_hears_no_limit_but_the_soft_one_is_what_is_told_of_it(
    limited: WorkerProcess, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    send(name=PACK, **_pack("sleep=0.7", "block=20"))
    limited.wait_for(lambda: all(_ends(fake_orchestrator, number) for number in (1, 2)))
    limited.wait_for(lambda: redis.hlen("unacked") == 0)
    assert _ends(fake_orchestrator, 2) == [(CallbackStatus.DEFERRED, "task_timeout")]
    assert _ends(fake_orchestrator, 1) in (DONE, GIVEN_BACK, [(CallbackStatus.DEFERRED, "task_timeout")])
