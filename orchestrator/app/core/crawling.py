"""What one does with crawls and their runs: a part of the façade, as a table of contents."""

from typing import Final
from uuid import UUID

import asyncpg

from app.core import metrics
from app.core.crawls import crawls, pages, runs, upkeep
from app.core.crawls.filling import Window
from app.core.crawls.gone import RemoveDocuments
from app.core.crawls.pages import PageFilter
from app.core.crawls.passing import Passed, Passes
from app.core.errors import CrawlNotFoundError
from ml_shared.contracts.crawls import (
    CrawlDeleted,
    CrawlPage,
    CrawlPatch,
    CrawlRequest,
    CrawlView,
    OnGone,
    PagesPage,
    RunAccepted,
    RunPage,
    RunRequest,
    RunView,
)
from ml_shared.contracts.values import uuid_of
from ml_shared.names import Operation, Stage
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span

SUBMIT_SPAN: Final = "crawl.submit"
RUN_SPAN: Final = "crawl.run"
CANCEL_SPAN: Final = "run.cancel"
DELETE_SPAN: Final = "crawl.delete"
PASSES_OF_CANCEL: Final = 20
# of a run that is cancelled, before its answer: the frontier of most is left out by then, and beat does the rest
REMOVALS_AT_ONCE: Final = 1_000


