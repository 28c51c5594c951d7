"""A small service's worker, within this process or in processes of its own, for the tests of its tasks."""

import importlib
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from redis import Redis

from ml_shared.auth import cache, membership
from ml_shared.names import Queue
from ml_shared.ratelimit import shared_window
from ml_shared.settings import ServiceSettings
from ml_shared.storage import redis_client
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.servers import RedisServer
from ml_shared.testing.worker import WorkerProcess
from ml_shared.worker.celery import build_celery_app

TOGETHER = frozenset(
    {
        "test_auth_revocation.py",
        "test_fakes_contract.py",
        "test_packs.py",
        "test_peer.py",
        "test_store_urls.py",
        "test_worker_lasting.py",
        "test_worker_telemetry.py",
    }
)
# modules whose tests share processes that are dear to start: they run in one process, or each would start them anew
DEAR = (
    "test_worker_",
    "test_api_process",
    "test_packs",
    "test_testing_servers",
    "test_instrumentation",
    "test_queue_shares",
)
# modules that take longest: they come first, or one of them is what all others wait for at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.name.startswith(DEAR))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if module.rpartition("/")[2] in TOGETHER else nodeid

    return Scheduling(config, log)


PATIENCE_SECONDS = 30.0
# a machine that stands still for a moment is neither a failing Redis nor a failing Membership


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within this process nothing is given up that would have come; a test of that sets a time of its own."""
    monkeypatch.setattr(membership, "MEMBERSHIP_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    for module in (cache, shared_window):
        monkeypatch.setattr(module, "REDIS_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    opening: Any = redis_client.open_redis
    monkeypatch.setitem(opening.__wrapped__.__kwdefaults__, "timeout_seconds", PATIENCE_SECONDS)


@pytest.fixture
def worker(
    monkeypatch: pytest.MonkeyPatch, redis_url: str, fake_orchestrator: FakeOrchestrator
) -> Iterator[ModuleType]:
    """The worker app, imported afresh with this test's servers."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("ORCHESTRATOR_URL", fake_orchestrator.url)
    monkeypatch.setenv("SERVICE_API_KEY", "sk-the-workers-own-key")
    monkeypatch.setenv("LEASE_RENEW_SECONDS", "0.1")
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    sys.modules.pop("worker_app", None)
    module = importlib.import_module("worker_app")
    yield module
    module.app.runtime.close()
    sys.modules.pop("worker_app", None)


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="session")
def start_at(redis_server: RedisServer, _orchestrator_server: FakeOrchestrator) -> Callable[..., WorkerProcess]:
    """Makes a worker process of the run's servers, in whatever state they are."""

    def start_worker(*, concurrency: int = 1, options: tuple[str, ...] = (), **env: str | None) -> WorkerProcess:
        values = {
            "REDIS_URL": redis_server.url,
            "ORCHESTRATOR_URL": _orchestrator_server.url,
            "SERVICE_API_KEY": "sk-the-workers-own-key",
            "SERVICE_NAME": "scraper",
            "LEASE_RENEW_SECONDS": "1",
            "WORKER_METRICS_PORT": "0",
            "PYTHONWARNINGS": "error::RuntimeWarning",
            **env,
        }
        return WorkerProcess(
            "worker_app",
            queue="scraper",
            folder=Path(__file__).parent,
            env=values,
            concurrency=concurrency,
            options=options,
        )

    return start_worker


@pytest.fixture
def start(
    start_at: Callable[..., WorkerProcess], redis_url: str, fake_orchestrator: FakeOrchestrator
) -> Callable[..., WorkerProcess]:
    """Makes a worker process, by its concurrency, options and environment."""
    return start_at


@pytest.fixture
def send(redis_url: str) -> Iterator[Callable[..., str]]:
    """Sends a worker process a task."""
    settings = ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=redis_url
    )
    app = build_celery_app(settings, queue=Queue.SCRAPER, include=[], resources=nullcontext)

    def send_task(
        *,
        task_id: str | None = None,
        headers: dict[str, str] | None = None,
        countdown: float | None = None,
        name: str = "probe.stage_task",
        **kwargs: Any,
    ) -> str:
        task_id = task_id or str(uuid.uuid4())
        options = {"task_id": task_id, "queue": "scraper", "headers": headers, "countdown": countdown}
        app.send_task(name, kwargs=kwargs, **options)
        return task_id

    yield send_task
    app.close()
