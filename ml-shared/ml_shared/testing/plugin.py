"""The pytest plugin of this project: real servers and the fakes of the peers, as fixtures.

It is loaded in every test run of an environment that has ml-shared, before any module of a service: nothing heavy is
imported here, and telemetry is told to stay on this machine.
"""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import pytest

from ml_shared.testing.binaries import BinaryMissingError, find_redis
from ml_shared.testing.postgres_setup import postgres_account
from ml_shared.testing.servers import PostgresServer, RedisServer
from ml_shared.testing.servers import free_port as find_free_port

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from ml_shared.testing.membership import FakeMembership
    from ml_shared.testing.orchestrator import FakeOrchestrator

os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")
os.environ.setdefault("PYROSCOPE_SERVER_ADDRESS", "")

Found = TypeVar("Found")


def require(find: Callable[[], Found]) -> Found:
    """Return what a finder finds; a missing server skips the test on a laptop and fails it in CI."""
    try:
        return find()
    except BinaryMissingError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for the whole run. A test that stops it starts it again."""
    require(find_redis)
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL with pgvector for the whole run."""
    require(postgres_account)
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of an empty database of this test's own."""
    name = postgres_server.create_database()
    yield postgres_server.dsn(name)
    postgres_server.drop_database(name)


@pytest.fixture
def membership() -> "Iterator[FakeMembership]":
    """A Membership service that knows no key until the test adds one."""
    from ml_shared.testing.membership import FakeMembership

    with FakeMembership() as fake:
        yield fake


@pytest.fixture
def fake_orchestrator() -> "Iterator[FakeOrchestrator]":
    """An orchestrator that keeps what workers report."""
    from ml_shared.testing.orchestrator import FakeOrchestrator

    with FakeOrchestrator() as fake:
        yield fake


@pytest.fixture(scope="session")
def _span_exporter() -> "InMemorySpanExporter":
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from ml_shared.instrumentation import init_telemetry

    init_telemetry()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        raise TypeError(f"init_telemetry() set no tracer provider of the SDK, but {provider!r}")
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(_span_exporter: "InMemorySpanExporter") -> "Iterator[InMemorySpanExporter]":
    """The spans that ended during this test: `spans.get_finished_spans()`."""
    _span_exporter.clear()
    yield _span_exporter
    _span_exporter.clear()


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    return find_free_port()
