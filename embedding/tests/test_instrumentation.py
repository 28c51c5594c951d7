"""Spans: what each stands for, and whose trace it is in."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from pydantic import SecretStr

from app.config import Settings
from app.core.answers.reranker import Reranker
from app.core.logic import execute_search
from app.core.looking import REMOVE_SPAN, TOUCH_SPAN
from app.core.service import Embedding
from ml_shared.contracts.embedding import SearchRequest
from ml_shared.queues.lists import queue_lists
from ml_shared.telemetry import attributes
from ml_shared.testing.endpoint import EndpointMode, FakeEndpoint
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.reranker import DEFAULT_KEY, FakeReranker
from tests.documents import OWNER, add, index
from tests.test_tasks import arguments, hand_out, look, look_out, rows, run

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    """Return the one span of a name."""
    [span] = [span for span in spans.get_finished_spans() if span.name == name]
    return span


def task_span(spans: InMemorySpanExporter) -> ReadableSpan:
    """Return the span of the task's run."""
    [span] = [span for span in spans.get_finished_spans() if span.name == "run/embedding.embed_document"]
    return span


@pytest.fixture
def _as_in_a_worker(tasks: ModuleType) -> None:
    """Celery is instrumented by the app's module; asking for the tasks has imported it."""


@pytest.mark.usefixtures("_as_in_a_worker")
def test_the_task_sets_the_required_attributes(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter
) -> None:
    run(tasks, hand_out(fake_orchestrator, "one"))
    found = dict(task_span(spans).attributes or {})
    assert found[attributes.JOB_ID] == "job-1"
    assert found[attributes.JOB_URL] == "https://example.com/page"
    assert found[attributes.JOB_STAGE] == "embed"
    assert found[attributes.REQUEST_MODE] == "async"
    assert found[attributes.QUEUE_NAME]
    assert found[attributes.CORPUS_NAME] == "docs"
    assert found[attributes.OPERATION] == "write"


@pytest.mark.usefixtures("_as_in_a_worker")
def test_each_document_of_a_pack_has_the_span_that_it_would_have_alone(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter
) -> None:
    job = hand_out(fake_orchestrator, "one")
    tasks.embed_several_task.apply(kwargs={"jobs": [{"kwargs": job, "traceparent": PARENT}]})
    pack, document = named(spans, "run/embedding.embed_several"), task_span(spans)
    assert (document.attributes or {})[attributes.JOB_ID] == "job-1"
    assert document.context.trace_id == int(PARENT.split("-")[1], 16)
    assert [link.context.span_id for link in document.links] == [pack.context.span_id]
    assert fake_orchestrator.callbacks_for("job-1")[0].stats["chunks"] == 1


def test_batch_and_write_are_spans_of_the_tasks_trace(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter
) -> None:
    run(tasks, hand_out(fake_orchestrator, "one", "two words"))
    task, batch, write = task_span(spans), named(spans, "embed.batch"), named(spans, "vectors.write")
    for span in (batch, write):
        assert span.parent is not None
        assert span.parent.span_id == task.context.span_id
    assert dict(batch.attributes or {}) == {
        attributes.EMBEDDING_MODEL: "test-model",
        attributes.EMBEDDING_BATCH_SIZE: 2,
        attributes.EMBEDDING_TOKENS: 3,
        attributes.JOB_ID: "job-1",
        attributes.JOB_STAGE: "embed",
        attributes.OPERATION: "write",
        attributes.REQUEST_MODE: "async",
    }
    assert dict(write.attributes or {}) == {
        attributes.CORPUS_NAME: "docs",
        attributes.JOB_ID: "job-1",
        attributes.REQUEST_MODE: "async",
        attributes.JOB_URL: "https://example.com/page",
        attributes.JOB_STAGE: "embed",
        attributes.OPERATION: "write",
        attributes.EMBEDDING_MODEL: "test-model",
        attributes.CHUNK_COUNT: 2,
    }


