"""What the orchestrator does, as a table of contents. No knowledge of HTTP routing or of Celery."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import asyncpg
from pydantic import SecretStr

from app.config import Settings
from app.core import metrics
from app.core.content import store as contents
from app.core.content.store import ContentStore, CurrentAttempt, PostgresContentStore, StoredContent
from app.core.crawling import Crawling
from app.core.crawls.filling import Window
from app.core.crawls.taking import CrawledPage, read_page
from app.core.crawls.watching import RunsWatch
from app.core.database import open_databases
from app.core.dispatch import recovery
from app.core.dispatch.claims import ensure_stages
from app.core.dispatch.dispatching import Dispatcher, Pass, Policy
from app.core.dispatch.hand_outs import attempt_of
from app.core.dispatch.pipeline import FIRST, PIPELINE, StageDefinition, definition_of
from app.core.dispatch.stage_calls import open_stages
from app.core.dispatch.watching import Watch
from app.core.errors import AbandonError, ContentNotFoundError, WrongStageError
from app.core.indexing import Indexing, known_job
from app.core.jobs import retention, transitions, validators
from app.core.jobs.removing import remove_documents
from app.core.jobs.transitions import Limits, Transition
from app.core.notifying import Notifying
from app.core.steering import Steering
from ml_shared.contracts.jobs import (
    CallbackStatus,
    ContentStored,
    ProgressAnswer,
    ProgressReport,
    StageCallback,
)
from ml_shared.contracts.values import uuid_of
from ml_shared.names import Operation, Service, Stage
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span

IDEMPOTENCY_HOURS: Final = 24
COMPLETE_SPAN: Final = "job.complete"
WRITE_CONTENT_SPAN: Final = "content.write"


class Orchestrator:
    """The use cases. One a process, made by `open_orchestrator`.

    Attributes
    ----------
    indexing
        Those of an owner's single jobs.
    steering
        Those of batches, cancelling and trying again.
    notifying
        Those of webhooks.
    crawling
        Those of crawls and their runs.
    """

    def __init__(
        self, pool: asyncpg.Pool, content: ContentStore, dispatcher: Dispatcher, limits: Limits, settings: Settings
    ) -> None:
        self.pool = pool
        self._content = content
        self._dispatcher = dispatcher
        self._limits = limits
        self._settings = settings
        self.indexing = Indexing(pool, content, settings)
        self.notifying = Notifying(pool, settings)
        self.steering = Steering(pool, content, max_open_jobs=settings.MAX_OPEN_JOBS_PER_OWNER)
        window = Window(
            most=settings.CRAWL_WINDOW,
            max_open_jobs=settings.MAX_OPEN_JOBS_PER_OWNER,
            lastmod_trust=timedelta(days=settings.LASTMOD_TRUST_DAYS),
        )
        self.crawling = Crawling(
            pool,
            window,
            remove_documents,
            max_crawls=settings.MAX_CRAWLS_PER_OWNER,
            max_open_runs=settings.MAX_OPEN_RUNS_PER_OWNER,
        )

    async def complete(
        self, service: str | None, job_id: str, callback: StageCallback, content: bytes | None = None
    ) -> Transition:
        """Take a stage's result.

        Parameters
        ----------
        content
            What the attempt made, to be kept first. Of an attempt that is not the job's any more nothing is kept.

        Raises
        ------
        WrongStageError
            If the stage is not this service's.
        JobNotFoundError
            If there is no such job.
        """
        definition = _stage_of(service, callback.stage)
        known: dict[str, Value] = {
            attributes.JOB_ID: job_id,
            attributes.DISPATCH_STAGE: callback.stage.value,
            attributes.OPERATION: Operation.WRITE.value,
        }
        with work_span(COMPLETE_SPAN, attributes=known) as span:
            of_crawl = True  # unless it is known that it is not
            if content is not None:
                current, stored = await self._keep(job_id, callback.attempt_id, callback.stage, content)
                callback = callback.model_copy(update={"content_ref": stored.content_ref if stored else None})
                of_crawl = current is not None and current.of_crawl
            crawled = await self._crawled(job_id, callback, content) if of_crawl else None
            moved = await transitions.complete(
                self.pool, known_job(job_id), definition, callback, self._limits, crawled=crawled
            )
            if callback.error_code is not None:
                span.set_attribute(attributes.ERROR_CODE, callback.error_code)
            if moved.ended is not None and moved.ended.failed_stage is not None:
                span.set_attribute(attributes.FAILED_STAGE, moved.ended.failed_stage.value)
        metrics.count_transition(moved)
        return moved

    async def progress(self, service: str | None, job_id: str, report: ProgressReport) -> ProgressAnswer:
        """Take a worker's sign of life.

        Raises
        ------
        AbandonError
            If the attempt is not the job's any more.
        """
        definition = _stage_of(service, report.stage)
        answer, moved = await transitions.progress(self.pool, known_job(job_id), definition, report, self._limits)
        metrics.count_transition(moved)
        if answer is None:
            raise AbandonError
        return answer

    async def put_content(
        self, service: str | None, job_id: str, attempt_id: str, stage: Stage, body: bytes
    ) -> ContentStored:
        """Keep what a stage's current attempt produced.

        Raises
        ------
        AbandonError
            If the attempt is not the job's any more.
        """
        _stage_of(service, stage)
        _, stored = await self._keep(job_id, attempt_id, stage, body)
        if stored is None:
            raise AbandonError
        return stored

    async def _crawled(self, job_id: str, callback: StageCallback, content: bytes | None) -> CrawledPage | None:
        """Return what a first stage's result means for the run that its job is of, if it is of one."""
        if callback.stage is not FIRST.stage or callback.status is not CallbackStatus.SUCCESS:
            return None

        async def body() -> bytes | None:
            if content is not None or callback.content_ref is None:
                return content
            found = await self._content.get(callback.content_ref)
            return None if found is None or found.job_id != uuid_of(job_id) else found.body

        return await read_page(
            self.pool, known_job(job_id), body, not_modified=callback.stats.get("not_modified") is True
        )

    async def _keep(
        self, job_id: str, attempt_id: str, stage: Stage, body: bytes
    ) -> tuple[CurrentAttempt | None, ContentStored | None]:
        """Keep content of the job's current attempt; of another one it is not kept."""
        job, attempt = known_job(job_id), attempt_of(attempt_id)
        current = await contents.owner_of_attempt(self.pool, job, attempt)
        if current is None or current.stage is not stage:
            return current, None
        known: dict[str, Value] = {
            attributes.JOB_ID: job_id,
            attributes.DISPATCH_STAGE: stage.value,
            attributes.OPERATION: Operation.WRITE.value,
        }
        with work_span(WRITE_CONTENT_SPAN, attributes=known):
            return current, await self._content.put(current.owner, job, attempt, stage, body)

    async def start(self, service: str | None, job_id: str, ref: str, report: ProgressReport) -> StoredContent:
        """Take an attempt's start, and return the content that it works on.

        Raises
        ------
        AbandonError
            If the attempt is not the job's any more.
        ContentNotFoundError
            If there is none, or it is another job's: the attempt has started all the same.
        """
        await self.progress(service, job_id, report)
        found = await self._content.get(ref)
        if found is None or found.job_id != uuid_of(job_id):
            raise ContentNotFoundError
        return found

    async def get_content(self, ref: str, attempt_id: str) -> StoredContent:
        """Return content to the current attempt of the job that it belongs to.

        Raises
        ------
        ContentNotFoundError
            If there is none, or the attempt is not that job's.
        """
        found, attempt = await self._content.get(ref), attempt_of(attempt_id)
        if found is None or await contents.owner_of_attempt(self.pool, found.job_id, attempt) is None:
            raise ContentNotFoundError
        return found

    async def dispatch(self, stage: Stage) -> Pass:
        """Make one pass of a stage."""
        return await self._dispatcher.run(stage)

    def watch(self, *, interval_seconds: float) -> Watch:
        """Return what makes passes of every stage as soon as they are asked for."""
        return Watch(self._dispatcher, self.seconds_to_next_lane, interval_seconds=interval_seconds)

    def watch_runs(self, watch: Watch, *, interval_seconds: float) -> RunsWatch:
        """Return what makes passes of runs as soon as something may be done for them, and has `watch` hand out their jobs."""
        return RunsWatch(self.crawling, watch.ask, interval_seconds=interval_seconds)

    async def recover(self) -> frozenset[Stage]:
        """Take back leases that ran out, and finish what is to be cancelled; return the stages that have work again."""
        cancelled = await self.steering.go_on_cancelling()
        released, failed = await recovery.recover(
            self.pool, self._limits, queue_lease_seconds=self._settings.QUEUE_LEASE_SECONDS
        )
        for job in [*released, *(job for job, _ in failed)]:
            metrics.LEASES_EXPIRED.labels(job["stage"], job["phase"]).inc()
        for _, ended in failed:
            metrics.count_ended(ended)
        recovery.log_recovered(released, failed)
        freed = [definition.stage for definition in PIPELINE] if cancelled else []
        return frozenset([*(Stage(job["stage"]) for job in released), *freed])

    async def seconds_to_next_lane(self) -> float | None:
        """Return in how many seconds the next host may be asked, or `None` if no job waits for one."""
        return await recovery.seconds_to_next_lane(self.pool)

    async def purge(self) -> int:
        """Forget old content, and what has ended long ago; return how many pieces of content."""
        await self.crawling.forget_old_runs()
        await validators.forget(self.pool, timedelta(days=self._settings.VALIDATORS_TTL_DAYS))
        await retention.forget(
            self.pool,
            jobs_ttl=timedelta(days=self._settings.JOBS_TTL_DAYS),
            keys_ttl=timedelta(hours=IDEMPOTENCY_HOURS),
        )
        return await contents.purge(self.pool, self._content, timedelta(hours=self._settings.CONTENT_TTL_HOURS))


