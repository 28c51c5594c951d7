"""The watch as a worker's own process: heard, replaced, and gone with its worker."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import ORCHESTRATOR_KEY, Core, Fleet

from ml_shared.testing.servers import RedisServer, wait_until
from ml_shared.testing.worker import WorkerProcess

PATIENCE_SECONDS = 30.0


@pytest.fixture
def databases(own_databases: tuple[str, str]) -> tuple[str, str]:
    """A worker that is killed may be at them for a moment longer."""
    return own_databases


@pytest.fixture
def worker(databases: tuple[str, str], redis_server: RedisServer, fleet: Fleet) -> Iterator[WorkerProcess]:
    """A real worker without beat, whose watch makes no pass that nobody asked for."""
    env = {
        "DATABASE_URL": databases[0],
        "CONTENT_STORE_URL": databases[1],
        "REDIS_URL": redis_server.url,
        "SERVICE_API_KEY": ORCHESTRATOR_KEY,
        "DISPATCH_INTERVAL_SECONDS": "3600",
        "OTEL_TRACES_EXPORTER": "none",
        **{f"{service.upper()}_URL": url for service, url in fleet.addresses.items()},
    }
    with WorkerProcess(
        "app.worker.celery_app", queue="orchestration", folder=Path(__file__).parents[1], env=env
    ) as process:
        yield process


def watch_of(worker: WorkerProcess, number: int = 1) -> psutil.Process:
    """Return the watch that was started as the so-manieth, once its first passes are made."""

    def begun() -> list[int]:
        return [line["pid"] for line in worker.lines if line.get("event") == "watch_began"]

    assert wait_until(lambda: len(begun()) >= number, PATIENCE_SECONDS), worker.output
    return psutil.Process(begun()[-1])


async def handed_out(core: Core, fleet: Fleet, redis_server: RedisServer, host: str) -> bool:
    """Submit a page, say so as long as nothing happens, and return whether it was handed out."""
    url = f"http://{host}/"
    await core.submit(url)

    def called() -> bool:
        redis_server.command("PUBLISH", "ml:passes", "scraping")
        return url in [call.body["url"] for call in fleet.scraper.calls]

    return wait_until(called, PATIENCE_SECONDS, 0.1)


async def test_a_watch_hears_words_is_replaced_when_it_dies_and_ends_with_its_worker(
    worker: WorkerProcess, core: Core, fleet: Fleet, redis_server: RedisServer
) -> None:
    first = watch_of(worker)
    assert await handed_out(core, fleet, redis_server, "one.test")
    first.send_signal(signal.SIGKILL)
    second = watch_of(worker, 2)
    assert second.pid != first.pid
    assert await handed_out(core, fleet, redis_server, "two.test")
    redis_server.restart()
    assert await handed_out(core, fleet, redis_server, "three.test"), "it listens again"
    children = worker.children()
    assert second in children
    worker.stop()
    assert wait_until(lambda: not any(child.is_running() for child in children), PATIENCE_SECONDS)
    assert [line for line in worker.lines if line.get("event") == "watch_broke"] == []


async def test_a_watch_does_not_outlive_a_worker_that_was_killed(worker: WorkerProcess) -> None:
    watch = watch_of(worker)
    psutil.Process(worker.pid).send_signal(signal.SIGKILL)
    assert wait_until(lambda: not watch.is_running() or watch.status() == psutil.STATUS_ZOMBIE, PATIENCE_SECONDS)
