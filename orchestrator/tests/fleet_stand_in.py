"""The three stages as one real HTTP server, with answers that a test chooses."""

from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_shared.testing.http_server import ThreadedServer

CHUNKS = {
    "chunks": [{"index": 0, "text": "Body.", "start": 0, "end": 5, "token_count": 4, "heading_path": ["Title"]}],
    "token_total": 4,
    "tokenizer": "test",
    "strategy": "markdown",
}
PAGE = {
    "url": "http://site.test/a",
    "final_url": "http://site.test/a",
    "status_code": 200,
    "title": "Title",
    "content": "# Title\n\nBody.",
    "content_type": "text/html",
    "content_hash": "0" * 64,
    "bytes_fetched": 12,
    "fetched_at": "2026-01-01T00:00:00Z",
    "robots": {"allowed": True},
}


@dataclass
class Call:
    """One request that a stage received."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class StageStandIn:
    """Answers every request with `status`, the job `long_for` at length; keeps what it was asked."""

    status: int = 202
    epoch: str = "epoch-1"
    answer: dict[str, Any] | None = None
    long_for: str | None = None
    calls: list[Call] = field(default_factory=list)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        body = await request.json()
        self.calls.append(Call(path, dict(request.headers), body))
        status = 200 if self.status == 202 and path == "/chunk" else self.status
        answer = self.answer or self._usual(path, status)
        if self.long_for is not None and body.get("job_id") == self.long_for:
            answer = answer | {"padding": "x" * 10_000}
        return JSONResponse(answer, status)

    def _usual(self, path: str, status: int) -> dict[str, Any]:
        if status >= 300:
            return {"code": "from_the_stage", "detail": "what the stage said"}
        return CHUNKS if path == "/chunk" else {"task_id": "t", "queue_epoch": self.epoch}

    def serve(self) -> ThreadedServer:
        return ThreadedServer(Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])]))
