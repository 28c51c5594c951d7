"""The scraper's surroundings, real: Redis, Membership, an orchestrator, and websites on addresses of loopback.

They are started once a run, because settings are read when `app.config` is imported.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from redis.asyncio import Redis
from sites import Site, serve

from ml_shared.auth.context import hash_key
from ml_shared.clients.tls import shared_tls
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.servers import RedisServer, wait_until

if TYPE_CHECKING:
    from shared_extraction import SharedExtraction

    from app.config import Settings
    from app.core.extraction.pool import ExtractionPool
    from app.core.logic import Scraper

USER_KEY = "test-user-key-0123456789"
OTHER_KEY = "test-other-key-0123456789"
ORCHESTRATOR_KEY = "test-orchestrator-key-0123456789"
ROUNDING_SECONDS = 0.02
# waits are told in milliseconds, and two clocks are compared
WAIT_SECONDS = 60.0
# with whatever is to succeed: a machine that is short of time may need ten times as long as another, and stand still
# for seconds


@contextmanager
def socket_folder() -> Iterator[Path]:
    """Make a folder whose path leaves room for a socket's, which may have a hundred letters."""
    with tempfile.TemporaryDirectory(prefix="renderer-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Surroundings:
    """What the scraper talks to."""

    redis: RedisServer
    membership: FakeMembership
    orchestrator: FakeOrchestrator
    site: Site  # on 127.0.0.1
    other: Site  # on 127.0.0.2
    environment: dict[str, str]


@pytest.fixture(scope="session", autouse=True)
def surroundings(redis_server: RedisServer) -> Iterator[Surroundings]:
    site, other = Site(), Site()
    with ExitStack() as stack:
        membership = stack.enter_context(FakeMembership())
        orchestrator = stack.enter_context(FakeOrchestrator())
        stack.enter_context(serve(site, "127.0.0.1"))
        stack.enter_context(serve(other, "127.0.0.2"))
        membership.add(USER_KEY)
        membership.add(OTHER_KEY)
        environment = {
            "SERVICE_NAME": "scraper",
            "MEMBERSHIP_URL": membership.url,
            "ORCHESTRATOR_URL": orchestrator.url,
            "SERVICE_API_KEY": "test-scraper-key-0123456789",
            "ORCHESTRATOR_KEY_HASH": hash_key(ORCHESTRATOR_KEY),
            "REDIS_URL": redis_server.url,
            "ALLOWED_PRIVATE_NETWORKS": "127.0.0.1/32, 127.0.0.2/32",
            "ALLOWED_PORTS": f"{site.port},{other.port}",
            "HOST_DELAY_SECONDS": "0",
            "SYNC_TIMEOUT_SECONDS": "60",
            "FETCH_TIMEOUT_SECONDS": str(WAIT_SECONDS),
            "CONNECT_TIMEOUT_SECONDS": str(WAIT_SECONDS),
            "EXTRACT_TIMEOUT_SECONDS": str(WAIT_SECONDS),
            "WORKER_METRICS_PORT": "0",
            "PYROSCOPE_SERVER_ADDRESS": "",
            "RENDERER_URL": f"unix://{stack.enter_context(socket_folder())}/socket",  # where a test may have one listen
            "RENDER_TIMEOUT_SECONDS": str(WAIT_SECONDS),
        }
        os.environ.update(environment)
        yield Surroundings(redis_server, membership, orchestrator, site, other, environment)


@pytest.fixture(autouse=True)
def _fresh(surroundings: Surroundings) -> None:
    surroundings.redis.flush()
    surroundings.site.reset()
    surroundings.other.reset()
    surroundings.orchestrator.reset()


@pytest.fixture
def site(surroundings: Surroundings) -> Site:
    return surroundings.site


@pytest.fixture
def other(surroundings: Surroundings) -> Site:
    return surroundings.other


@pytest.fixture
def orchestrator(surroundings: Surroundings) -> FakeOrchestrator:
    return surroundings.orchestrator


@pytest.fixture(scope="session")
def settings(surroundings: Surroundings) -> "Settings":
    from app.config import settings

    return settings


@pytest.fixture
async def redis(surroundings: Surroundings) -> AsyncIterator[Redis]:
    async with open_redis(surroundings.redis.url, timeout_seconds=WAIT_SECONDS) as client:
        yield client


_EXTRACTION: "list[SharedExtraction]" = []


@pytest.fixture(scope="session", autouse=True)
def extraction(surroundings: Surroundings) -> "Iterator[SharedExtraction]":
    """The process that the tests share, for those that leave it as it is."""
    from shared_extraction import SharedExtraction

    with SharedExtraction(WAIT_SECONDS) as shared:
        _EXTRACTION.append(shared)
        yield shared
        _EXTRACTION.clear()


@asynccontextmanager
async def scraper_with(
    settings: "Settings", redis: Redis, resolver: Any = None, **changes: Any
) -> "AsyncIterator[Scraper]":
    """Open a scraper with other settings; it extracts in the process that the tests share."""
    from app.core.logic import open_scraper

    changed = settings.model_copy(update=changes)
    async with open_scraper(changed, redis, processes=1, resolver=resolver, ssl_context=shared_tls()) as scraper:
        yield replace(scraper, extraction=cast("ExtractionPool", _EXTRACTION[0]))


def left_of(seconds: float, began: float) -> Any:
    """What is left of a time that began since then: not more than all of it, nor less than if it had begun at once."""
    passed = time.monotonic() - began
    return pytest.approx(seconds - passed / 2, abs=passed / 2 + ROUNDING_SECONDS)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition while this loop goes on with what it has to do."""
    assert await asyncio.to_thread(wait_until, condition, WAIT_SECONDS), "it never came"


@pytest.fixture(scope="session")
def api(settings: "Settings") -> Iterator[str]:
    """The address of the real application, served over HTTP."""
    from app.main import app

    with ThreadedServer(app, keep_alive_seconds=3600) as server:  # or it might end a connection just as a test uses it
        yield server.url


def api_client(api: str, **headers: str) -> httpx.AsyncClient:
    """Return a client of the API, with the patience that a test has."""
    return httpx.AsyncClient(base_url=api, headers=headers, timeout=WAIT_SECONDS, verify=shared_tls())


@pytest.fixture
async def client(api: str) -> AsyncIterator[httpx.AsyncClient]:
    """A user's client of the API."""
    async with api_client(api, **{"X-API-Key": USER_KEY}) as opened:
        yield opened


@pytest.fixture(scope="session")
def user(api: str) -> Iterator[httpx.Client]:
    """The same, for a test that has no loop."""
    headers = {"X-API-Key": USER_KEY}
    with httpx.Client(base_url=api, headers=headers, timeout=WAIT_SECONDS, verify=shared_tls()) as opened:
        yield opened


@pytest.fixture(scope="session")
def scrape_task(settings: "Settings") -> Iterator[Any]:
    """The Celery task, to be applied in this process."""
    from app.worker.celery_app import app
    from app.worker.tasks import scrape_task

    yield scrape_task
    app.runtime.close()
