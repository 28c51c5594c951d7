"""The client and the services' stored OpenAPI documents say the same, looked at from both sides."""

import inspect
import json
import re
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from cloudcix_ml.core.effects import Done, Open, Request, Send, Steps
from cloudcix_ml.core.session import Session
from cloudcix_ml.models import corpora, crawls, events, jobs, search, service, sites, stats, webhooks
from cloudcix_ml.models.base import Answered, Body, OpenEnum
from cloudcix_ml.operations import batches, documents, services, uploads
from cloudcix_ml.operations import corpora as corpora_operations
from cloudcix_ml.operations import crawls as crawl_operations
from cloudcix_ml.operations import jobs as job_operations
from cloudcix_ml.operations import runs as run_operations
from cloudcix_ml.operations import search as search_operations
from cloudcix_ml.operations import sites as site_operations
from cloudcix_ml.operations import webhooks as webhook_operations
from cloudcix_ml.operations.following import Subject
from documents import REPOSITORY, document, route_of, routes, schema
from pydantic import BaseModel

from ml_shared.contracts import events as contract

ELSEWHERE_NAMED = {
    jobs.Job: "JobView",
    jobs.Batch: "BatchView",
    crawls.Crawl: "CrawlView",
    crawls.Run: "RunView",
    crawls.Page: "PageView",
    stats.Stats: "StatsView",
    crawls.ScheduleView: "Schedule",
    crawls.ChunkingView: "ChunkingOptions",
    webhooks.Webhook: "WebhookView",
    webhooks.Delivery: "DeliveryView",
    corpora.Document: "DocumentView",
    corpora.Chunk: "ChunkView",
    search.SearchRequest: "SearchBody",
    search.Hit: "SearchHit",
    service.Check: "CheckAnswer",
    service.Health: "HealthAnswer",
}
SERVICE_OF = {
    jobs: "orchestrator",
    crawls: "orchestrator",
    webhooks: "orchestrator",
    stats: "orchestrator",
    sites: "scraper",
    corpora: "embedding",
    search: "embedding",
    service: "orchestrator",
}
NOT_THE_CLIENTS = {
    # single steps of the pipeline, and OpenAI's routes, which OpenAI's clients are for
    *(("scraper", path) for path in ("/scrape", "/links", "/enqueue", "/results/{task_id}")),
    ("chunking", "/chunk"),
    *(("embedding", path) for path in ("/embed", "/enqueue", "/results/{task_id}")),
    *(("embedding", path) for path in ("/v1/embeddings", "/v1/models", "/v1/models/{model_id}")),
    *(
        (name, path)
        for name in ("orchestrator", "scraper", "chunking", "embedding")
        for path in ("/health/live", "/metrics")
    ),
}
MODELS = [
    (model, name)
    for module, name in SERVICE_OF.items()
    for model in vars(module).values()
    if inspect.isclass(model) and model.__module__ == module.__name__
]


def _schema_of(model: type[Any], service_name: str) -> Any:
    return schema(service_name, ELSEWHERE_NAMED.get(model, model.__name__))


