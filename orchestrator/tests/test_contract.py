"""The real orchestrator, held to what its fake is held to."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import pytest
from conftest import ALICE, EMBEDDING, SCRAPER, Core, copied, open_core, point_settings

from app.core.content.store import PostgresContentStore
from app.core.dispatch.pipeline import definition_of
from app.core.jobs import transitions
from ml_shared.contracts.jobs import CallbackStatus, StageCallback
from ml_shared.names import Stage
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.orchestrator_contract import OrchestratorContract
from ml_shared.testing.servers import PostgresServer, RedisServer

MAX_CONTENT_BYTES = 1_000


class _Orchestrator:
    scraper_key = SCRAPER
    embedding_key = EMBEDDING
    user_key = ALICE
    max_content_bytes = MAX_CONTENT_BYTES

    def __init__(self, url: str, core: Callable[[], AbstractAsyncContextManager[Core]]) -> None:
        self.url = url
        self._core = core

    async def hand_out(self, stage: Stage, job_id: str | None = None) -> tuple[str, str]:
        assert stage is Stage.SCRAPING
        async with self._core() as core:
            if job_id is None:
                count = await core.pool.fetchval("SELECT count(*) FROM jobs")
                job_id = await core.submit(f"http://host{count}.test/")
            else:  # nobody heard of the attempt that has it
                await core.pool.execute(
                    "UPDATE leases SET expires_at = now() - interval '1 second' WHERE job_id = $1", UUID(job_id)
                )
                await core.recover()
            (job,) = [job for job in await core.claim(stage) if str(job.job_id) == job_id]
        return job_id, str(job.attempt_id)

    async def hand_out_with_content(self, body: bytes) -> tuple[str, str, str]:
        job_id, _ = await self.hand_out(Stage.SCRAPING)
        async with self._core() as core:
            content = PostgresContentStore(core.content_pool, max_bytes=MAX_CONTENT_BYTES)
            row = await core.row(UUID(job_id))
            for stage in (Stage.SCRAPING, Stage.CHUNKING):
                if stage is Stage.CHUNKING:
                    await core.claim(stage)
                    row = await core.row(UUID(job_id))
                stored = await content.put(row["owner"], row["id"], row["attempt_id"], stage, body)
                callback = StageCallback(
                    attempt_id=str(row["attempt_id"]),
                    stage=stage,
                    status=CallbackStatus.SUCCESS,
                    content_ref=stored.content_ref,
                )
                await transitions.complete(core.pool, row["id"], definition_of(stage), callback, core.limits)
            (job,) = [job for job in await core.claim(Stage.EMBEDDING) if str(job.job_id) == job_id]
        return job_id, str(job.attempt_id), stored.content_ref

    async def page_of(self, job_id: str) -> bytes | None:
        async with self._core() as core:
            row = await core.row(UUID(job_id))
            assert row["stage"] == Stage.CHUNKING
            kept = await PostgresContentStore(core.content_pool, max_bytes=MAX_CONTENT_BYTES).get(row["content_ref"])
            return kept.body if kept else None


@pytest.fixture(scope="module")
def served(
    postgres_server: PostgresServer, migrated_databases: tuple[str, str], redis_server: RedisServer
) -> Iterator[_Orchestrator]:
    """The real application on databases of this module's own."""
    with (
        copied(postgres_server, migrated_databases) as databases,
        FakeMembership() as membership,
        pytest.MonkeyPatch.context() as patch,
    ):
        point_settings(patch, databases, redis_server.url, membership)
        from app.config import settings
        from app.main import app

        # after the app was made, which keeps the limit of its bodies for whatever test comes next
        patch.setattr(settings, "MAX_CONTENT_BYTES", MAX_CONTENT_BYTES)

        @asynccontextmanager
        async def core() -> AsyncIterator[Core]:
            async with open_core(databases) as opened:
                opened.in_flight = 1_000
                yield opened

        with ThreadedServer(app) as server:
            yield _Orchestrator(server.url, core)


class TestOrchestrator(OrchestratorContract):
    @pytest.fixture
    def peer(self, served: _Orchestrator) -> _Orchestrator:
        return served
