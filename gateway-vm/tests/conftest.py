"""Real nginx, with the deployment's own template, in front of small real servers."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_shared.clients.tls import shared_tls
from ml_shared.testing.binaries import find_nginx
from ml_shared.testing.gateway import SERVICES, GatewayServer
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.plugin import require
from ml_shared.testing.servers import wait_until

GATEWAY_FOLDER = Path(__file__).parent.parent
HANG_SECONDS = 60.0
# what takes longer does not come at all, on the slowest of machines
PROBLEM = b'{"type":"about:blank","status":429,"code":"from_the_service"}'


@dataclass
class Received:
    """One request as an upstream got it."""

    service: str
    method: str
    path: str
    headers: dict[str, str]
    body_bytes: int


@dataclass
class Upstream:
    """An ASGI application that notes each request; some paths answer in a way of their own.

    `/held` and `/events` wait, the latter after its first event, until the test says `release()`.
    """

    service: str
    received: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self.released.set()

    async def _release(self) -> None:
        while not self.released.is_set():
            await asyncio.sleep(0.01)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        body_bytes, more = 0, True
        while more:
            message = await receive()
            body_bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = scope["raw_path"].decode()
        self.received.append(Received(self.service, scope["method"], path, headers, body_bytes))
        answer = [(b"x-trace-id", b"0af7651916cd43dd8448eb211c80319c"), (b"x-request-id", b"the-services-own-id")]
        status, body = 200, json.dumps({"service": self.service}).encode()
        if path.endswith("/problem"):
            status, body = 429, PROBLEM
            answer += [(b"content-type", b"application/problem+json"), (b"retry-after", b"17")]
        if path.endswith("/onward"):
            status, body = 307, b""
            answer.append((b"location", f"http://{headers['host']}/jobs?x=1".encode()))
        if path.endswith("/refused"):
            status, body = 405, b""
            answer.append((b"allow", b"GET"))
        if path.endswith("/held"):
            await self._release()
        await send({"type": "http.response.start", "status": status, "headers": answer})
        if path.endswith("/events"):
            await send({"type": "http.response.body", "body": b"id: 1\n\n", "more_body": True})
            await self._release()
        await send({"type": "http.response.body", "body": body})


class Gateway:
    """A running gateway, its upstreams, and a client of it."""

    def __init__(self, server: GatewayServer, upstreams: dict[str, Upstream], client: httpx.Client) -> None:
        self.server, self.upstreams, self.client = server, upstreams, client
        self.get, self.post, self.put = client.get, client.post, client.put

    @property
    def port(self) -> int:
        return self.server.port

    def last(self, service: str) -> Received:
        return self.upstreams[service].received[-1]

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line that is written to its end."""
        whole, _, _ = self.server.access_log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def log_line(self, request_id: str) -> dict[str, Any]:
        """nginx writes the line after the answer, so it may be a moment away."""
        found: list[dict[str, Any]] = []

        def written() -> bool:
            found[:] = [line for line in self.log_lines() if line["request_id"] == request_id]
            return bool(found)

        assert wait_until(written, HANG_SECONDS), f"no access log line for {request_id}"
        return found[-1]


StartGateway = Callable[..., AbstractContextManager[Gateway]]


@pytest.fixture(scope="session")
def nginx() -> str:
    return str(require(find_nginx))


@pytest.fixture(scope="session")
def start_gateway(nginx: str, tmp_path_factory: pytest.TempPathFactory) -> StartGateway:
    @contextmanager
    def start(
        *,
        dead: tuple[str, ...] = (),
        folder: Path = GATEWAY_FOLDER,
        server_files: Mapping[str, str] | None = None,
        **overrides: str,
    ) -> Iterator[Gateway]:
        with ExitStack() as stack:
            upstreams = {name: Upstream(name) for name in SERVICES}
            addresses = {}
            for name in SERVICES:
                server = ThreadedServer(upstreams[name])
                addresses[name] = f"127.0.0.1:{server.port}"
                if name in dead:
                    stack.callback(server._socket.close)  # until then it is nobody else's, and nothing listens
                else:
                    stack.enter_context(server)
                    stack.callback(upstreams[name].release)
            state = tmp_path_factory.mktemp("gateway")
            (state / "server.d").mkdir()
            for name, text in (server_files or {}).items():
                (state / "server.d" / name).write_text(text)
            gateway = stack.enter_context(GatewayServer(nginx, folder, state, upstreams=addresses, **overrides))
            client = stack.enter_context(httpx.Client(base_url=gateway.url, timeout=HANG_SECONDS, verify=shared_tls()))
            yield Gateway(gateway, upstreams, client)

    return start


UNLIMITED = {
    "GATEWAY_RATE_PER_IP": "10000r/s",
    "GATEWAY_RATE_PER_KEY": "10000r/s",
}


@pytest.fixture(scope="session")
def gateway(start_gateway: StartGateway) -> Iterator[Gateway]:
    """One that takes this machine for one of the fleet, with limits that no test reaches."""
    with start_gateway(**UNLIMITED) as running:
        yield running


@pytest.fixture(scope="session")
def outside(start_gateway: StartGateway) -> Iterator[Gateway]:
    """One whose fleet is elsewhere: this machine is an outsider."""
    with start_gateway(GATEWAY_FLEET_ALLOW="allow 192.0.2.0/24;", **UNLIMITED) as running:
        yield running
