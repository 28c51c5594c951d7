"""Databases of this test's own, and an orchestrator's core on them."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

LAST_WORD = "the last one"
ORCHESTRATOR_KEY = "orchestrator-key-of-the-tests"
ALICE, BOB = "alice-raw-key-canary", "bob-raw-key-canary"
WEBHOOK_KEY = "a-key-to-seal-secrets-with-canary"
SCRAPER, EMBEDDING = "scraper-raw-key-canary", "embedding-raw-key-canary"

# settings are read when the app's modules are first imported; what a test varies it passes itself
os.environ.update(
    SERVICE_NAME="orchestrator",
    MEMBERSHIP_URL="http://127.0.0.1:9",
    REDIS_URL="redis://127.0.0.1:9/0",
    DATABASE_URL="postgresql+asyncpg://nobody@127.0.0.1:9/ml_jobs",
    CONTENT_STORE_URL="postgresql+asyncpg://nobody@127.0.0.1:9/ml_content",
    SCRAPER_URL="http://127.0.0.1:9",
    CHUNKING_URL="http://127.0.0.1:9",
    EMBEDDING_URL="http://127.0.0.1:9",
    SERVICE_API_KEY=ORCHESTRATOR_KEY,
    WORKER_METRICS_PORT="0",
)

from app.core.database import CONTENT_MIGRATIONS, MIGRATIONS, open_databases
from app.core.dispatch import claims, recovery
from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.pipeline import PIPELINE, definition_of
from app.core.jobs import submission, transitions
from app.worker.nudging import CHANNEL
from ml_shared.auth.context import hash_key
from ml_shared.contracts.jobs import (
    CallbackStatus,
    JobRequest,
    ProgressPhase,
    ProgressReport,
    StageCallback,
)
from ml_shared.names import Service, Stage
from ml_shared.storage.migrations import migrate
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.servers import PostgresServer
from ml_shared.testing.stages import FakeChunking, FakeEmbedding, FakeScraper


@pytest.fixture(scope="session")
def migrated_databases(postgres_server: PostgresServer) -> tuple[str, str]:
    """The names of databases that have the schema and nothing else, to be copied: jobs, content."""
    # what the server learns of tables by itself, and when, is chance
    postgres_server.sql("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
    jobs, content = postgres_server.create_database(), postgres_server.create_database()

    async def apply() -> None:
        await migrate(postgres_server.dsn(jobs), MIGRATIONS)
        await migrate(postgres_server.dsn(content), CONTENT_MIGRATIONS)

    asyncio.run(apply())
    return jobs, content


@contextmanager
def copied(postgres: PostgresServer, templates: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """DSNs of databases of one's own that have the schema and nothing else: jobs, content."""
    jobs, content = postgres.copy_databases(*templates)
    yield postgres.dsn(jobs), postgres.dsn(content)
    postgres.drop_database(jobs, content)


