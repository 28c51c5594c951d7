"""A gateway, and clients of it that do not wait long for anything."""

from collections.abc import Iterator

import pytest
from cloudcix_ml import Client
from cloudcix_ml.core import exchange
from cloudcix_ml.operations import following
from fake_gateway import KEY, FakeGateway


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as fake:
        yield fake


@pytest.fixture
def client(gateway: FakeGateway) -> Iterator[Client]:
    with Client(gateway.url, KEY, patience_seconds=60.0) as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between attempts and looks, shortened; that they are kept is tested without a clock."""
    monkeypatch.setattr(exchange, "FIRST_WAIT_SECONDS", 0.005)
    monkeypatch.setattr(following, "FIRST_POLL_SECONDS", 0.005)
    monkeypatch.setattr(following, "LONGEST_POLL_SECONDS", 0.02)
    monkeypatch.setattr(following, "LEAST_GAP_SECONDS", 0.0)
