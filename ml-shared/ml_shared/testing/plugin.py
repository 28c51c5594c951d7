"""The pytest plugin of this project: real servers and the fakes of the peers, as fixtures.

It is loaded in every test run of an environment that has ml-shared, before any module of a service: nothing heavy is
imported here, and telemetry is told to stay on this machine.
"""

import gc
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

    from ml_shared.testing.endpoint import FakeEndpoint
    from ml_shared.testing.membership import FakeMembership
    from ml_shared.testing.orchestrator import FakeOrchestrator
    from ml_shared.testing.stages import FakeChunking, FakeEmbedding, FakeScraper

# their assertions are to say what was and what should have been, as those of a test module do
pytest.register_assert_rewrite("ml_shared.testing.orchestrator_contract", "ml_shared.testing.stages_contract")

os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")
os.environ.setdefault("PYROSCOPE_SERVER_ADDRESS", "")
os.environ.setdefault("ML_AUDIT_STRICT", "true")

Found = TypeVar("Found")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was imported and collected is no garbage; pytest would go over it twice at the end of each of its processes."""
    gc.freeze()


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


@pytest.fixture(scope="session")
def _orchestrator_server() -> "Iterator[FakeOrchestrator]":
    from ml_shared.testing.orchestrator import FakeOrchestrator

    with FakeOrchestrator() as fake:
        yield fake


@pytest.fixture
def fake_orchestrator(_orchestrator_server: "FakeOrchestrator") -> "FakeOrchestrator":
    """An orchestrator that keeps what workers report, and has heard nothing yet."""
    _orchestrator_server.reset()
    return _orchestrator_server


@pytest.fixture(scope="session")
def _scraper_server() -> "Iterator[FakeScraper]":
    from ml_shared.testing.stages import FakeScraper

    with FakeScraper() as fake:
        yield fake


@pytest.fixture
def fake_scraper(_scraper_server: "FakeScraper") -> "FakeScraper":
    """A scraper that queues what it is asked, and works when the test says so."""
    _scraper_server.reset()
    return _scraper_server


@pytest.fixture(scope="session")
def _chunking_server() -> "Iterator[FakeChunking]":
    from ml_shared.testing.stages import FakeChunking

    with FakeChunking() as fake:
        yield fake


@pytest.fixture
def fake_chunking(_chunking_server: "FakeChunking") -> "FakeChunking":
    """A chunking service that cuts by words."""
    _chunking_server.reset()
    return _chunking_server


@pytest.fixture(scope="session")
def _embedding_server() -> "Iterator[FakeEmbedding]":
    from ml_shared.testing.stages import FakeEmbedding

    with FakeEmbedding() as fake:
        yield fake


@pytest.fixture
def fake_embedding(_embedding_server: "FakeEmbedding") -> "FakeEmbedding":
    """An embedding service that queues what it is asked, and works when the test says so."""
    _embedding_server.reset()
    return _embedding_server


@pytest.fixture(scope="session")
def fake_endpoint() -> "Iterator[FakeEndpoint]":
    """The run's embedding endpoint, for what has to know its address early; tests ask for `endpoint`."""
    from ml_shared.testing.endpoint import FakeEndpoint

    with FakeEndpoint() as fake:
        yield fake


@pytest.fixture
def endpoint(fake_endpoint: "FakeEndpoint") -> "FakeEndpoint":
    """An OpenAI-compatible embedding endpoint that has seen nothing and serves."""
    fake_endpoint.reset()
    return fake_endpoint


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
    """The spans that ended during this test: `spans.get_finished_spans()`. None has an attribute of nobody's."""
    from ml_shared.testing.attributes_walk import foreign_attributes

    _span_exporter.clear()
    yield _span_exporter
    foreign = foreign_attributes(_span_exporter.get_finished_spans())
    _span_exporter.clear()
    assert not foreign, f"attributes that ml_shared.telemetry.attributes does not list: {foreign}"


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    return find_free_port()
