"""What surrounds every request: its ids, the limit on its body, and the answer to what nobody caught."""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from guarded_app import MAX_BODY_BYTES, build_app, instrumented, serving, settings_for
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.requests import ClientDisconnect

from ml_shared.auth.context import CallerContext
from ml_shared.auth.middleware import current_request
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.servers import wait_until

TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
KEY = "user-key-0123456789"


@pytest.fixture
def app(spans: InMemorySpanExporter) -> FastAPI:
    return instrumented(build_app())


@pytest.fixture
async def client(app: FastAPI, membership: FakeMembership) -> AsyncIterator[httpx.AsyncClient]:
    membership.add(KEY)
    async with serving(app, settings_for(membership.url)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/whoami", 200),
        ("GET", "/nowhere", 404),
        ("DELETE", "/whoami", 405),
        ("GET", "/page?limit=0", 422),
        ("GET", "/internal", 403),
        ("GET", "/broken", 500),
        ("GET", "/health", 200),
    ],
)
async def test_every_answer_carries_both_ids(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path, headers={"X-API-Key": KEY})
    assert answer.status_code == status
    assert REQUEST_ID.fullmatch(answer.headers["x-request-id"])
    assert TRACE_ID.fullmatch(answer.headers["x-trace-id"])
    if status >= 400:
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert answer.json()["trace_id"] == answer.headers["x-trace-id"]


@pytest.mark.parametrize("given", ["request-1234", "a" * 128, "A.b_c-12"])
async def test_a_valid_request_id_is_kept_and_put_on_the_span(
    client: httpx.AsyncClient, spans: InMemorySpanExporter, given: str
) -> None:
    answer = await client.get("/whoami", headers={"X-API-Key": KEY, "X-Request-Id": given})
    assert answer.headers["x-request-id"] == given
    (span,) = [span for span in spans.get_finished_spans() if span.name == "GET /whoami"]
    assert span.attributes is not None
    assert span.attributes["http.request_id"] == given
    assert f"{span.context.trace_id:032x}" == answer.headers["x-trace-id"]


@pytest.mark.parametrize("given", ["short", "a" * 129, "with space 1234", "line\\nbreak-1234", "émile-12345", ""])
async def test_a_request_id_that_could_forge_logs_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/health", headers={"X-Request-Id": given.encode()})
    assert answer.headers["x-request-id"] != given
    assert REQUEST_ID.fullmatch(answer.headers["x-request-id"])
    assert answer.json() == {"request_id": answer.headers["x-request-id"]}


