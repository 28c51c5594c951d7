"""The real service, held to what its fake is held to."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from ml_shared.testing.endpoint import FakeEndpoint
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.servers import RedisServer
from ml_shared.testing.stages_contract import EmbeddingContract

from .conftest import ALICE, ORCHESTRATOR, service_settings


class _Embedding:
    orchestrator_key = ORCHESTRATOR["X-API-Key"]
    user_key = ALICE["X-API-Key"]

    def __init__(self, url: str, redis: RedisServer) -> None:
        self.url = url
        self._redis = redis

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        self._redis.command("RPUSH", "embed_jobs", *["{}"] * service_settings.MAX_QUEUE_DEPTH)
        yield
        self._redis.command("DEL", "embed_jobs")

    async def wipe(self) -> None:
        self._redis.flush()


@pytest.fixture(scope="module")
def served(
    _broker: None, migrated_database: str, fake_endpoint: FakeEndpoint, members: FakeMembership
) -> Iterator[str]:
    """The address of the real application."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_settings, "DATABASE_URL", migrated_database)
        patch.setattr(service_settings, "EMBEDDING_API_BASE_URL", fake_endpoint.base_url)
        patch.setattr(service_settings, "MEMBERSHIP_URL", members.url)
        from app.main import app

        with ThreadedServer(app) as server:
            yield server.url


class TestEmbedding(EmbeddingContract):
    @pytest.fixture
    def peer(self, served: str, redis_server: RedisServer) -> _Embedding:
        redis_server.flush()
        return _Embedding(served, redis_server)
