"""The real service, held to what its fake is held to."""

import httpx
import pytest
from conftest import ORCHESTRATOR_KEY, USER_KEY

from ml_shared.testing.stages_contract import ChunkingContract


class _Chunking:
    orchestrator_key = ORCHESTRATOR_KEY
    user_key = USER_KEY

    def __init__(self, url: str) -> None:
        self.url = url


class TestChunking(ChunkingContract):
    @pytest.fixture
    def peer(self, client: httpx.Client) -> _Chunking:
        return _Chunking(str(client.base_url))
