"""One PostgreSQL and one embedding endpoint for the run; emptied before each test."""

import asyncio
import hashlib
import os
import string
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

import asyncpg
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ml_shared.auth.context import hash_key
from ml_shared.testing.endpoint import DEFAULT_DIMENSIONS, DEFAULT_KEY, DEFAULT_MODEL, FakeEndpoint
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.servers import PostgresServer, RedisServer

ORCHESTRATOR_KEY = "orchestrator-key-of-the-tests"
OPERATOR_KEY = "operator-key-of-the-tests"
SERVICE_KEY = "embedding-key-of-the-tests"
NOWHERE = "http://127.0.0.1:9"
TABLES = ("vectors", "vector_segments", "chunk_terms", "chunks", "documents", "corpora", "model_changes")
KEPT_BYTES = 2**21
# of what tests left in the tables' files: more would be read by the next ones' scans

ALICE = {"X-API-Key": "key-of-alice"}
BOB = {"X-API-Key": "key-of-bob"}
ORCHESTRATOR = {"X-API-Key": ORCHESTRATOR_KEY}
OPERATOR = {"X-API-Key": OPERATOR_KEY}

# Settings are read when app.config is imported; what the servers of the run decide is set on them afterwards.
os.environ |= {
    "SERVICE_NAME": "embedding",
    "OTEL_SERVICE_NAME": "embedding-api",
    "MEMBERSHIP_URL": NOWHERE,
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:9/none",
    "EMBEDDING_API_KEY": DEFAULT_KEY,
    "EMBEDDING_MODEL": DEFAULT_MODEL,
    "EMBEDDING_API_BASE_URL": NOWHERE,
    "EMBEDDING_DIMENSIONS": str(DEFAULT_DIMENSIONS),
    "ORCHESTRATOR_URL": NOWHERE,
    "SERVICE_API_KEY": SERVICE_KEY,
    "ORCHESTRATOR_KEY_HASH": hash_key(ORCHESTRATOR_KEY),
    "RATE_LIMIT_CAPACITY": "100000",
    "RATE_LIMIT_TIERS": "default=100000",
    "INTERNAL_CALLER_IDS": f"operator={hash_key(OPERATOR_KEY)}",
    "WORKER_METRICS_PORT": "0",
}

from instrumentation import init_telemetry

init_telemetry()

import httpx

from app.config import Settings
from app.config import settings as service_settings
from app.core.service import Embedding, open_embedding


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    """The DSN of a database with this service's schema."""
    from app.core.storage.models import prepare_model
    from app.core.storage.pool import MIGRATIONS
    from ml_shared.storage.migrations import migrate

    dsn = postgres_server.dsn(postgres_server.create_database())

    async def prepare() -> None:
        await migrate(dsn, MIGRATIONS)
        connection = await asyncpg.connect(dsn)
        await prepare_model(connection, DEFAULT_MODEL, DEFAULT_DIMENSIONS)
        # what tables are known to hold is what a test had analysed, not what a minute's turn found between two tests
        await connection.execute("ALTER SYSTEM SET autovacuum = off")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()

    asyncio.run(prepare())
    return dsn


def empty(dsn: str, *, most_bytes: int = KEPT_BYTES) -> None:
    """Leave nothing in a database's tables, whose files may have so many bytes of what was there."""

    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        size = await connection.fetchval(
            "SELECT sum(pg_relation_size(name::regclass)) FROM unnest($1::text[]) name", TABLES
        )
        if size > most_bytes:
            await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
        else:  # in a fiftieth of the time
            await connection.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))
        await connection.close()

    asyncio.run(run())


@pytest.fixture
def database(migrated_database: str) -> str:
    """The DSN of a database with this service's schema and nothing in it."""
    empty(migrated_database)
    return migrated_database


@pytest.fixture
def settings(database: str, endpoint: FakeEndpoint) -> Settings:
    """Settings of a service beside these servers."""
    return Settings(DATABASE_URL=database, EMBEDDING_API_BASE_URL=endpoint.base_url, EMBEDDING_BATCH_SIZE=4)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Embedding]:
    """The core's resources on the test's own loop."""
    async with open_embedding(settings, command_timeout_seconds=20) as opened:
        yield opened


@pytest.fixture(scope="session")
def _broker(redis_server: RedisServer) -> None:
    """The Celery app takes its broker from the settings when it is imported."""
    service_settings.REDIS_URL = redis_server.url


@pytest.fixture(scope="session")
def members() -> Iterator[FakeMembership]:
    """A Membership that knows the tests' keys."""
    with FakeMembership() as fake:
        fake.add("key-of-alice")
        fake.add("key-of-bob")
        yield fake


@pytest.fixture
def configured(
    _broker: None, redis_url: str, settings: Settings, members: FakeMembership, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The settings of the process, pointing at this run's servers and fakes."""
    for name in ("DATABASE_URL", "EMBEDDING_API_BASE_URL"):
        monkeypatch.setattr(service_settings, name, getattr(settings, name))
    monkeypatch.setattr(service_settings, "MEMBERSHIP_URL", members.url)
    return service_settings


@pytest.fixture
async def client(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application, opened and closed with the test."""
    from app.main import app

    # the tests of one process share its telemetry, which a service that stops would end
    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://embedding", headers=ALICE) as opened,
    ):
        yield opened


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small tokenizer as BERT's are: words of letters, or their letters, between two special tokens."""
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    words = ["[UNK]", "[CLS]", "[SEP]", *letters, "hello", "world", "word", "words", "."]
    encoder = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    encoder.normalizer = normalizers.BertNormalizer()
    encoder.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    encoder.decoder = decoders.WordPiece()
    encoder.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    encoder.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    encoder.save(str(path))
    return path


@pytest.fixture
def with_tokenizer(configured: Settings, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of the process, with a tokenizer."""
    monkeypatch.setattr(configured, "TOKENIZER_FILE", tokenizer_file)
    monkeypatch.setattr(configured, "TOKENIZER_SHA256", hashlib.sha256(tokenizer_file.read_bytes()).hexdigest())
    return configured


@pytest.fixture
def tasks(
    configured: Settings, fake_orchestrator: FakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """The tasks' module, reporting to the fake; what a task opened is closed with the test."""
    monkeypatch.setattr(service_settings, "ORCHESTRATOR_URL", fake_orchestrator.url)
    from app.worker import tasks
    from app.worker.celery_app import app

    yield tasks
    app.runtime.close()