class Crawling:
    """The use cases of crawls and their runs.

    Attributes
    ----------
    busy
        Whether a run was under way when it was looked last.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        window: Window,
        remove_documents: RemoveDocuments,
        *,
        max_crawls: int,
        max_open_runs: int,
    ) -> None:
        self._pool = pool
        self._passes = Passes(pool, window, remove_documents)
        self._remove_documents = remove_documents
        self._max_crawls = max_crawls
        self._max_open_runs = max_open_runs
        self.busy = False

    async def submit(
        self, owner: str, request: CrawlRequest, *, traceparent: str | None, idempotency_key: str | None
    ) -> tuple[RunAccepted, bool]:
        """Take in a crawl. See `app.core.crawls.crawls.submit`."""
        known: dict[str, Value] = {
            attributes.CORPUS_NAME: request.corpus_name,
            attributes.OPERATION: Operation.WRITE.value,
        }
        with work_span(SUBMIT_SPAN, attributes=known):
            accepted, new = await crawls.submit(
                self._pool,
                owner,
                request,
                traceparent=traceparent,
                idempotency_key=idempotency_key,
                max_crawls=self._max_crawls,
                max_open_runs=self._max_open_runs,
            )
            if new:
                await self._pass_run(UUID(accepted.crawl_id), accepted.run)
            return accepted, new

    async def crawl(self, owner: str, crawl_id: str) -> CrawlView:
        """Return an owner's crawl. See `app.core.crawls.crawls.find`."""
        return await crawls.find(self._pool, owner, _id(crawl_id))

    async def crawls(self, owner: str, *, limit: int, cursor: str | None) -> CrawlPage:
        """Return a page of an owner's crawls, newest first."""
        return await crawls.find_page(self._pool, owner, limit=limit, cursor=cursor)

    async def change(self, owner: str, crawl_id: str, patch: CrawlPatch) -> CrawlView:
        """Change a crawl. See `app.core.crawls.crawls.change`."""
        return await crawls.change(self._pool, owner, _id(crawl_id), patch)

    async def pause(self, owner: str, crawl_id: str, *, paused: bool) -> CrawlView:
        """Let a crawl's schedule rest, or go on. See `app.core.crawls.crawls.pause`."""
        return await crawls.pause(self._pool, owner, _id(crawl_id), paused=paused)

    async def delete(self, owner: str, crawl_id: str, *, documents: OnGone) -> CrawlDeleted:
        """Delete a crawl. See `app.core.crawls.crawls.delete`."""
        with work_span(DELETE_SPAN, attributes={attributes.OPERATION: Operation.WRITE.value}):
            metrics.count_cancelled(await crawls.delete(self._pool, owner, _id(crawl_id), documents=documents))
        return CrawlDeleted(crawl_id=str(_id(crawl_id)), documents=documents.value)

    async def run_now(
        self, owner: str, crawl_id: str, request: RunRequest, *, traceparent: str | None, idempotency_key: str | None
    ) -> tuple[RunAccepted, bool]:
        """Begin a run. See `app.core.crawls.crawls.run_now`."""
        with work_span(RUN_SPAN, attributes={attributes.OPERATION: Operation.WRITE.value}):
            accepted, new = await crawls.run_now(
                self._pool,
                owner,
                _id(crawl_id),
                request,
                traceparent=traceparent,
                idempotency_key=idempotency_key,
                max_open_runs=self._max_open_runs,
            )
            if new:
                await self._pass_run(UUID(accepted.crawl_id), accepted.run)
            return accepted, new

    async def run(self, owner: str, crawl_id: str, run: int) -> RunView:
        """Return a run of an owner's crawl. See `app.core.crawls.runs.find`."""
        return await runs.find(self._pool, owner, _id(crawl_id), run)

    async def runs(self, owner: str, crawl_id: str, *, limit: int, cursor: str | None) -> RunPage:
        """Return a page of a crawl's runs, newest first."""
        return await runs.find_page(self._pool, owner, _id(crawl_id), limit=limit, cursor=cursor)

    async def pages(
        self, owner: str, crawl_id: str, run: int, wanted: PageFilter, *, limit: int, cursor: str | None
    ) -> PagesPage:
        """Return a page of a run's pages."""
        return await pages.find_page(self._pool, owner, _id(crawl_id), run, wanted, limit=limit, cursor=cursor)

    async def cancel(self, owner: str, crawl_id: str, run: int) -> RunView:
        """Cancel a run. See `app.core.crawls.runs.cancel`."""
        found = _id(crawl_id)
        with work_span(CANCEL_SPAN, attributes={attributes.OPERATION: Operation.WRITE.value}):
            metrics.count_cancelled(await runs.cancel(self._pool, owner, found, run))
            for _ in range(PASSES_OF_CANCEL):
                if not await self._pass_run(found, run):
                    break
        return await runs.find(self._pool, owner, found, run)

    async def confirm(self, owner: str, crawl_id: str, run: int) -> RunView:
        """Let a run remove what it held back. See `app.core.crawls.runs.confirm`."""
        found = _id(crawl_id)
        await runs.confirm(self._pool, owner, found, run)
        return await runs.find(self._pool, owner, found, run)

    async def go_on(self) -> frozenset[Stage]:
        """Make a pass of every run, begin what is due, delete what is to be; return the stages that have work now."""
        begun, missed = await upkeep.begin_due(self._pool, max_open_runs=self._max_open_runs)
        metrics.count_due(begun, missed)
        self.busy = await self._passes.any_open()
        passed = await self._passes.of_all() if self.busy else Passed()
        removals = await upkeep.delete_some(self._pool, self._remove_documents, room=REMOVALS_AT_ONCE)
        _count(passed)
        stages = {Stage.SCRAPING} if passed.jobs else set()
        return frozenset(stages | ({Stage.EMBEDDING} if passed.touches or passed.removals or removals else set()))

    async def forget_old_runs(self) -> int:
        """Forget runs that are too old to be kept. See `app.core.crawls.upkeep.forget_old_runs`."""
        return await upkeep.forget_old_runs(self._pool)

    async def _pass_run(self, crawl_id: UUID, run: int) -> bool:
        passed = Passed()
        more = await self._passes.of_run(crawl_id, run, passed)
        _count(passed)
        return more


def _count(passed: Passed) -> None:
    metrics.count_pass_of_runs(passed.outcomes, passed.ended, passed.held)


def _id(text: str) -> UUID:
    crawl_id = uuid_of(text)
    if crawl_id is None:
        raise CrawlNotFoundError
    return crawl_id


__all__ = ["Crawling", "PageFilter"]
