"""What open streams of events cost: memory, connections and looks. `make -C orchestrator bench-streams`.

A process holds STREAMS streams, each of a job of its own, through the response as it is served; what is measured is what this
process takes more than without them.
"""

import asyncio
import gc
import os
import sys
import time
from pathlib import Path
from uuid import UUID

os.environ.setdefault("ML_AUDIT_STRICT", "true")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from conftest import open_core

from app.api.streaming import EventStream
from app.core.database import CONTENT_MIGRATIONS, MIGRATIONS
from app.core.jobs import batches, cancelling
from app.core.notices.sources import BatchSource, JobSource
from app.core.notices.streams import Room, Source, Streams, Subject
from ml_shared.contracts.batches import BatchRequest
from ml_shared.storage.migrations import migrate
from ml_shared.testing.servers import PostgresServer

STREAMS = 1_000
BATCH_JOBS = 10
QUIET_SECONDS = 10.0
OWNER = "key:a"


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def hold(source: Source, subjects: list[Subject], pool: object, end: list[UUID]) -> None:
    """Hold a stream of each subject while nothing happens, then while all of them end."""
    gc.collect()
    before, got = resident_mb(), 0

    async def receive() -> dict[str, object]:
        await asyncio.sleep(3_600)
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        nonlocal got
        got += len(message.get("body", b""))  # type: ignore[attr-defined]

    async with Streams(source, Room(most=STREAMS, share=STREAMS)).opened() as streams:
        held = [
            asyncio.create_task(EventStream(streams.open(subject, seen=0))({"type": "http"}, receive, send))
            for subject in subjects
        ]
        await asyncio.sleep(2)
        gc.collect()
        open_mb, cpu = resident_mb() - before, time.process_time()
        await asyncio.sleep(QUIET_SECONDS)
        quiet = (time.process_time() - cpu) / QUIET_SECONDS
        print(
            f"{source.name}: {len(held)} streams take {open_mb:.1f} MB, and {quiet:.1%} of a CPU while nothing happens"
        )
        began = time.monotonic()
        for job in end:
            await cancelling.cancel(pool, OWNER, job)  # type: ignore[arg-type]
            streams.hear(job, ended=True)
        await asyncio.gather(*held)
        print(f"{source.name}: all told of {len(end)} ends after {time.monotonic() - began:.1f} s, {got} bytes in all")


async def main() -> None:
    with PostgresServer() as server:
        names = [server.create_database(), server.create_database()]
        for name, folder in zip(names, (MIGRATIONS, CONTENT_MIGRATIONS), strict=True):
            await migrate(server.dsn(name), folder)
        async with open_core((server.dsn(names[0]), server.dsn(names[1]))) as core:
            jobs = [UUID(await core.submit(f"http://h{n}.test/", max_open_jobs=10**6)) for n in range(STREAMS)]
            await hold(JobSource(core.pool), [Subject(OWNER, job) for job in jobs], core.pool, jobs)
            subjects, last = [], []
            for number in range(STREAMS // 10):
                asked = BatchRequest(urls=[f"http://b{number}.test/{n}" for n in range(BATCH_JOBS)])
                batch, _ = await batches.submit(core.pool, OWNER, asked, idempotency_key=None, max_open_jobs=10**6)
                subjects += [Subject(OWNER, UUID(batch.batch_id))] * 10
                last += [UUID(job.job_id) for job in batch.jobs]
            await hold(BatchSource(core.pool), subjects, core.pool, last)


if __name__ == "__main__":
    asyncio.run(main())
