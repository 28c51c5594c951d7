"""The fakes, held to what the real services are held to."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from ml_shared.names import Service, Stage
from ml_shared.testing.fake_peer import USER
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.orchestrator_contract import OrchestratorContract
from ml_shared.testing.stages import FakeChunking, FakeEmbedding, FakeScraper
from ml_shared.testing.stages_contract import ChunkingContract, EmbeddingContract, ScraperContract

CALLERS = {
    "key-of-the-orchestrator": Service.ORCHESTRATOR,
    "key-of-the-scraper": Service.SCRAPER,
    "key-of-embedding": Service.EMBEDDING,
    "key-of-a-user": USER,
}


class _Keys:
    orchestrator_key = "key-of-the-orchestrator"
    scraper_key = "key-of-the-scraper"
    embedding_key = "key-of-embedding"
    user_key = "key-of-a-user"
    max_content_bytes = 1_000

    def __init__(self, url: str) -> None:
        self.url = url


class _Orchestrator(_Keys):
    def __init__(self, fake: FakeOrchestrator) -> None:
        super().__init__(fake.url)
        self._fake = fake

    async def hand_out(self, stage: Stage, job_id: str | None = None) -> tuple[str, str]:
        return self._fake.hand_out(stage, job_id=job_id)

    async def hand_out_with_content(self, body: bytes) -> tuple[str, str, str]:
        job_id, attempt_id = self._fake.hand_out(Stage.EMBEDDING)
        return job_id, attempt_id, self._fake.keep(body, job_id=job_id)

    async def page_of(self, job_id: str) -> bytes | None:
        (ref,) = {callback.content_ref for callback in self._fake.callbacks_for(job_id) if callback.content_ref}
        return self._fake.contents[ref].body


class _Queue(_Keys):
    def __init__(self, fake: FakeScraper | FakeEmbedding) -> None:
        super().__init__(fake.url)
        self._fake = fake

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        self._fake.max_depth, depth = 0, self._fake.max_depth
        yield
        self._fake.max_depth = depth

    async def wipe(self) -> None:
        self._fake.wipe()


@pytest.fixture(scope="module")
def orchestrator() -> Iterator[_Orchestrator]:
    with FakeOrchestrator(callers=CALLERS, strict=True, max_content_bytes=1_000) as fake:
        yield _Orchestrator(fake)


@pytest.fixture(scope="module")
def scraper_queue() -> Iterator[_Queue]:
    with FakeScraper(callers=CALLERS) as fake:
        yield _Queue(fake)


@pytest.fixture(scope="module")
def embedding_queue() -> Iterator[_Queue]:
    with FakeEmbedding(callers=CALLERS) as fake:
        yield _Queue(fake)


@pytest.fixture(scope="module")
def chunking() -> Iterator[_Keys]:
    with FakeChunking(callers=CALLERS) as fake:
        yield _Keys(fake.url)


class TestFakeOrchestrator(OrchestratorContract):
    @pytest.fixture
    def peer(self, orchestrator: _Orchestrator) -> _Orchestrator:
        return orchestrator


class TestFakeScraper(ScraperContract):
    @pytest.fixture
    def peer(self, scraper_queue: _Queue) -> _Queue:
        return scraper_queue


class TestFakeEmbedding(EmbeddingContract):
    @pytest.fixture
    def peer(self, embedding_queue: _Queue) -> _Queue:
        return embedding_queue


class TestFakeChunking(ChunkingContract):
    @pytest.fixture
    def peer(self, chunking: _Keys) -> _Keys:
        return chunking