def _form(part: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """What kind of value a schema asks for, its bounds and words left out."""
    if "$ref" in part:
        part = definitions[part["$ref"].rpartition("/")[2]]
    if "const" in part:
        return "string" if isinstance(part["const"], str) else "number"
    if "anyOf" in part or "oneOf" in part or "allOf" in part:
        several = [_form(one, definitions) for one in part.get("anyOf") or part.get("oneOf") or part["allOf"]]
        return several[0] if len(several) == 1 else sorted(several, key=repr)
    match part.get("type"):
        case "array":
            return [_form(part.get("items", {}), definitions), "…"]
        case "object" if "properties" in part:
            return sorted(part["properties"])
        case "string" if part.get("format") == "uuid":
            return "string"
        case "string" if part.get("format") == "date-time":
            return "date-time"
        case kind:
            return kind


@pytest.mark.parametrize(("model", "service_name"), MODELS, ids=lambda one: getattr(one, "__name__", one))
def test_a_model_has_the_fields_of_its_schema_and_no_others(model: type[Any], service_name: str) -> None:
    theirs = _schema_of(model, service_name)
    if issubclass(model, OpenEnum):
        assert [member.value for member in model] == theirs["enum"]
        return
    assert issubclass(model, BaseModel)
    ours = model.model_json_schema()
    their_definitions = document(service_name)["components"]["schemas"]
    assert sorted(ours["properties"]) == sorted(theirs["properties"])
    for name, part in theirs["properties"].items():
        here = ours["properties"][name]
        mine, yours = _form(here, ours.get("$defs", {})), _form(part, their_definitions)
        if issubclass(model, Body) and mine == sorted([yours, "null"], key=repr):
            continue  # what may be left out here is None, and is then not sent
        assert mine == yours, name


@pytest.mark.parametrize(("model", "service_name"), MODELS, ids=lambda one: getattr(one, "__name__", one))
def test_what_a_model_insists_on_is_always_there(model: type[Any], service_name: str) -> None:
    required = set(_schema_of(model, service_name).get("required", []))
    if issubclass(model, Answered):
        assert set(model.model_json_schema().get("required", [])) <= required
    elif issubclass(model, Body):
        assert required - {name for name, field in model.model_fields.items() if field.is_required()} == set()


def test_every_schema_that_a_route_of_the_clients_shows_has_a_model() -> None:
    modelled = {(name, ELSEWHERE_NAMED.get(model, model.__name__)) for model, name in MODELS}
    shown = set()
    for route in routes():
        if route.internal or (route.service, route.path) in NOT_THE_CLIENTS or "health" in route.path:
            continue
        parts = [route.schema_of_body(), *(route.schema_of_answer(status) for status in (200, 202))]
        shown |= {(route.service, name) for part in parts for name in _named(part, route.service)}
    assert shown - modelled == set()


def _named(part: Any, service_name: str) -> set[str]:
    """Every schema that one leads to."""
    found: set[str] = set()
    waiting = [part]
    while waiting:
        match waiting.pop():
            case {"$ref": ref} if (name := ref.rpartition("/")[2]) not in found:
                found.add(name)
                waiting.append(schema(service_name, name))
            case dict() as inner:
                waiting.extend(value for key, value in inner.items() if key != "$ref")
            case list() as several:
                waiting.extend(several)
    return found


def _asked(operation: Any, **arguments: Any) -> Request:
    """The first request of an operation."""
    effect = Steps(operation(Session("http://x", None), **arguments)).begin()
    assert isinstance(effect, Send | Open)
    assert not isinstance(effect, Done)
    return effect.request


OPERATIONS: list[tuple[Any, dict[str, Any]]] = [
    (
        job_operations.submit,
        {"url": "https://x/", "metadata": {"a": 1}, "chunking": jobs.ChunkingOptions(max_tokens=99)},
    ),
    (job_operations.read, {"job_id": "j"}),
    (
        job_operations.list_all,
        {
            **dict.fromkeys(("status", "corpus_name", "batch_id", "host", "url_prefix", "error_code"), "x"),
            **dict.fromkeys(("created_after", "ended_after"), "2026-01-01T00:00:00Z"),
            "page_size": 5,
        },
    ),
    (site_operations.map_site, {"url": "https://x/", "limit": 5, "search": "a b"}),
    (job_operations.stats, {"hours": 5}),
    (job_operations.cancel, {"job_id": "j"}),
    (job_operations.retry, {"job_id": "j"}),
    (batches.submit, {"urls": ["https://x/"], "metadata": {}, "chunking": jobs.ChunkingOptions()}),
    (batches.read, {"batch_id": "b"}),
    (batches.list_all, {"page_size": 5}),
    (batches.cancel, {"batch_id": "b"}),
    (batches.retry, {"batch_id": "b"}),
    (corpora_operations.list_all, {"page_size": 5}),
    (corpora_operations.read, {"name": "c"}),
    (corpora_operations.delete, {"name": "c"}),
    (documents.list_all, {"corpus_name": "c", "page_size": 5}),
    (documents.read, {"corpus_name": "c", "document_id": "d"}),
    (documents.chunks, {"corpus_name": "c", "document_id": "d", "page_size": 5}),
    (documents.content, {"corpus_name": "c", "document_id": "d"}),
    (documents.delete, {"corpus_name": "c", "document_id": "d"}),
    (
        search_operations.search,
        {"query": "q", "corpus_name": "c", "filters": search.SearchFilters(metadata={}), "facets": ["a"], "top_k": 3},
    ),
    *((services.health, {"service": name}) for name in services.SERVICES),
    (
        crawl_operations.crawl,
        {
            "url": "https://x/",
            "include": ["/a/*"],
            "schedule": crawls.Schedule(every="24h"),
            "on_gone": "keep",
            "max_pages": 5,
            "dry_run": False,
            "chunking": jobs.ChunkingOptions(),
        },
    ),
    (crawl_operations.crawl, {"urls": ["https://x/"]}),
    (crawl_operations.list_all, {"page_size": 5}),
    *((one, {"crawl_id": "c"}) for one in (crawl_operations.read, crawl_operations.pause, crawl_operations.resume)),
    (crawl_operations.change, {"crawl_id": "c", "patch": crawls.CrawlPatch(schedule=None, max_depth=3)}),
    (
        crawl_operations.change,
        {
            "crawl_id": "c",
            "patch": crawls.CrawlPatch(
                urls=["https://x/"],
                metadata={"a": 1},
                chunking=jobs.ChunkingOptions(max_tokens=99, overlap_tokens=9),
                render=jobs.Render.AUTO,
            ),
        },
    ),
    (crawl_operations.delete, {"crawl_id": "c", "documents": "keep"}),
    (crawl_operations.run, {"crawl_id": "c", "force": True}),
    (run_operations.list_all, {"crawl_id": "c", "page_size": 5}),
    *(
        (one, {"crawl_id": "c", "run": 1})
        for one in (run_operations.read, run_operations.cancel, run_operations.confirm)
    ),
    (
        run_operations.pages,
        {"crawl_id": "c", "run": 1, "outcome": "new", "reason": "trap", "url_prefix": "https://x/", "page_size": 5},
    ),
    (webhook_operations.make, {"url": "https://x/", "events": ["job.failed", "run.ended"]}),
    (webhook_operations.list_all, {}),
    (webhook_operations.change, {"webhook_id": "w", "paused": True, "events": ["job.completed"]}),
    *(
        (one, {"webhook_id": "w"})
        for one in (
            webhook_operations.read,
            webhook_operations.delete,
            webhook_operations.rotate,
            webhook_operations.test,
        )
    ),
    (webhook_operations.deliveries, {"webhook_id": "w", "status": "failed", "page_size": 5}),
    (webhook_operations.replay, {"webhook_id": "w", "since": datetime(2026, 1, 1, tzinfo=UTC)}),
    (webhook_operations.replay_one, {"webhook_id": "w", "delivery_id": "d"}),
]


@pytest.mark.parametrize(("operation", "arguments"), OPERATIONS, ids=lambda one: getattr(one, "__qualname__", None))
def test_what_is_asked_is_a_route_with_these_parameters_and_this_body(
    operation: Any, arguments: dict[str, Any]
) -> None:
    request = _asked(operation, **arguments)
    route = route_of(request.method, request.path)
    assert route is not None, request.path
    assert set(request.params) <= route.parameters("query")
    if body := route.schema_of_body():
        assert request.body is not None
        assert route.wrong(body, json.loads(request.body)) is None
    creates = "idempotency-key" in {name.lower() for name in route.parameters("header")}
    assert "Idempotency-Key" in request.headers or not creates


def test_every_filter_of_a_list_can_be_given() -> None:
    for operation, arguments in OPERATIONS:
        request = _asked(operation, **arguments)
        route = route_of(request.method, request.path)
        assert route is not None
        if "cursor" in route.parameters("query") and operation is not documents.read:
            assert set(request.params) | {"cursor"} == route.parameters("query")


def test_every_route_for_users_is_asked_by_some_operation() -> None:
    asked = {route_of(request.method, request.path) for request in (_asked(one, **more) for one, more in OPERATIONS)}
    asked.add(route_of("POST", uploads.DOCUMENTS))  # by a form: below
    wanted = {
        one
        for one in routes()
        if not one.internal and (one.service, one.path) not in NOT_THE_CLIENTS
        if not one.path.endswith("/events")
    }
    assert wanted - asked == set()


def test_a_file_is_sent_as_the_form_that_its_route_takes() -> None:
    request = _asked(
        uploads.upload,
        file=BytesIO(b"text"),
        name="a.md",
        url="https://x/",
        metadata={"a": 1},
        chunking=jobs.ChunkingOptions(),
        force=True,
    )
    route = route_of(request.method, request.path)
    assert route is not None
    form = route.operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    sent = set(re.findall(rb'name="(\w+)"', request.body or b""))
    assert {name.decode() for name in sent} <= set(form["properties"])
    assert set(form["required"]) <= {name.decode() for name in sent}
    assert "idempotency-key" in route.parameters("header")
    assert "Idempotency-Key" in request.headers


FOLLOWED: list[Subject[Any]] = [job_operations.subject("j"), batches.subject("b"), run_operations.subject("c", 1)]


@pytest.mark.parametrize("subject", FOLLOWED, ids=lambda subject: subject.kind.__name__)
def test_what_is_followed_has_events_at_the_route_that_tells_them(subject: Subject[Any]) -> None:
    assert route_of("GET", subject.path) is not None
    route = route_of("GET", subject.events_path)
    assert route is not None
    assert "text/event-stream" in route.operation["responses"]["200"]["content"]
    assert "last-event-id" in route.parameters("header")


@pytest.mark.parametrize("name", ["JobEvent", "EventWaiting", "EventError", "JobEventType"])
def test_an_event_has_the_fields_that_the_platform_tells(name: str) -> None:
    """They are in no OpenAPI document: for it a stream is a text. So they are held to what the orchestrator writes."""
    ours, theirs = getattr(events, name), getattr(contract, name)
    if issubclass(ours, OpenEnum):
        assert [member.value for member in ours] == [member.value for member in theirs]
        return
    mine, yours = ours.model_json_schema(), theirs.model_json_schema()
    assert sorted(mine["properties"]) == sorted(yours["properties"])
    assert set(mine.get("required", [])) <= set(yours.get("required", []))
    for field, part in yours["properties"].items():
        assert _form(mine["properties"][field], mine.get("$defs", {})) == _form(part, yours.get("$defs", {})), field


def test_the_documents_are_the_stored_ones() -> None:
    assert (REPOSITORY / "orchestrator" / "openapi.json").is_file()
    assert len(routes()) > 40
