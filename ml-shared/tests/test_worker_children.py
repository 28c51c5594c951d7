"""However a child goes, the next one has its slot's next task soon, and no message goes with it."""

import contextlib
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import psutil
import pytest
from celery.concurrency.prefork import TaskPool
from redis import Redis

from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.servers import wait_until
from ml_shared.testing.worker import WorkerProcess
from ml_shared.worker.pool import PromptPool, PromptTaskPool

Start = Callable[..., WorkerProcess]
Send = Callable[..., str]

BEHIND = 3
# jobs that wait behind those whose children go


def _job(number: int, **more: str) -> dict[str, str]:
    return {"job_id": f"job-{number}", "attempt_id": f"attempt-{number}", "word": str(number), **more}


def _ended(child: psutil.Process) -> bool:
    try:
        return bool(child.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@dataclass
class Departures:
    """A worker all of whose children go, one way after the other, each time with tasks that wait behind.

    In `worker_app` Celery's own look at its children comes later than anything is waited for here.
    """

    worker: WorkerProcess
    send: Send
    redis: Redis
    orchestrator: FakeOrchestrator
    concurrency: int
    jobs: Iterator[int] = field(default_factory=count)

    def check(self, behaviour: str, *, runs: int = 1, status: CallbackStatus = CallbackStatus.SUCCESS) -> None:
        self.redis.delete("began")
        children = self.worker.children()
        going = [next(self.jobs) for _ in range(self.concurrency)]
        behind = [next(self.jobs) for _ in range(BEHIND)]
        for number in going:
            self.send(**_job(number, behaviour=behaviour))
        for number in behind:
            self.send(**_job(number))
        assert wait_until(lambda: any(map(_ended, children)), 60)
        for number in (*behind, *going):
            callback = self.orchestrator.wait_for_callback(f"job-{number}", 60)
            assert callback.status is (status if number in going else CallbackStatus.SUCCESS)
        assert wait_until(lambda: self.redis.llen("scraper") + self.redis.hlen("unacked") == 0, 60)
        began = Counter(self.redis.lrange("began", 0, -1))
        assert began == {f"{behaviour}:{number}": runs for number in going} | {f":{number}": 1 for number in behind}
        assert self.worker.running


@pytest.fixture
def departures(send: Send, redis: Redis, fake_orchestrator: FakeOrchestrator) -> Iterator[Callable[..., Departures]]:
    yield lambda worker, concurrency: Departures(worker, send, redis, fake_orchestrator, concurrency)
    for pid in redis.lrange("left", 0, -1):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).kill()


@pytest.mark.parametrize("concurrency", [1, 2])
def test_the_next_task_starts_soon_after_a_child_s_end_and_every_message_is_worked_on(
    start: Start, departures: Callable[..., Departures], concurrency: int
) -> None:
    with start(concurrency=concurrency, SOFT_LIMIT="4", HARD_LIMIT="5") as worker:
        ways = departures(worker, concurrency)
        ways.check("die=slowly", runs=2)
        ways.check("die=leaving-a-process", runs=2)
        ways.check("die=killed", runs=2)
        ways.check("die=faulting", runs=2)
        ways.check("die=exiting", runs=2)
        ways.check("deaf=30", status=CallbackStatus.DEFERRED)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_the_next_task_starts_soon_after_a_child_is_recycled(
    start: Start, departures: Callable[..., Departures], concurrency: int
) -> None:
    with start(concurrency=concurrency, options=("--max-tasks-per-child=1",)) as worker:
        departures(worker, concurrency).check("")


def test_a_worker_that_tells_of_a_killed_task_forks_beside_no_thread(
    start: Start, send: Send, redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    """Its child would wait without end for a lock that such a thread held: an import's, and it starts by importing."""
    with start(SOFT_LIMIT="4", HARD_LIMIT="5") as worker:
        send(**_job(1, behaviour="deaf=30"))
        assert wait_until(lambda: redis.llen("began") == 1, 60)
        fake_orchestrator.delay_seconds = 2
        fake_orchestrator.wait_until(lambda: fake_orchestrator.requests["/jobs/job-1/complete"] == 1)
        assert psutil.Process(worker.pid).num_threads() == 1
        fake_orchestrator.delay_seconds = 0
        callback = fake_orchestrator.wait_for_callback("job-1")
        assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "task_timeout")
        send(**_job(2))
        assert fake_orchestrator.wait_for_callback("job-2").status is CallbackStatus.SUCCESS
        assert wait_until(lambda: len(worker.children()) == 1, 60), "what told of it has gone"


def test_the_pool_looks_at_its_children_often() -> None:
    pool = PromptPool.__new__(PromptPool)
    assert pool.timers == {pool._look: 0.5}


def test_children_are_forked_from_memory_that_no_collection_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    """One would write to every page that they share with their parent, which makes a copy of it."""
    frozen: list[int] = []
    monkeypatch.setattr(TaskPool, "on_start", lambda _: frozen.append(gc.get_freeze_count()))
    gc.unfreeze()  # what the tests' own plugin has frozen
    try:
        PromptTaskPool(app=None).on_start()
    finally:
        gc.unfreeze()
    assert frozen[0] > 10_000
