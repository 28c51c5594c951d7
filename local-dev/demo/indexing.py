"""Submitting pages and watching them become searchable."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demo.expectations import ExpectedPage
from demo.gateway import Gateway, PlatformError
from ml_shared.contracts.jobs import ENDED, JobStatus, JobView

POLL_SECONDS = 0.3
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PageOutcome:
    """What became of a page."""

    page: ExpectedPage
    job: JobView

    @property
    def searchable_seconds(self) -> float | None:
        """From submission until its passages could be found, on the orchestrator's clock."""
        if self.job.status is not JobStatus.COMPLETED or self.job.ended_at is None:
            return None
        return (self.job.ended_at - self.job.submitted_at).total_seconds()

    @property
    def as_expected(self) -> bool:
        """Whether it ended as it should, for the reason that it should."""
        code = self.job.error.code if self.job.error else None
        return self.job.status is self.page.outcome and code == self.page.error_code

    @property
    def ending(self) -> str:
        """How it ended, in a few words."""
        if self.job.error is None:
            return str(self.job.status)
        return f"{self.job.status} in {self.job.error.failed_stage}: {self.job.error.code}"

    @property
    def reason(self) -> str:
        """How it ended, with what the platform says of it."""
        return f"{self.ending} ({self.job.error.message})" if self.job.error else self.ending


def index_pages(
    gateway: Gateway, pages: Sequence[ExpectedPage], corpus_name: str, *, say: Say, timeout_seconds: float
) -> list[PageOutcome]:
    """Submit pages and return once all of their jobs have ended.

    Raises
    ------
    PlatformError
        If a request is refused, or a job has not ended within `timeout_seconds`.
    """
    started = time.monotonic()
    jobs = {gateway.submit(page.url, corpus_name).job_id: page for page in pages}
    say(f"submitted {len(jobs)} pages in {time.monotonic() - started:.1f} s")
    return _follow(gateway, jobs, say, started, timeout_seconds)


def _follow(
    gateway: Gateway, jobs: dict[str, ExpectedPage], say: Say, started: float, timeout_seconds: float
) -> list[PageOutcome]:
    views: dict[str, JobView] = {}
    shown = ""
    while True:
        for job_id, page in jobs.items():
            if job_id in views and views[job_id].status in ENDED:
                continue
            views[job_id] = view = gateway.job(job_id)
            if view.status in ENDED:
                outcome = PageOutcome(page, view)
                took = outcome.searchable_seconds
                say(f"    {page.label:28} {outcome.ending}" + ("" if took is None else f", searchable in {took:.2f} s"))
        counts = Counter(view.status for view in views.values())
        line = "  ".join(f"{status} {counts[status]}" for status in JobStatus if counts[status])
        elapsed = time.monotonic() - started
        if line != shown:
            shown = line
            say(f"  {elapsed:5.1f} s  {line}")
        unfinished = [job_id for job_id in jobs if views[job_id].status not in ENDED]
        if not unfinished:
            return [PageOutcome(page, views[job_id]) for job_id, page in jobs.items()]
        if elapsed > timeout_seconds:
            first = views[unfinished[0]]
            reason = f", waiting: {first.waiting.reason}" if first.waiting else ""
            raise PlatformError(
                f"{len(unfinished)} pages have not ended after {elapsed:.0f} s; the first is {first.url}, job "
                f"{first.job_id}, {first.status}{reason}"
            )
        time.sleep(POLL_SECONDS)