def test_a_touch_and_a_removal_are_spans_of_the_tasks_trace(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter
) -> None:
    run(tasks, hand_out(fake_orchestrator, "one", **look("index")))
    for action in ("touch", "remove"):
        spans.clear()
        run(tasks, look_out(fake_orchestrator, action))
        span = named(spans, f"document.{action}")
        assert span.parent is not None
        assert span.parent.span_id == task_span(spans).context.span_id
        assert dict(span.attributes or {}) == {
            attributes.CORPUS_NAME: "docs",
            attributes.JOB_ID: "job-1",
            attributes.REQUEST_MODE: "async",
            attributes.JOB_URL: "https://example.com/page",
            attributes.JOB_STAGE: "embed",
            attributes.OPERATION: "write",
        }
    assert {"document.touch", "document.remove"} == {TOUCH_SPAN, REMOVE_SPAN}


def test_the_callback_is_in_the_workers_trace(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter
) -> None:
    run(tasks, hand_out(fake_orchestrator, "one"))
    trace_id = trace.format_trace_id(task_span(spans).context.trace_id)
    [received] = fake_orchestrator.completed
    assert received.headers["traceparent"].split("-")[1] == trace_id


async def test_documents_and_chunks_carry_the_trace_that_wrote_them(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter, database: str
) -> None:
    run(tasks, hand_out(fake_orchestrator, "one"))
    trace_id = trace.format_trace_id(task_span(spans).context.trace_id)
    assert await rows(database, "SELECT trace_id FROM documents UNION ALL SELECT trace_id FROM chunks") == [
        {"trace_id": trace_id},
        {"trace_id": trace_id},
    ]


async def test_a_queued_task_carries_the_requests_trace(
    client: httpx.AsyncClient, redis_url: str, spans: InMemorySpanExporter
) -> None:
    from redis import Redis

    body = {key: arguments()[key] for key in ("corpus_name", "document")} | {"chunks": []}
    answer = await client.post("/enqueue", json=body, headers={"traceparent": PARENT})
    assert answer.headers["x-trace-id"] == PARENT.split("-")[1]
    with Redis.from_url(redis_url) as redis:
        [message] = redis.lrange(queue_lists("embed_jobs")[1], 0, -1)
    assert PARENT.split("-")[1].encode() in message


async def test_a_search_is_a_read_span_below_its_request(
    client: httpx.AsyncClient, endpoint: FakeEndpoint, spans: InMemorySpanExporter
) -> None:
    await add(client, "words")
    spans.clear()
    answer = await client.post(
        "/search", json={"query": "words", "corpora": ["docs"], "top_k": 7}, headers={"traceparent": PARENT}
    )
    assert answer.status_code == 200
    search = named(spans, "search.query")
    assert dict(search.attributes or {}) == {
        attributes.JOB_STAGE: "read",
        attributes.OPERATION: "read",
        attributes.REQUEST_MODE: "sync",
        attributes.CORPUS_NAME: "docs",
        attributes.EMBEDDING_MODEL: "test-model",
        attributes.SEARCH_TOP_K: 7,
        attributes.SEARCH_MODE: "hybrid",
    }
    assert trace.format_trace_id(search.context.trace_id) == PARENT.split("-")[1]
    batch, query = named(spans, "embed.batch"), named(spans, "embed.query")
    assert (batch.attributes or {})[attributes.OPERATION] == "read"
    assert batch.parent is not None
    assert batch.parent.span_id == query.context.span_id
    assert query.parent is not None
    assert search.parent is not None
    assert query.parent.span_id == search.parent.span_id
    assert endpoint.headers[-1]["traceparent"].split("-")[1] == PARENT.split("-")[1]


async def test_a_rerank_is_a_span_of_its_search_and_counted(
    service: Embedding, settings: Settings, spans: InMemorySpanExporter
) -> None:
    await index(service, "words", "others")
    labels = {"operation": "read", "outcome": "success"}
    before = REGISTRY.get_sample_value("ml_search_reranks_total", labels) or 0
    with FakeReranker() as server:
        reranking = settings.model_copy(
            update={"RERANK_API_BASE_URL": server.url, "RERANK_MODEL": "m", "RERANK_API_KEY": SecretStr(DEFAULT_KEY)}
            | {"RERANK_TIMEOUT_SECONDS": 60.0}
        )
        async with Reranker.open(reranking) as opened:
            asked = SearchRequest(query="words", corpus_name="docs")
            await execute_search(replace(service, reranker=opened), OWNER, asked)
    rerank, search = named(spans, "search.rerank"), named(spans, "search.query")
    assert dict(rerank.attributes or {}) == {
        attributes.JOB_STAGE: "read",
        attributes.OPERATION: "read",
        attributes.REQUEST_MODE: "sync",
    }
    assert rerank.parent is not None
    assert rerank.parent.span_id == search.context.span_id
    assert REGISTRY.get_sample_value("ml_search_reranks_total", labels) == before + 1
    assert REGISTRY.get_sample_value("ml_search_rerank_seconds_count", {"operation": "read"})


