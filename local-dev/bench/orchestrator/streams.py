"""What open streams of events cost the API, over real connections: memory, processor time, connections to PostgreSQL."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil

from bench.orchestrator.service import KEY, Databases, api

TIMEOUT_SECONDS: Final = 60.0
AT_ONCE: Final = 50
# connections that are opened at a time: fewer than wait to be accepted
MEGABYTE: Final = 2**20
BATCH: Final = 1_000
_CONNECTIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"


@dataclass(frozen=True)
class Streams:
    """What so many open streams, each of a job of its own, take more than none.

    Attributes
    ----------
    megabytes
        Resident memory of the API's process.
    cpu
        Share of a processor, while nothing happens.
    connections
        To the jobs' database in all, of a pool of ten.
    last_told_seconds
        Until each stream has heard that its job was cancelled, all at once.
    """

    megabytes: float
    cpu: float
    connections: int
    last_told_seconds: float


async def open_streams(databases: Databases, count: int, *, quiet_seconds: float) -> Streams:
    """Open streams, hold them while nothing happens, and end all of them."""
    with (
        databases.copied() as dsns,
        api(dsns, MAX_EVENT_STREAMS=str(count), MAX_EVENT_STREAMS_PER_OWNER=str(count)) as (
            url,
            pid,
        ),
    ):
        process, headers = psutil.Process(pid), {"X-API-Key": KEY}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
            taken = [await _batch(client, first, min(BATCH, count - first)) for first in range(0, count, BATCH)]
            jobs = [job["job_id"] for batch in taken for job in batch["jobs"]]
            memory = process.memory_info().rss
            held = []
            for first in range(0, count, AT_ONCE):
                opening = (_open(url, job) for job in jobs[first : first + AT_ONCE])
                held += await asyncio.gather(*opening)
            memory = process.memory_info().rss - memory
            began = process.cpu_times()
            await asyncio.sleep(quiet_seconds)
            cpu = (sum(process.cpu_times()[:2]) - sum(began[:2])) / quiet_seconds
            connections = await _connections(dsns[0])
            clock = asyncio.get_running_loop().time
            ended = clock()
            for batch in taken:
                (await client.post(f"/batches/{batch['batch_id']}/cancel")).raise_for_status()
            await asyncio.gather(*(_until_cancelled(reader) for reader, _ in held))
            told = clock() - ended
            for _, writer in held:
                writer.close()
    return Streams(memory / MEGABYTE, cpu, connections, told)


async def _batch(client: httpx.AsyncClient, first: int, size: int) -> Any:
    urls = [f"http://h{number}.test/" for number in range(first, first + size)]
    answer = await client.post("/jobs/batch", json={"urls": urls})
    answer.raise_for_status()
    return answer.json()


async def _connections(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(_CONNECTIONS, urlsplit(dsn).path.lstrip("/")))
    finally:
        await connection.close()


async def _open(url: str, job: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream, and read what has happened to its job until now."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET /jobs/{job}/events HTTP/1.1\r\nHost: bench\r\nX-API-Key: {KEY}\r\n\r\n".encode())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a stream was refused: {head[:100]!r}")
        await reader.readuntil(b"event: submitted")
    return reader, writer


async def _until_cancelled(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await reader.readuntil(b"event: cancelled")