@asynccontextmanager
async def open_orchestrator(settings: Settings) -> AsyncIterator[Orchestrator]:
    """Open databases and clients, on the running loop."""
    limits = Limits(
        run_lease_seconds=settings.RUN_LEASE_SECONDS,
        stage_deadline_seconds=settings.STAGE_DEADLINE_SECONDS,
        max_deferred_seconds=settings.MAX_DEFERRED_SECONDS,
        max_attempts=settings.MAX_STAGE_ATTEMPTS,
    )
    policy = Policy(
        in_flight={
            Stage.SCRAPING: settings.SCRAPING_IN_FLIGHT,
            Stage.CHUNKING: settings.CHUNKING_IN_FLIGHT,
            Stage.EMBEDDING: settings.EMBEDDING_IN_FLIGHT,
        },
        high_water_jobs=settings.HIGH_WATER_JOBS,
        high_water_bytes=settings.HIGH_WATER_CONTENT_BYTES,
        dispatch_lease_seconds=settings.DISPATCH_LEASE_SECONDS,
        queue_lease_seconds=settings.QUEUE_LEASE_SECONDS,
    )
    addresses = {
        Service.SCRAPER: settings.SCRAPER_URL,
        Service.CHUNKING: settings.CHUNKING_URL,
        Service.EMBEDDING: settings.EMBEDDING_URL,
    }
    key = settings.SERVICE_API_KEY or SecretStr("")
    async with (
        open_databases(settings.DATABASE_URL, settings.CONTENT_STORE_URL) as (pool, content_pool),
        open_stages(
            addresses,
            key,
            timeout_seconds=settings.DISPATCH_TIMEOUT_SECONDS,
            max_answer_bytes=settings.MAX_CONTENT_BYTES,
        ) as stages,
    ):
        await ensure_stages(pool, [definition.stage for definition in PIPELINE])
        content = PostgresContentStore(content_pool, max_bytes=settings.MAX_CONTENT_BYTES)
        dispatcher = Dispatcher(pool, content, stages, policy, limits)
        yield Orchestrator(pool, content, dispatcher, limits, settings)


def _stage_of(service: str | None, stage: Stage) -> StageDefinition:
    definition = definition_of(stage)
    if definition.service != service:
        raise WrongStageError(f"the stage {stage} is not run by {service or 'you'}")
    return definition


__all__ = ["FIRST", "Orchestrator", "open_orchestrator"]