@pytest.mark.parametrize(
    ("method", "path", "body", "span", "operation"),
    [
        ("POST", "/embed", {"texts": ["a"], "job_id": "mine"}, "embed.texts", "read"),
        ("POST", "/v1/embeddings", {"input": "a", "model": "test-model"}, "embed.texts", "read"),
        ("GET", "/corpora", None, "corpora.list", "read"),
        ("GET", "/corpora/docs", None, "corpora.read", "read"),
        ("GET", "/corpora/docs/documents", None, "documents.list", "read"),
        ("GET", "/corpora/docs/documents/{document}", None, "document.read", "read"),
        ("GET", "/corpora/docs/documents/{document}/content", None, "document.content", "read"),
        ("DELETE", "/corpora/docs/documents/{document}", None, "document.delete", "write"),
        ("DELETE", "/corpora/docs", None, "corpus.delete", "write"),
    ],
)
async def test_every_routes_work_is_a_span_below_its_request_on_the_path_that_its_metrics_name(
    client: httpx.AsyncClient,
    spans: InMemorySpanExporter,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    span: str,
    operation: str,
) -> None:
    indexed = await add(client, "words")
    spans.clear()
    labels = {"service": "embedding", "request_mode": "sync", "operation": operation, "method": method}
    labels |= {"route": path.replace("/docs", "/{name}").replace("{document}", "{document_id}"), "status": "2xx"}
    before = REGISTRY.get_sample_value("ml_http_requests_total", labels) or 0
    answer = await client.request(
        method, path.format(document=indexed.document_id), json=body, headers={"traceparent": PARENT}
    )
    assert answer.is_success, answer.text
    work = named(spans, span)
    found = work.attributes or {}
    assert (found[attributes.OPERATION], found[attributes.REQUEST_MODE]) == (operation, "sync")
    assert found.get(attributes.JOB_ID) == (body or {}).get("job_id")
    assert found.get(attributes.CORPUS_NAME) == ("docs" if "/docs" in path else None)
    assert trace.format_trace_id(work.context.trace_id) == PARENT.split("-")[1]
    assert REGISTRY.get_sample_value("ml_http_requests_total", labels) == before + 1


async def test_a_corpus_that_is_not_there_is_a_code_on_the_span_that_looked(
    client: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    assert (await client.delete("/corpora/none")).status_code == 404
    found = dict(named(spans, "corpus.delete").attributes or {})
    assert found[attributes.ERROR_CODE] == "corpus_not_found"


def test_a_batch_that_fails_for_good_names_the_stage_and_one_that_may_pass_does_not(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, endpoint: FakeEndpoint, spans: InMemorySpanExporter
) -> None:
    endpoint.behave(EndpointMode.NOT_FINITE)
    run(tasks, hand_out(fake_orchestrator, "one"))
    for span in (named(spans, "embed.batch"), task_span(spans)):
        found = span.attributes or {}
        assert (found[attributes.ERROR_CODE], found[attributes.FAILED_STAGE]) == ("invalid_vector", "embedding")
    spans.clear()
    endpoint.behave(EndpointMode.BROKEN)
    run(tasks, hand_out(fake_orchestrator, "two", attempt="attempt-2"))
    for span in (named(spans, "embed.batch"), task_span(spans)):
        found = span.attributes or {}
        assert (found[attributes.ERROR_CODE], found.get(attributes.FAILED_STAGE)) == ("endpoint_unavailable", None)


async def test_no_span_holds_a_key(
    client: httpx.AsyncClient, spans: InMemorySpanExporter, endpoint: FakeEndpoint
) -> None:
    await client.post("/embed", json={"texts": ["a"]})
    written = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "embed.batch" in written
    assert "key-of-alice" not in written
    assert endpoint.key not in written


def test_the_shim_is_two_lines_and_ml_shareds() -> None:
    text = (Path(__file__).parent.parent / "instrumentation.py").read_text()
    assert [line for line in text.splitlines() if line][-1] == (
        "from ml_shared.instrumentation import init_telemetry as init_telemetry"
    )
