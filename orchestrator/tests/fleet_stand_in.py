"""The three stages as one real HTTP server, with answers that a test chooses."""

import json
from dataclasses import dataclass, field
from typing import Any

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
    """Answers every request with `status`; keeps what it was asked."""

    status: int = 202
    epoch: str = "epoch-1"
    answer: dict[str, Any] | None = None
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.calls.append(Call(scope["path"], headers, json.loads(body)))
        status = self.status
        if status == 202 and scope["path"] == "/chunk":
            status = 200
        answer = self.answer or self._usual(scope["path"], status)
        payload = json.dumps(answer).encode()
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": payload})

    def _usual(self, path: str, status: int) -> dict[str, Any]:
        if status >= 300:
            return {"code": "from_the_stage", "detail": "what the stage said"}
        return CHUNKS if path == "/chunk" else {"task_id": "t", "queue_epoch": self.epoch}

    def serve(self) -> ThreadedServer:
        return ThreadedServer(self)
