"""One native fleet for all end-to-end tests: real services, and a web, an endpoint and a collector to watch.

Its leases outlast a machine that stalls for seconds, and one that is slow: one that ran out under a live worker would have
a page fetched twice, where tests count; and with a queue's shorter than the wait in it, every message that a worker
takes is an attempt that is superseded already. A test that waits for a lease has it end at once: `Stage.let_leases_end`.
"""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from e2e_browser import Console, find_chromium, open_browser
from e2e_caller import Caller
from e2e_web import NETWORK, HoldingProxy, TestWeb
from fleet import Fleet
from fleet.composition import PORTS
from fleet.ports import choose_ports
from playwright.sync_api import Browser

from ml_shared.settings import postgres_dsn
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.otlp import OtlpReceiver
from ml_shared.testing.plugin import require

if TYPE_CHECKING:
    from e2e_outside import Surroundings

HERE = Path(__file__).parent
HOLD_SECONDS = 70
# longer than a test holds a page, and less than the page is waited for
HANGS_SECONDS = 900
# more than all that a test waits for on a machine that does other things


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("timeout") is None:
        for item in items:
            if item.path.parent == HERE and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(HANGS_SECONDS))


@dataclass
class Stage:
    """Everything that a test can look at, or harm."""

    fleet: Fleet
    web: TestWeb
    proxy: HoldingProxy
    otlp: OtlpReceiver

    def dsn(self, server: str, database: str) -> str:
        return postgres_dsn(self.fleet.addresses.database(server, database))

    def sql(self, server: str, database: str, statement: str, *arguments: Any) -> list[Any]:
        """Run one statement on a database of the fleet."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.dsn(server, database))
            try:
                rows: list[Any] = await connection.fetch(statement, *arguments)
                return rows
            finally:
                await connection.close()

        # in a thread of its own: a browser's driver has a loop in this one
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()

    def jobs_sql(self, statement: str, *arguments: Any) -> list[Any]:
        return self.sql("postgres", "ml_jobs", statement, *arguments)

    def vectors_sql(self, statement: str, *arguments: Any) -> list[Any]:
        return self.sql("postgres-vectors", "ml_vectors", statement, *arguments)

    def let_leases_end(self, jobs: Sequence[str], which: str) -> None:
        """Have time pass for leases of these jobs: as if each that is of `which` had run out.

        Parameters
        ----------
        which
            A condition of SQL on the table `leases`.
        """
        self.jobs_sql(
            f"UPDATE leases SET expires_at = now() - interval '1 second' WHERE job_id = ANY($1::uuid[]) AND ({which})",
            list(jobs),
        )

    def flush(self, name: str) -> None:
        """`FLUSHALL` on one of the fleet's Redis."""
        import redis

        with redis.Redis.from_url(self.fleet.addresses.redis(name)) as client:
            client.flushall()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / ".state", tied=True)
    fleet.layout.make()
    ports = choose_ports(fleet.layout.ports, PORTS)
    proxy = HoldingProxy(f"http://127.0.0.1:{ports['endpoint']}")
    with TestWeb(hold_seconds=HOLD_SECONDS) as web, OtlpReceiver() as otlp, ThreadedServer(proxy.app) as proxy_server:
        spans = {
            "API_PROCESSES": "2",  # as deployed
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_TRACES_SAMPLER_ARG": "1.0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        worker = {"LEASE_RENEW_SECONDS": "10", **spans}
        fleet = Fleet(
            fleet.layout.state,
            tied=True,
            overrides={
                "orchestrator": {
                    "RUN_LEASE_SECONDS": "30",
                    "RECOVERY_INTERVAL_SECONDS": "0.5",
                    "DISPATCH_INTERVAL_SECONDS": "0.5",
                    **spans,
                },
                "scraper": {
                    "ALLOWED_PRIVATE_NETWORKS": f"127.0.0.1/32,{NETWORK}",
                    "ALLOWED_PORTS": f"{ports['demo-site']},{web.port}",
                    "HOST_DELAY_SECONDS": "0.05",
                    "FETCH_TIMEOUT_SECONDS": str(HOLD_SECONDS + 20),
                    **worker,
                },
                "chunking": spans,
                "embedding": {"EMBEDDING_API_BASE_URL": f"{proxy_server.url}/v1", **worker},
            },
        )
        with fleet:
            yield Stage(fleet, web, proxy, otlp)


@pytest.fixture(scope="session")
def surroundings(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Surroundings"]:
    """Exporters of the fleet and an nginx, for whoever scrapes them: one set for all tests, since they are slow to start."""
    from e2e_outside import Surroundings, running

    around = Surroundings(stage, tmp_path_factory.mktemp("around"))
    with running(*around.programs.values()):
        yield around


@pytest.fixture
def caller(stage: Stage) -> Iterator[Caller]:
    """A user of the fleet."""
    user = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    yield user
    user.close()


@pytest.fixture
def other(stage: Stage) -> Iterator[Caller]:
    """Another user, who owns other things."""
    user = Caller(stage.fleet.gateway, stage.fleet.keys["other-user"])
    yield user
    user.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser for all tests; its driver keeps a loop in this thread: what else awaits something does so in another."""
    with open_browser(require(find_chromium)) as opened:
        yield opened


@pytest.fixture
def console(browser: Browser, stage: Stage) -> Iterator[Console]:
    """A tab with the console, and a user's key typed into it."""
    opened = Console.open(browser, stage.fleet.gateway, key=stage.fleet.keys["user"])
    yield opened
    opened.close()
