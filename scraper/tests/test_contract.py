"""The real scraper, held to what its fake is held to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from conftest import ORCHESTRATOR_KEY, USER_KEY
from redis.asyncio import Redis

from ml_shared.testing.stages_contract import ScraperContract


class _Scraper:
    orchestrator_key = ORCHESTRATOR_KEY
    user_key = USER_KEY

    def __init__(self, url: str, redis: Redis) -> None:
        self.url = url
        self._redis = redis

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        await self._redis.rpush("scraper", *["{}"] * 1_000)
        yield
        await self._redis.delete("scraper")

    async def wipe(self) -> None:
        await self._redis.flushall()


class TestScraper(ScraperContract):
    @pytest.fixture
    def peer(self, api: str, redis: Redis) -> _Scraper:
        return _Scraper(api, redis)
