"""Submitting pages and watching them become searchable."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demo.expectations import ExpectedPage
from demo.gateway import Gateway, PlatformError
from ml_shared.contracts.jobs import ENDED, JobStatus, JobView

Say = Callable[[str], None]
NO_RENDERER = "there is no renderer here"
# in what the scraper says of a page that only a browser could have made


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
    def left_out(self) -> bool:
        """Whether it takes a browser, and this fleet has none."""
        error = self.job.error
        return self.page.by_script and error is not None and NO_RENDERER in (error.message or "")

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
        if self.left_out:
            return "left out: JavaScript makes it, and there is no browser here (Debian: apt install chromium)"
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
    batch = gateway.submit_several([page.url for page in pages], corpus_name)
    say(f"submitted {len(pages)} pages as one batch in {time.monotonic() - started:.1f} s; following it by its events")
    job_of = {one.url: one.job_id for one in (*batch.jobs, *batch.duplicates)}
    for snapshot in gateway.follow(batch.batch_id, until=started + timeout_seconds):
        counts = snapshot.counts.model_dump()
        line = "  ".join(f"{status} {counts[status]}" for status in JobStatus if counts[status])
        say(f"  {time.monotonic() - started:5.1f} s  {snapshot.progress:4.0%}  {line}")
    outcomes = [PageOutcome(page, gateway.job(job_of[page.url])) for page in pages]
    _check_ended([outcome.job for outcome in outcomes], time.monotonic() - started)
    for outcome in outcomes:
        took = outcome.searchable_seconds
        say(f"    {outcome.page.label:28} {outcome.ending}" + ("" if took is None else f", searchable in {took:.2f} s"))
    return outcomes


def _check_ended(jobs: Sequence[JobView], elapsed: float) -> None:
    unfinished = [job for job in jobs if job.status not in ENDED]
    if unfinished:
        first = unfinished[0]
        reason = f", waiting: {first.waiting.reason}" if first.waiting else ""
        raise PlatformError(
            f"{len(unfinished)} pages have not ended after {elapsed:.0f} s; the first is {first.url}, job "
            f"{first.job_id}, {first.status}{reason}"
        )
