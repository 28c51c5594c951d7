"""A gateway of the tests: a real HTTP server that answers as the platform does, and checks itself against its documents.

A request that the stored OpenAPI documents do not allow, and an answer of its own that they do not know, is an error of 500.
"""

import asyncio
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from documents import route_of
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ml_shared.testing.http_server import ServedFake, ThreadedServer

NOW = "2026-11-28T12:00:00Z"
KEY = "test-key-0123456789"
PATH = ["scraping", "chunking", "embedding", "completed"]


@dataclass
class Received:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Planned:
    """What the next request is answered with, instead of what it should be."""

    status: int
    code: str = "unavailable"
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


def job_of(job_id: str, url: str, status: str = "queued", **more: Any) -> dict[str, Any]:
    """A job as the platform shows it."""
    ended = status in ("completed", "failed", "cancelled")
    return {
        "job_id": job_id,
        "url": url,
        "corpus_name": "default",
        "status": status,
        "submitted_at": NOW,
        "ended_at": NOW if ended else None,
        "waiting": None if ended else {"reason": "queued", "since": NOW, "position": 3},
        "stages": [],
        "counts": {"bytes": None, "chunks": None, "tokens": None},
        "error": None,
        "retryable": False,
        "extraction": None,
        "metadata": {},
        "batch_id": None,
        "retry_of": None,
        "trace_id": "0" * 31 + "1",
    } | more


def hit_of(**more: Any) -> dict[str, Any]:
    """A passage as a search shows it."""
    return {
        "score": 0.9,
        "text": "Nothing leaves your network.",
        "url": "https://example.com/",
        "title": "Example",
        "heading_path": ["Top", "Below"],
        "start": 0,
        "end": 28,
        "corpus_name": "default",
        "document_id": str(uuid.UUID(int=7)),
        "chunk_index": 0,
        "metadata": {},
        "trace_id": None,
    } | more


