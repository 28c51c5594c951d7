"""The roots of several jobs' traces: each job has one of its own, linked to the request that brought them all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from opentelemetry.util.types import AttributeValue

from ml_shared.names import Operation
from ml_shared.telemetry import attributes
from ml_shared.telemetry.roots import Roots
from ml_shared.telemetry.spans import failure_code
from ml_shared.telemetry.urls import told_url

SUBMIT_SPAN: Final = "job.submit"
AT_ONCE: Final = 100
# roots described before others get their turn: one takes some microseconds


@asynccontextmanager
async def open_roots(jobs: Sequence[tuple[UUID, str]], corpus_name: str) -> AsyncIterator[list[str | None]]:
    """Begin the traces of jobs, given with their URLs, that are submitted within the block; yield each one's `traceparent`.

    What their spans say is put together while the block waits for the database.
    """
    roots = Roots(SUBMIT_SPAN, len(jobs))
    describing = asyncio.create_task(_described(jobs, corpus_name)) if roots.kept else None
    failed: dict[str, AttributeValue] = {}
    try:
        yield roots.traceparents
    except (asyncio.CancelledError, Exception) as error:
        failed = {attributes.ERROR_CODE: failure_code(error)}
        raise
    finally:
        if describing is not None:
            roots.end([{**told, **failed} for told in await describing])


async def _described(jobs: Sequence[tuple[UUID, str]], corpus_name: str) -> list[dict[str, AttributeValue]]:
    described: list[dict[str, AttributeValue]] = []
    for number, (job_id, url) in enumerate(jobs, 1):
        described.append(
            {
                attributes.JOB_ID: str(job_id),
                attributes.JOB_URL: told_url(url),
                attributes.CORPUS_NAME: corpus_name,
                attributes.OPERATION: Operation.WRITE.value,
            }
        )
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    return described