async def test_what_runs_within_an_excluded_path_makes_no_trace(
    client: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    await client.get("/health")
    assert spans.get_finished_spans() == ()


async def test_an_unforeseen_error_is_logged_with_its_trace_and_told_to_nobody(
    client: httpx.AsyncClient, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    (record,) = caplog.records
    assert (record.message, record.exc_info is not None) == ("unexpected_error", True)
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
    assert "secret" not in span.to_json()
    assert "postgresql://***@10.0.0.7/db is gone" in span.to_json()


@pytest.mark.parametrize("path", ["/whoami", "/nowhere"])
async def test_a_key_in_a_query_is_not_on_the_span(
    client: httpx.AsyncClient, spans: InMemorySpanExporter, path: str
) -> None:
    await client.get(path, params={"k": KEY}, headers={"X-API-Key": KEY})
    server = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    assert len(server) == 1
    assert KEY not in server[0].to_json()


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(app: FastAPI) -> None:
    with ThreadedServer(app) as server, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{server.url}/breaks-off", trust_env=False, timeout=60)


async def test_a_body_is_refused_by_its_declared_length(client: httpx.AsyncClient) -> None:
    answer = await client.post("/large", content=b" " * (10 * MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert TRACE_ID.fullmatch(answer.headers["x-trace-id"])


async def test_a_streamed_body_is_refused_once_too_much_has_come(client: httpx.AsyncClient) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += MAX_BODY_BYTES
            yield b" " * MAX_BODY_BYTES

    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    answer = await client.post("/numbers", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert sent <= 3 * MAX_BODY_BYTES


async def test_a_body_at_the_limit_passes(client: httpx.AsyncClient) -> None:
    body = b'{"number": 1}'.ljust(MAX_BODY_BYTES)
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    assert (await client.post("/numbers", content=body, headers=headers)).status_code == 200


async def test_a_path_may_have_a_limit_of_its_own(client: httpx.AsyncClient) -> None:
    body = b'{"number": 1}'.ljust(MAX_BODY_BYTES * 10)
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    assert (await client.post("/large", content=body, headers=headers)).status_code == 200
    assert (await client.post("/larger", content=body)).status_code == 413


async def test_requests_are_counted_by_route(client: httpx.AsyncClient) -> None:
    from prometheus_client import REGISTRY

    def counted(route: str, status: str) -> float:
        labels = {"service": "unknown", "route": route, "method": "GET", "status": status}
        labels |= {"request_mode": "sync", "operation": "read"}
        return REGISTRY.get_sample_value("ml_http_requests_total", labels) or 0.0

    before = counted("/whoami", "2xx"), counted("unmatched", "4xx")
    await client.get("/whoami", headers={"X-API-Key": KEY})
    await client.get("/nowhere")
    assert (counted("/whoami", "2xx"), counted("unmatched", "4xx")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(
    ("prefix", "servers"),
    [("/api/scraper", [{"url": "/api/scraper"}]), ("", None), ("//elsewhere.test", None), ("/a'><script>", None)],
)
async def test_the_document_says_below_which_path_of_the_gateway_its_own_are(
    client: httpx.AsyncClient, prefix: str, servers: list[dict[str, str]] | None
) -> None:
    document = (await client.get("/openapi.json", headers={"X-Forwarded-Prefix": prefix})).json()
    assert document.get("servers") == servers


@pytest.mark.parametrize("path", ["/api/scraper/whoami", "/api/scraper/health", "/api/scraper"])
async def test_a_path_that_repeats_the_gateways_prefix_leads_to_no_route(client: httpx.AsyncClient, path: str) -> None:
    headers = {"X-API-Key": KEY, "X-Forwarded-Prefix": "/api/scraper"}
    assert (await client.get(path, headers=headers)).status_code == 404


def test_a_client_that_leaves_is_no_error_of_ours(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    """Neither one that leaves within its request's body, nor one that leaves within its answer."""
    left: list[str] = []

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 1000
                    await asyncio.sleep(0.001)
            finally:
                left.append("answer")

        return StreamingResponse(parts())

    @app.post("/upload")
    async def upload(request: Request) -> None:
        state = current_request()
        assert state is not None
        assert state.body is not None
        state.body.admit(CallerContext(caller_id="", caller_type="user", owner="key:a"))
        try:
            await request.body()
        except ClientDisconnect:
            left.append("body")
            raise

    with ThreadedServer(app) as server:
        with socket.create_connection((server.host, server.port)) as uploading:
            uploading.sendall(b"POST /upload HTTP/1.1\r\nHost: service\r\nContent-Length: 900\r\n\r\nthe beginning")
        with socket.create_connection((server.host, server.port)) as reading:
            reading.sendall(b"GET /endless HTTP/1.1\r\nHost: service\r\n\r\n")
            assert reading.recv(10)
        assert wait_until(lambda: sorted(left) == ["answer", "body"], 60)
        assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_request_that_the_stopping_server_cuts_off_is_told_so_in_a_problem(app: FastAPI) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    @app.get("/slow")
    async def slow() -> None:
        loop.call_soon_threadsafe(reached.set)
        await asyncio.Event().wait()

    server = ThreadedServer(app).__enter__()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
            asked = asyncio.create_task(client.get("/slow"))
            await asyncio.wait_for(reached.wait(), 60)
            await asyncio.to_thread(server.__exit__, None, None, None)
            answer = await asked
    finally:
        server.__exit__(None, None, None)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (answer.json()["code"], answer.headers["retry-after"]) == ("stopping", "1")
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"]
