"""What attackers do, in a process of their own: `python -m attack.floods KIND`, its plan a line on standard input.

They print a line when they begin, go on until their input ends or `seconds` have passed, and then print what they came to
as JSON.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx

MOST_SECONDS = 120.0
# whatever the plan says
PART_BYTES = 256 * 1024

Plan = dict[str, Any]
said: Counter[str] = Counter()
over = asyncio.Event()


async def _over(seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)
    return over.is_set()


async def _until_over(one: Callable[[], Coroutine[Any, Any, None]], at_once: int) -> None:
    """Have so many do one thing, until it is over for all of them."""
    tasks = [asyncio.create_task(one()) for _ in range(at_once)]
    await asyncio.sleep(0)
    print("begun", flush=True)
    await over.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _posting(plan: Plan, body: bytes, path: str) -> None:
    """Post one body again and again, so many at once."""
    transport = httpx.AsyncHTTPTransport(
        local_address=plan["address"], limits=httpx.Limits(max_connections=plan["at_once"])
    )
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    if plan.get("key"):
        headers["X-API-Key"] = plan["key"]

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), PART_BYTES):
            yield body[start : start + PART_BYTES]

    async with httpx.AsyncClient(transport=transport, timeout=120) as client:

        async def one() -> None:
            while not over.is_set() and sum(said.values()) < plan["most"]:
                try:
                    answer = await client.post(plan["gateway"] + path, content=parts(), headers=headers)
                except httpx.HTTPError as error:
                    said[type(error).__name__] += 1
                else:
                    said[str(answer.status_code)] += 1
                    if answer.status_code == 429:
                        await _over(0.05)

        await _until_over(one, plan["at_once"])


async def large_json(plan: Plan) -> None:
    """Valid JSON of many megabytes, as one text of a `/chunk`."""
    text = "All work and no play makes Jack a dull boy. " * (plan["megabytes"] * 2**20 // 44)
    await _posting(plan, json.dumps({"text": text}).encode(), plan.get("path", "/api/chunking/chunk"))


async def documents(plan: Plan) -> None:
    """Documents of many chunks for embedding's queue."""
    chunk = {"text": "All work and no play makes Jack a dull boy. " * 34, "start": 0, "end": 1, "token_count": 300}
    chunks = [{"index": index, **chunk} for index in range(plan["megabytes"] * 2**20 // 1600)]
    body = {"corpus_name": "flood", "document": {"url": "http://flood.test/"}, "chunks": chunks}
    await _posting(plan, json.dumps(body).encode(), "/api/embedding/enqueue")


async def half_sent(plan: Plan) -> None:
    """Connections that begin a request and do not go on; what is closed is opened anew."""
    host, port = plan["gateway"].removeprefix("http://").split(":")

    async def one() -> None:
        while not over.is_set():
            writer = None
            try:
                async with asyncio.timeout(5):
                    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(plan["address"], 0))
                writer.write(b"GET /health HTTP/1.1\r\nHost: gateway\r\nX-Half: ")
                said["opened"] += 1
                await reader.read(1)
                said["closed"] += 1
            except (OSError, TimeoutError):
                said["refused"] += 1
                await _over(0.1)
            finally:
                if writer is not None:
                    writer.close()

    await _until_over(one, plan["at_once"])


async def slow_bodies(plan: Plan) -> None:
    """Bodies that are announced and never come, at a service's own port, with a key."""
    host, port = plan["target"].removeprefix("http://").split(":")
    head = (
        f"POST {plan['path']} HTTP/1.1\r\nHost: x\r\nX-API-Key: {plan['key']}\r\nContent-Type: application/json\r\n"
        "Content-Length: 60000\r\n\r\n{"
    ).encode()

    async def one() -> None:
        while not over.is_set():
            try:
                reader, writer = await asyncio.open_connection(host, int(port), local_addr=(plan["address"], 0))
            except OSError:
                said["refused"] += 1
                await _over(0.1)
                continue
            writer.write(head)
            said[(await reader.read(64)).decode("latin-1")[9:12] or "closed"] += 1
            writer.close()

    await _until_over(one, plan["at_once"])


FLOODS: dict[str, Callable[[Plan], Coroutine[Any, Any, None]]] = {
    function.__name__: function for function in (large_json, documents, half_sent, slow_bodies)
}


async def _run(flood: str, plan: Plan) -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(min(plan["seconds"], MOST_SECONDS), over.set)
    loop.add_reader(sys.stdin, _look_at_input)
    began = time.monotonic()
    await FLOODS[flood](plan)
    print(json.dumps({**said, "seconds": round(time.monotonic() - began, 1)}))


def _look_at_input() -> None:
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin)
        over.set()


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    socket.setdefaulttimeout(30)
    asyncio.run(_run(sys.argv[1], json.loads(sys.stdin.buffer.readline())))
