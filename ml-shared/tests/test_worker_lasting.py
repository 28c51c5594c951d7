"""What a real worker goes on after: bodies that would end it, a child's death, its Redis' restart. One worker for all of them."""

import signal
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from redis import Redis

from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.servers import RedisServer, wait_until
from ml_shared.testing.worker import WorkerProcess


@pytest.fixture(scope="module")
def lasting(start_at: Callable[..., WorkerProcess], redis_server: RedisServer) -> Iterator[WorkerProcess]:
    redis_server.flush()  # of what the module before has left for workers
    with start_at(LEASE_RENEW_SECONDS="600") as running:  # a body that waits is not woken
        yield running


@pytest.fixture
def worker(lasting: WorkerProcess, redis: Redis, fake_orchestrator: FakeOrchestrator) -> Iterator[WorkerProcess]:
    """The worker, which has nothing to do: before the test and after it."""
    assert wait_until(lambda: len(lasting.children()) == 1, 60)
    yield lasting
    assert lasting.running
    assert wait_until(lambda: redis.llen("scraper") + redis.hlen("unacked") == 0, 60)


def _waits(process: psutil.Process) -> bool:
    """Whether a process has not run for a moment: nor was it about to, as one that somebody stopped."""
    before = process.num_ctx_switches()
    time.sleep(0.1)
    return process.status() == psutil.STATUS_SLEEPING and process.num_ctx_switches() == before


def _job(number: int = 1, **more: str) -> dict[str, str]:
    return {"job_id": f"job-{number}", "attempt_id": f"attempt-{number}", **more}


def test_a_soft_limit_that_strikes_while_the_loop_waits_cancels_the_body(
    worker: WorkerProcess, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    """The body's own limit comes first; here the signal does, from outside."""
    send(**_job(1, behaviour="sleep=50", word="first"))
    assert wait_until(lambda: redis.llen("began") == 1, 60)
    [child] = worker.children()
    assert wait_until(lambda: _waits(child), 60), "a signal that strikes within the body is raised there"
    child.send_signal(signal.SIGUSR1)  # how Celery's main process tells a child of its soft limit
    callback = fake_orchestrator.wait_for_callback("job-1")
    assert callback.error_code == "task_timeout"
    assert redis.lrange("cancelled", 0, -1) == ["first"]
    send(**_job(2))
    assert fake_orchestrator.wait_for_callback("job-2").status is CallbackStatus.SUCCESS


def test_a_body_that_calls_exit_fails_its_task_and_not_the_worker(
    worker: WorkerProcess, send: Callable[..., str], fake_orchestrator: FakeOrchestrator
) -> None:
    """Celery's main process ends on a task's `SystemExit`."""
    for number, behaviour in enumerate(("exit", "exit-within", "cancel-itself")):
        send(**_job(number, behaviour=behaviour))
        callback = fake_orchestrator.wait_for_callback(f"job-{number}")
        assert (callback.status, callback.error_code) == (CallbackStatus.FAILED, "internal_error")
    send(**_job(9))
    assert fake_orchestrator.wait_for_callback("job-9").status is CallbackStatus.SUCCESS


def test_a_killed_child_s_task_is_not_delivered_in_a_loop_while_the_orchestrator_is_away(
    worker: WorkerProcess, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    send(**_job(1, behaviour="wait-then-kill"))
    assert wait_until(lambda: redis.llen("began") == 1, 60)
    fake_orchestrator.status = 503
    redis.rpush("go", "now")
    worker.wait_for(lambda: any(line.get("outcome") == "not_started" for line in worker.lines), 60)
    assert wait_until(lambda: redis.llen("scraper") + redis.hlen("unacked") == 0, 60)
    assert redis.llen("began") == 1


def test_a_worker_survives_a_restart_of_its_redis_under_a_running_task(
    worker: WorkerProcess, send: Callable[..., str], redis_server: RedisServer, fake_orchestrator: FakeOrchestrator
) -> None:
    send(**_job(1, behaviour="sleep=3"))
    fake_orchestrator.wait_until(lambda: fake_orchestrator.phases_for("job-1") != [])
    redis_server.restart()
    fake_orchestrator.wait_for_callback("job-1", 60)
    send(**_job(2))
    assert fake_orchestrator.wait_for_callback("job-2", 60).status is CallbackStatus.SUCCESS
    assert len(fake_orchestrator.callbacks_for("job-1")) == 1
