"""A reload takes effect, loses nothing, and leaves what runs alone where the new configuration is wrong."""

import asyncio
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from conftest import UNLIMITED, Gateway, StartGateway

REQUESTS = 10_000
RELOADS = 20
ADDRESSES = 2_000
# five requests each: no address reaches its rate or burst
BLOCK = REQUESTS // RELOADS
AT_ONCE = 16
PATIENCE_SECONDS = 60.0


def _say(gateway: Gateway, generation: int) -> None:
    """Write what the configuration of this generation answers; nginx reads it at its next reload."""
    file: Path = gateway.server.state_folder / "server.d" / "generation.conf"
    file.write_text(f'location = /generation {{ return 200 "{generation}"; }}')


async def _ask(gateway: Gateway, path: str, address: str) -> bytes:
    """Ask on a new connection from an address of this machine; return all of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, local_addr=(address, 0))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.close()


async def _until(gateway: Gateway, generation: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (await _ask(gateway, "/generation", "127.0.0.1")).endswith(f"\r\n\r\n{generation}".encode()):
        assert time.monotonic() < deadline, f"no answer of generation {generation}"
        await asyncio.sleep(0.02)


def _addresses() -> list[str]:
    with socket.socket() as probe:
        try:
            probe.bind(("127.1.0.1", 0))
        except OSError:
            pytest.skip("only 127.0.0.1 of 127.0.0.0/8 is an address here (macOS): `ifconfig lo0 alias` adds others")
    return [f"127.1.{number >> 8}.{number & 255}" for number in range(1, ADDRESSES + 1)]


class Counting(asyncio.Protocol):
    """A server's side of a connection: answers each request as soon as its head has come, and has it counted."""

    def __init__(self, count: list[int]) -> None:
        self._count = count
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self._head = (self._head + data).split(b"\r\n\r\n")
        for _ in heads:
            self._count[0] += 1
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


async def _counting(count: list[int], stack: AsyncExitStack) -> str:
    """Start such a server, which is cheaper than a service by far, and return its line in nginx's configuration."""
    server = await asyncio.get_running_loop().create_server(lambda: Counting(count), "127.0.0.1", 0, backlog=2048)
    stack.callback(server.close)
    return f"server 127.0.0.1:{server.sockets[0].getsockname()[1]};"


class Load:
    """Requests from many addresses, in blocks: each begins when the reload within the one before has taken effect."""

    def __init__(self, gateway: Gateway, addresses: list[str]) -> None:
        self.gateway, self.addresses = gateway, addresses
        self.answered, self.lost = 0, list[bytes]()
        self._numbers = iter(range(REQUESTS))
        self._may_begin = [asyncio.Event() for _ in range(RELOADS)]

    async def ask(self) -> None:
        for number in self._numbers:
            await self._may_begin[number // BLOCK].wait()
            answer = await _ask(self.gateway, "/api/orchestrator/jobs", self.addresses[number % ADDRESSES])
            if not answer.startswith(b"HTTP/1.1 200 "):
                self.lost.append(answer[:200])
            self.answered += 1

    async def run(self, servers: list[str]) -> None:
        clients = [asyncio.create_task(self.ask()) for _ in range(AT_ONCE)]
        for block, begin in enumerate(self._may_begin):
            begin.set()
            while self.answered < block * BLOCK + BLOCK // 4:
                await asyncio.sleep(0.001)
            _say(self.gateway, block)
            self.gateway.server.reload(GATEWAY_ORCHESTRATOR_SERVERS=servers[block % len(servers)])
            await _until(self.gateway, block)
        await asyncio.gather(*clients)


async def test_twenty_reloads_under_load_lose_none_of_ten_thousand_requests(start_gateway: StartGateway) -> None:
    addresses = _addresses()
    first, second = [0], [0]
    async with AsyncExitStack() as stack:
        alone, joined = await _counting(first, stack), await _counting(second, stack)
        gateway = stack.enter_context(start_gateway(GATEWAY_ORCHESTRATOR_SERVERS=alone))
        load = Load(gateway, addresses)
        await load.run([alone + joined, alone])
        refused = [line for line in gateway.server.error_log.read_text().splitlines() if "[emerg]" in line]
    assert load.lost == []
    assert load.answered == first[0] + second[0] == REQUESTS
    # of each second block a quarter is asked for while both are known to serve; what the rest meets is the machine's to say
    assert second[0] > REQUESTS // 25, "the second server was not in use"
    assert refused == []


def test_a_request_that_is_under_way_is_ended_by_the_workers_that_began_it(start_gateway: StartGateway) -> None:
    async def run(gateway: Gateway) -> bytes:
        held = asyncio.create_task(_ask(gateway, "/api/orchestrator/held", "127.0.0.1"))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not gateway.upstreams["orchestrator"].received:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        _say(gateway, 1)
        gateway.server.reload()
        await _until(gateway, 1)
        assert not held.done()
        gateway.upstreams["orchestrator"].release()
        return await held

    with start_gateway(**UNLIMITED) as gateway:
        assert asyncio.run(run(gateway)).startswith(b"HTTP/1.1 200 ")


def test_a_configuration_that_nginx_refuses_changes_nothing(start_gateway: StartGateway) -> None:
    with start_gateway(**UNLIMITED) as gateway:
        gateway.server.reload(GATEWAY_CHUNKING_SERVERS="server no.such.name.invalid:8002;")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "host not found in upstream" not in gateway.server.error_log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert gateway.get("/api/chunking/x").json() == {"service": "chunking"}
