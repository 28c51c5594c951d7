"""A small service's worker within this process, for the tests of its tasks."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from redis import Redis

from ml_shared.testing.orchestrator import FakeOrchestrator


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