class FakeGateway(ServedFake):
    """Everything that came is in `received`; what is in `planned` is answered first."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.planned: deque[Planned] = deque()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.created: dict[str, str] = {}
        self.hits: list[dict[str, Any]] = [hit_of()]
        self.corpora: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, dict[str, Any]] = {}
        self.step_on_read = True
        self.fails_with: str | None = None
        self.events: Callable[[Received], AsyncIterator[bytes]] | None = None
        self.sick: dict[str, str] = {}
        self.others: dict[tuple[str, str], Callable[[Received], Response]] = {}
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        self._server = ThreadedServer(Starlette(routes=[Route("/{path:path}", self._serve, methods=methods)]))

    @property
    def url(self) -> str:
        return self._server.url

    def times(self, method: str, path: str) -> int:
        """How often this was asked."""
        return sum(1 for one in self.received if (one.method, one.path) == (method, path))

    def corpus(self, name: str, documents: int = 1) -> None:
        self.corpora[name] = {
            "name": name,
            "documents": documents,
            "chunks": 3,
            "tokens": 90,
            "model": "test",
            "updated_at": NOW,
        }

    async def _serve(self, request: Request) -> Response:
        body = await request.body()
        path = request.scope["raw_path"].decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        got = Received(request.method, path, dict(request.query_params), headers, body)
        self.received.append(got)
        if self.planned:
            return _planned(self.planned.popleft(), path)
        if headers.get("x-api-key") != KEY and not path.endswith("/health"):
            return _problem(401, "invalid_api_key", path)
        if other := self.others.get((got.method, got.path)):
            return other(got)
        if path.endswith("/events"):
            return self._event_stream(got)
        route = route_of(got.method, path)
        if route is None or route.internal:
            return _problem(404, "not_found", path)
        if unknown := set(got.query) - route.parameters("query"):
            return _problem(422, "invalid_request", path, f"no such parameter: {sorted(unknown)}")
        if (wanted := route.schema_of_body()) and (wrong := route.wrong(wanted, got.json)):
            return _problem(422, "invalid_request", path, wrong)
        answer = self._answer(got, route.path)
        if isinstance(answer, Response):
            return answer
        status, content = answer
        known = route.schema_of_answer(status)
        if known is not None and (wrong := route.wrong(known, content)):
            return _problem(500, "internal_error", path, f"the fake's own answer: {wrong}")
        return JSONResponse(content, status) if content is not None else Response(status_code=status)

    def _answer(self, got: Received, route: str) -> Response | tuple[int, Any]:
        last = got.path.rpartition("/")[2]
        match got.method, route:
            case "POST", "/jobs":
                return self._create(got)
            case "POST", "/jobs/batch":
                jobs = [{"job_id": self._new(url), "url": url} for url in got.json["urls"]]
                return 202, {"batch_id": "b1", "jobs": jobs, "duplicates": []}
            case "GET", "/jobs":
                return self._page(got, list(self.jobs.values()))
            case "GET", "/jobs/{job_id}":
                return (200, self._read(last)) if last in self.jobs else _problem(404, "job_not_found", got.path)
            case "POST", "/jobs/{job_id}/cancel":
                job = got.path.split("/")[-2]
                self.jobs[job] = job_of(job, self.jobs[job]["url"], "cancelled")
                return 200, {"job_id": job, "status": "cancelled"}
            case "POST", "/jobs/{job_id}/retry":
                return 202, {"job_id": self._new("https://example.com/"), "status": "queued", "retry_of": "x"}
            case "GET", "/batches/{batch_id}":
                return (200, self._batch(last)) if last == "b1" else _problem(404, "batch_not_found", got.path)
            case "POST", "/search":
                return 200, {"results": self.hits, "mode": got.json.get("mode", "hybrid"), "model": "t", "took_ms": 1.5}
            case "GET", "/corpora":
                return self._page(got, list(self.corpora.values()))
            case "GET", "/corpora/{name}":
                found = self.corpora.get(last)
                return (200, found) if found else _problem(404, "corpus_not_found", got.path)
            case "DELETE", "/corpora/{name}":
                return (204, None) if self.corpora.pop(last, None) else _problem(404, "corpus_not_found", got.path)
            case "GET", "/corpora/{name}/documents/{document_id}/content":
                document = self.texts.get(got.path.split("/")[-2])
                return (200, document) if document else _problem(404, "document_not_found", got.path)
            case "GET", "/health":
                service = got.path.split("/")[2]
                status = self.sick.get(service, "ok")
                checks = {"redis": {"status": status, "latency_ms": 1.0}}
                content = {"status": status, "service": service, "version": "1", "checks": checks}
                return JSONResponse(content, 200 if status == "ok" else 503)
        return _problem(404, "not_found", got.path)

    def _create(self, got: Received) -> tuple[int, Any]:
        key = got.headers["idempotency-key"]
        if key not in self.created:
            self.created[key] = self._new(got.json["url"])
        return 202, {"job_id": self.created[key], "status": "queued"}

    def _new(self, url: str) -> str:
        job_id = str(uuid.uuid4())
        self.jobs[job_id] = job_of(job_id, url)
        return job_id

    def _read(self, job_id: str) -> dict[str, Any]:
        """Return a job, and let it go on."""
        job = self.jobs[job_id]
        if self.step_on_read:
            self.step(job_id)
        return job

    def step(self, job_id: str) -> None:
        """Let a job go on by one stage."""
        job = self.jobs[job_id]
        if job["ended_at"] is None:
            following = PATH[PATH.index(job["status"]) + 1] if job["status"] in PATH else PATH[0]
            if self.fails_with and following == "chunking":
                error = {"code": self.fails_with, "message": "it is so", "failed_stage": "scraping"}
                self.jobs[job_id] = job_of(job_id, job["url"], "failed", error=error)
            else:
                self.jobs[job_id] = job_of(job_id, job["url"], following)

    def _batch(self, batch_id: str) -> dict[str, Any]:
        for job_id in self.jobs:
            self.step(job_id)
        done = sum(job["ended_at"] is not None for job in self.jobs.values())
        counts = dict.fromkeys((*PATH, "queued", "failed", "cancelled"), 0) | {"completed": done}
        return {
            "batch_id": batch_id,
            "corpus_name": "default",
            "jobs": len(self.jobs),
            "counts": counts,
            "progress": done / max(len(self.jobs), 1),
            "submitted_at": NOW,
            "ended_at": NOW if done == len(self.jobs) else None,
        }

    def _page(self, got: Received, items: list[Any]) -> tuple[int, Any]:
        limit, begin = int(got.query.get("limit", 50)), int(got.query.get("cursor", 0))
        more = begin + limit < len(items)
        return 200, {"items": items[begin : begin + limit], "next_cursor": str(begin + limit) if more else None}

    def _event_stream(self, got: Received) -> Response:
        if self.events is None:
            return _problem(404, "not_found", got.path)
        return StreamingResponse(self.events(got), media_type="text/event-stream")


def _planned(plan: Planned, path: str) -> Response:
    if plan.raw is not None:
        return Response(plan.raw, plan.status, headers=plan.headers)
    return _problem(plan.status, plan.code, path, headers=plan.headers)


def _problem(
    status: int, code: str, path: str, detail: str = "that is how it is", headers: dict[str, str] | None = None
) -> Response:
    content = {
        "type": "about:blank",
        "title": "No",
        "status": status,
        "detail": detail,
        "instance": path,
        "code": code,
        "request_id": "request-1",
        "trace_id": "f" * 32,
    }
    return JSONResponse(content, status, headers=headers, media_type="application/problem+json")


async def quiet(seconds: float = 3600.0) -> None:
    """Say nothing for a long time."""
    await asyncio.sleep(seconds)
