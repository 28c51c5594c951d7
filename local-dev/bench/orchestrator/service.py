"""The orchestrator's own code on a PostgreSQL of its own, and its API in a process of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from chores.folders import REPOSITORY

from bench.orchestrator.filling import fill
from bench.services import NOWHERE, import_from
from ml_shared.auth.context import hash_key
from ml_shared.names import Service
from ml_shared.storage.migrations import migrate
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.servers import PostgresServer, RedisServer, free_port, wait_until

KEY: Final = "key-of-the-bench"
SCRAPER_KEY: Final = "scraper-key-of-the-bench"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
WITHOUT_LIMITS: Final = {
    "RATE_LIMIT_TIERS": "default=1000000",
    "RATE_LIMIT_CAPACITY": "2000000",
    "MAX_OPEN_JOBS_PER_OWNER": "100000000",
}
# one client is the whole load: what it may ask for is not what is measured here


def settings_of(jobs: str = NOWHERE, content: str = NOWHERE, redis: str = "redis://127.0.0.1:9/0") -> dict[str, str]:
    """Return the variables of an orchestrator that has these databases."""
    addresses = {
        f"{service.upper()}_URL": NOWHERE for service in (Service.SCRAPER, Service.CHUNKING, Service.EMBEDDING)
    }
    internal = f"scraper={hash_key(SCRAPER_KEY)},embedding={hash_key('embedding-' + KEY)}"
    own = {"DATABASE_URL": jobs, "CONTENT_STORE_URL": content, "REDIS_URL": redis, "SERVICE_API_KEY": KEY}
    return {**addresses, **own, **WITHOUT_LIMITS, "INTERNAL_CALLER_IDS": internal, "WORKER_METRICS_PORT": "0"}


def core(module: str) -> Any:
    """Import a module of the orchestrator's core."""
    return import_from(Service.ORCHESTRATOR, f"app.core.{module}", **settings_of())


class Databases:
    """Empty databases with the schema, as many as are wanted, on one server."""

    def __init__(self, postgres: PostgresServer) -> None:
        self.postgres = postgres
        self._templates = postgres.create_database(), postgres.create_database()

    async def prepare(self) -> None:
        """Apply the migrations, once for all copies."""
        database = core("database")
        for name, folder in zip(self._templates, (database.MIGRATIONS, database.CONTENT_MIGRATIONS), strict=True):
            await migrate(self.postgres.dsn(name), folder)

    @contextmanager
    def copied(self) -> Iterator[tuple[str, str]]:
        """Yield the addresses of two: jobs, content."""
        jobs, content = self.postgres.copy_databases(*self._templates)
        yield self.postgres.dsn(jobs), self.postgres.dsn(content)
        self.postgres.drop_database(jobs, content)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Opened"]:
        """Yield two new ones, opened as the service does; the stages have their rows."""
        pipeline, claims = core("dispatch.pipeline"), core("dispatch.claims")
        with self.copied() as dsns:
            async with core("database").open_databases(*dsns, max_size=8) as (jobs, content):
                async with jobs.acquire() as connection:
                    await claims.ensure_stages(connection, [definition.stage for definition in pipeline.PIPELINE])
                yield Opened(dsns, jobs, content)


@dataclass(frozen=True)
class Opened:
    """Databases, and the service's pools of connections to them."""

    dsns: tuple[str, str]
    jobs: Any
    content: Any

    async def fill(self, jobs: int, *, owners: int, hosts: int) -> None:
        """Queue jobs, over a connection of its own: the service's give a statement some seconds."""
        connection = await asyncpg.connect(self.dsns[0])
        try:
            await fill(connection, jobs, owners=owners, hosts=hosts)
        finally:
            await connection.close()


@contextmanager
def api(dsns: tuple[str, str], **more: str) -> Iterator[tuple[str, int]]:
    """Run the API, one process, beside a Redis and a Membership of its own; yield its address and its process id.

    Parameters
    ----------
    more
        Further variables of it.
    """
    with (
        RedisServer() as redis,
        FakeMembership() as membership,
        tempfile.TemporaryDirectory(prefix="ml-bench-") as folder,
    ):
        membership.add(KEY)
        environment = os.environ | settings_of(*dsns, redis.url)
        environment |= {"MEMBERSHIP_URL": membership.url, "SERVICE_NAME": Service.ORCHESTRATOR}
        environment |= {"PROMETHEUS_MULTIPROC_DIR": folder, "OTEL_SDK_DISABLED": "true", **more}
        port = free_port()
        log = Path(folder) / "api.log"
        command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port), "--no-access-log"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=REPOSITORY / Service.ORCHESTRATOR, env=environment, stdout=out, stderr=out
            )
        url = f"http://127.0.0.1:{port}"
        try:
            if not wait_until(lambda: process.poll() is not None or _answers(url), START_SECONDS) or process.poll():
                raise RuntimeError(f"the API did not start: {log.read_text()[-2_000:]}")
            yield url, process.pid
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