@pytest.fixture
def own_databases(postgres_server: PostgresServer, migrated_databases: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """DSNs of databases that no other test has: for one that changes their schema or plans, or leaves processes behind."""
    with copied(postgres_server, migrated_databases) as dsns:
        yield dsns


@pytest.fixture(scope="session")
def shared_databases(postgres_server: PostgresServer, migrated_databases: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """DSNs of the databases that tests have one after the other: jobs, content."""
    with copied(postgres_server, migrated_databases) as dsns:
        yield dsns


_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_EMPTY = """
DO $$
DECLARE
    written text;
BEGIN
    SELECT string_agg(oid::regclass::text, ', ') INTO written FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'schema_migrations' AND pg_relation_size(oid) > 0;
    IF written IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || written || ' RESTART IDENTITY CASCADE';
    END IF;
END $$
"""


async def make_new(dsn: str) -> None:
    """End whatever still works on a database, and take out all that was written to it.

    To make a copy takes ten times as long. What the server has learnt of its tables stays: who tests for plans has his own.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_END_SESSIONS)
        await connection.execute(_EMPTY)
    finally:
        await connection.close()


@pytest.fixture
def databases(shared_databases: tuple[str, str]) -> tuple[str, str]:
    """DSNs of migrated databases with nothing in them: jobs, content."""

    async def make_both_new() -> None:
        await asyncio.gather(*map(make_new, shared_databases))

    asyncio.run(make_both_new())
    return shared_databases


LIMITS = transitions.Limits(60, 3600, 86_400, 4)


@dataclass
class Core:
    """The orchestrator's core on real databases, in the verbs of the tests."""

    pool: asyncpg.Pool
    content_pool: asyncpg.Pool
    limits: transitions.Limits = LIMITS
    in_flight: int = 8

    async def submit(self, url: str, owner: str = "key:a", **more: Any) -> str:
        fields: dict[str, Any] = {"traceparent": None, "idempotency_key": None, "max_open_jobs": 1000} | more
        accepted = await submission.submit(self.pool, owner, JobRequest(url=url), **fields)
        return accepted.job_id

    async def claim(self, stage: Stage, *, high_water: int = 1000, lease_seconds: float = 30) -> list[HandOut]:
        return await claims.claim(
            self.pool,
            definition_of(stage),
            in_flight=self.in_flight,
            high_water=high_water,
            lease_seconds=lease_seconds,
        )

    async def queued(
        self, job: HandOut, *, queue_epoch: str, lease_seconds: float = 900, traceparent: str | None = None
    ) -> int:
        handed = [(job, traceparent)]
        return await claims.queued(self.pool, job.stage, handed, queue_epoch=queue_epoch, lease_seconds=lease_seconds)

    async def claim_one(self, stage: Stage) -> HandOut:
        (job,) = await self.claim(stage)
        return job

    async def started(self, job: HandOut, phase: ProgressPhase = ProgressPhase.STARTED) -> bool:
        """Report progress; say whether the worker may go on."""
        report = ProgressReport(attempt_id=str(job.attempt_id), stage=job.stage, phase=phase)
        answer, _ = await transitions.progress(self.pool, job.job_id, definition_of(job.stage), report, self.limits)
        return answer is not None

    async def complete(self, job: HandOut, **fields: Any) -> transitions.Transition:
        callback = StageCallback(
            **{"attempt_id": str(job.attempt_id), "stage": job.stage, "status": CallbackStatus.SUCCESS} | fields
        )
        return await transitions.complete(self.pool, job.job_id, definition_of(job.stage), callback, self.limits)

    async def defer(self, job: HandOut, code: str, **fields: Any) -> transitions.Transition:
        return await self.complete(job, status=CallbackStatus.DEFERRED, error_code=code, **fields)

    async def recover(self) -> tuple[list[Any], list[Any]]:
        return await recovery.recover(self.pool, self.limits, queue_lease_seconds=900)

    async def row(self, job_id: Any) -> Any:
        return await self.pool.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)

    async def expire_leases(self) -> None:
        await self.pool.execute("UPDATE leases SET expires_at = now() - interval '1 second'")

    async def time_has_come(self) -> None:
        """Let everything that waits for a time have waited."""
        await self.pool.execute("UPDATE jobs SET not_before = now() WHERE placement = 'waiting'")
        await self.pool.execute("UPDATE lanes SET next_at = now()")

    def with_limits(self, **limits: Any) -> "Core":
        return replace(self, limits=replace(self.limits, **limits))


@asynccontextmanager
async def open_core(databases: tuple[str, str]) -> AsyncIterator[Core]:
    async with open_databases(*databases, max_size=8) as (jobs, content):
        async with jobs.acquire() as connection:
            await claims.ensure_stages(connection, [definition.stage for definition in PIPELINE])
        yield Core(jobs, content)


@pytest.fixture
async def core(databases: tuple[str, str]) -> AsyncIterator[Core]:
    async with open_core(databases) as opened:
        yield opened


@pytest.fixture
async def own_core(own_databases: tuple[str, str]) -> AsyncIterator[Core]:
    async with open_core(own_databases) as opened:
        yield opened


@dataclass
class Fleet:
    """The services that run the stages."""

    scraper: FakeScraper
    chunking: FakeChunking
    embedding: FakeEmbedding

    @property
    def addresses(self) -> dict[Service, str]:
        return {
            Service.SCRAPER: self.scraper.url,
            Service.CHUNKING: self.chunking.url,
            Service.EMBEDDING: self.embedding.url,
        }


@pytest.fixture
def fleet(fake_scraper: FakeScraper, fake_chunking: FakeChunking, fake_embedding: FakeEmbedding) -> Fleet:
    return Fleet(fake_scraper, fake_chunking, fake_embedding)


PATIENCE_SECONDS = 60.0
# the services' own are a second or two, for which a test's process, or its servers, may be stopped


def be_patient(patch: pytest.MonkeyPatch) -> None:
    """Let no answer of a server that is there come too late: no test is about these."""
    patch.setattr("ml_shared.auth.membership.MEMBERSHIP_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    patch.setattr("ml_shared.http.health.CHECK_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    patch.setattr("ml_shared.telemetry.readings.READ_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    patch.setattr("app.worker.nudging.SEND_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    patient_redis = partial(open_redis, timeout_seconds=PATIENCE_SECONDS)
    patch.setattr("ml_shared.service.open_redis", patient_redis)
    patch.setattr("app.worker.celery_app.open_redis", patient_redis)


def point_settings(
    patch: pytest.MonkeyPatch, databases: tuple[str, str], redis_url: str, membership: FakeMembership
) -> Any:
    """Point the app's settings at servers of the tests, and return them."""
    from app.config import settings

    be_patient(patch)
    for name, value in {
        "DATABASE_URL": databases[0],
        "CONTENT_STORE_URL": databases[1],
        "REDIS_URL": redis_url,
        "MEMBERSHIP_URL": membership.url,
        "INTERNAL_CALLER_IDS": {Service.SCRAPER: (hash_key(SCRAPER),), Service.EMBEDDING: (hash_key(EMBEDDING),)},
        "MAX_OPEN_JOBS_PER_OWNER": 5,
        "WEBHOOK_SECRET_KEY": SecretStr(WEBHOOK_KEY),
    }.items():
        patch.setattr(settings, name, value)
    membership.add(ALICE)
    membership.add(BOB)
    from app.worker.celery_app import app as celery_app

    celery_app.conf.broker_url = redis_url
    return settings


@pytest.fixture
def configured(
    databases: tuple[str, str],
    redis_url: str,
    membership: FakeMembership,
    fleet: Fleet,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The app's settings, pointed at this test's servers and fakes."""
    settings = point_settings(monkeypatch, databases, redis_url, membership)
    for service, url in fleet.addresses.items():
        monkeypatch.setattr(settings, f"{service.upper()}_URL", url)
    return settings


@asynccontextmanager
async def heard(redis_url: str) -> AsyncIterator[list[str]]:
    """What passes are asked for within the block, in order; all of it when the block has ended."""
    words: list[str] = []
    async with Redis.from_url(redis_url) as redis, redis.pubsub(ignore_subscribe_messages=False) as channel:
        await channel.subscribe(CHANNEL)
        await channel.get_message(timeout=30)  # that it is subscribed
        yield words
        await redis.publish(CHANNEL, LAST_WORD)
        async for message in channel.listen():
            word = message["data"].decode()
            if word == LAST_WORD:
                break
            words.append(word)


@pytest.fixture
async def api(configured: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The API in this process, its lifespan running."""
    from app.main import app

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://orchestrator") as client:
            yield client


@pytest.fixture
def tasks(configured: Any) -> Iterator[Any]:
    from app.worker import tasks as module
    from app.worker.celery_app import app

    yield module
    app.runtime.close()
