"""What a finished scrape tells the orchestrator. The callback itself is the base task's (ml_shared.worker)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from ml_shared.clients.orchestrator import REPORTED_CONTENT_MAX_BYTES, OrchestratorClient
from ml_shared.contracts.links import LinkList
from ml_shared.contracts.looks import Look
from ml_shared.contracts.scraping import ScrapeResult
from ml_shared.errors import InvalidError, TooLargeError
from ml_shared.names import Stage
from ml_shared.settings import ServiceSettings
from ml_shared.worker.stage import StageOutcome, StageRun

CUTS_MAX: Final = 6
# halves of a list: from 50,000 of the longest URLs down to a megabyte
T = TypeVar("T")


@asynccontextmanager
async def open_orchestrator(settings: ServiceSettings) -> AsyncIterator[OrchestratorClient | None]:
    """Open the client for callbacks, or give `None` where no job can come from: no `ORCHESTRATOR_URL`."""
    if not settings.ORCHESTRATOR_URL:
        yield None
        return
    async with OrchestratorClient.open(settings) as orchestrator:
        yield orchestrator


async def read_content(run: StageRun, ref: str) -> bytes:
    """Return what the orchestrator keeps for this attempt to work on.

    Raises
    ------
    InvalidError
        If the task is no job's: nobody keeps anything for it.
    ContentMissingError, AbandonError, UnavailableError, UpstreamError
        As `OrchestratorClient.get_content` does.
    """
    if run.orchestrator is None or run.attempt_id is None:
        raise InvalidError("content_ref names what a job's orchestrator keeps, and this task is no job's")
    return await run.orchestrator.get_content(ref, run.attempt_id)


async def deliver(run: StageRun, result: ScrapeResult) -> StageOutcome:
    """Return what the callback says of a page, and the page itself; a long one is put with the orchestrator before.

    Of a page that was not sent there is none: what was kept of it once is not kept any more, and not needed.
    """
    stats = {
        "bytes": result.bytes_fetched,
        "title": result.title,
        "status_code": result.status_code,
        "final_url": result.final_url,
        "rendered": result.rendered,
        "not_modified": result.not_modified,
        "extraction": result.extraction.model_dump(mode="json") if result.extraction is not None else None,
        "look": Look.of(result).model_dump(mode="json"),
    }
    return await _delivered(run, result, stats)


async def deliver_links(run: StageRun, result: LinkList) -> StageOutcome:
    """Return what the callback says of a list of pages, and the list; one that is longer than is kept is cut."""
    for cuts_left in reversed(range(CUTS_MAX + 1)):
        stats = {
            "bytes": result.bytes_fetched,
            "final_url": result.final_url,
            "not_modified": result.not_modified,
            "links": len(result.links),
            "sitemaps": len(result.sitemaps),
            "truncated": result.truncated,
        }
        try:
            return await _delivered(run, result, stats)
        except TooLargeError:
            if not cuts_left:
                raise
        shorter = {"links": _half(result.links), "sitemaps": _half(result.sitemaps), "truncated": True}
        result = result.model_copy(update=shorter)
    raise AssertionError("the last round returns or raises")


def _half(listed: list[T]) -> list[T]:
    return listed[: len(listed) // 2]


async def _delivered(run: StageRun, result: ScrapeResult | LinkList, stats: dict[str, Any]) -> StageOutcome:
    if run.orchestrator is None or not run.job_id or not run.attempt_id or result.not_modified:
        return StageOutcome(result=result, stats=stats)
    body = result.model_dump_json().encode()
    if len(body) <= REPORTED_CONTENT_MAX_BYTES:
        return StageOutcome(result=result, stats=stats, content=body)
    stored = await run.orchestrator.put_content(run.job_id, run.attempt_id, Stage.SCRAPING, body)
    return StageOutcome(result=result, content_ref=stored.content_ref, stats=stats)
