"""Every error, every route and every span attribute of the service, held to what the library promises of them."""

import asyncio

import pytest

import app as package
from app.config import Settings
from app.core.errors import CorpusNotFoundError, InvalidVectorError
from app.core.service import Embedding
from ml_shared.auth.context import hash_key
from ml_shared.testing import attributes_walk, errors_walk, urls_walk
from ml_shared.testing.endpoint import DEFAULT_DIMENSIONS, DEFAULT_MODEL
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.models_walk import check_models
from ml_shared.testing.routes_walk import RouteWalk
from ml_shared.testing.values_walk import ValuesWalk
from tests.conftest import ALICE, OPERATOR_KEY, ORCHESTRATOR_KEY
from tests.documents import index


@pytest.mark.usefixtures("_broker")
def test_every_error_keeps_the_promises_of_the_tree() -> None:
    errors_walk.walk(
        package,
        made={CorpusNotFoundError: lambda: CorpusNotFoundError("a", "b")},
        against_its_kind={InvalidVectorError},
        outside={"TokenizerFileError"},
    )


def test_every_route_answers_what_is_wrong_with_a_problem(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import app

    # the tests of one process share its telemetry, which a service that stops would end
    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    with (
        ThreadedServer(app) as server,
        RouteWalk(app, server.url, ALICE["X-API-Key"], [ORCHESTRATOR_KEY, OPERATOR_KEY], openai_prefix="/v1/") as walk,
    ):
        walk.everything()


TIME = "2026-01-01T00:00:00Z"
DOCUMENT = {
    "url": "https://example.com/",
    "title": "t",
    "final_url": "https://example.com/",
    "canonical_url": "https://example.com/",
    "content_type": "text/html",
    "language": "en",
    "author": "a",
    "published_at": "2026-01-01",
    "content_hash": "h",
    "fetched_at": TIME,
    "metadata": {"a": ["b", 1, 0.5, None]},
}
CHUNK = {"index": 0, "text": "words", "start": 0, "end": 5, "token_count": 3, "heading_path": ["h"], "context": "c"}
BODIES = {
    "POST /embed": {"texts": ["words"], "job_id": "mine"},
    "POST /enqueue": {
        "corpus_name": "docs",
        "document": DOCUMENT,
        "chunks": [CHUNK],
        "content_ref": "c",
        "job_id": "j",
        "attempt_id": "a",
        "owner": "key:a",
        "as_of": TIME,
        "submitted_at": TIME,
        "action": "index",
        "chunking_hash": "c",
    },
    "POST /enqueue/batch": {
        "hand_outs": [
            {
                "corpus_name": "docs",
                "document": DOCUMENT,
                "content_ref": "c",
                "job_id": "j",
                "attempt_id": "a",
                "owner": "key:a",
                "as_of": TIME,
                "submitted_at": TIME,
                "traceparent": "t",
                "alone": True,
                "action": "index",
                "chunking_hash": "c",
            }
        ]
    },
    "POST /search": {
        "query": "words",
        "corpus_name": None,
        "corpora": ["docs"],
        "top_k": 5,
        "mode": "hybrid",
        "filters": {
            "url_prefix": "https://example.com/",
            "language": "en",
            "fetched_after": TIME,
            "fetched_before": TIME,
            "metadata": {"a": ["b"]},
        },
        "min_score": 0.5,
        "queries": None,
        "like": None,
        "offset": 1,
        "max_per_document": 3,
        "context": 1,
        "highlights": True,
        "explain": True,
        "facets": ["a"],
        "rerank": None,
        "job_id": "mine",
    },
    "POST /models/changes": {
        "model": DEFAULT_MODEL,
        "owner": "key:a",
        "corpus_name": "docs",
        "min_recall": 0.5,
        "switch": True,
        "forget": False,
    },
    "POST /models/changes/plan": {"model": DEFAULT_MODEL, "owner": "key:a", "corpus_name": "docs"},
    "POST /v1/embeddings": {
        "input": ["words"],
        "model": DEFAULT_MODEL,
        "encoding_format": "float",
        "dimensions": DEFAULT_DIMENSIONS,
        "user": "u",
    },
}


async def test_no_value_anywhere_is_a_fault_of_ours(
    service: Embedding, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import app

    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    await index(service, "words of a document", owner=f"key:{hash_key(ALICE['X-API-Key'])}")

    def walk() -> int:
        with (
            ThreadedServer(app) as server,
            ValuesWalk(
                app,
                server.url,
                ALICE["X-API-Key"],
                [ORCHESTRATOR_KEY, OPERATOR_KEY],
                "/v1/",
                bodies=BODIES,
                known={"name": "docs"},
            ) as walk,
        ):
            return walk.every_value()

    assert await asyncio.to_thread(walk) > 1_000


def test_every_field_of_a_body_takes_its_own_kind_within_a_bound(configured: Settings) -> None:
    from app.main import app

    assert check_models(app) >= 40


@pytest.mark.usefixtures("_broker")
def test_every_attribute_that_the_service_sets_is_of_the_vocabulary() -> None:
    assert attributes_walk.walk(package) >= 9


@pytest.mark.usefixtures("_broker")
def test_every_url_that_the_service_tells_of_is_told_by_the_one_function() -> None:
    assert urls_walk.walk(package) >= 1
