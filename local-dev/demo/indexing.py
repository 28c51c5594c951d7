"""Submitting pages and watching them become searchable."""

import time
from collections.abc import Callable, Sequence

from demo.expectations import ExpectedPage
from demo.gateway import Gateway, PlatformError
from demo.outcomes import PageOutcome
from ml_shared.contracts.jobs import ENDED, JobStatus, JobView
from ml_shared.contracts.scraping import Render

Say = Callable[[str], None]
POLL_SECONDS = 0.2


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
    _check_ended([outcome.job for outcome in outcomes if outcome.job], time.monotonic() - started)
    for outcome in outcomes:
        took = outcome.searchable_seconds
        say(f"    {outcome.page.label:28} {outcome.ending}" + ("" if took is None else f", searchable in {took:.2f} s"))
    return outcomes


def index_scripted(
    gateway: Gateway, page: ExpectedPage, corpus_name: str, *, say: Say, timeout_seconds: float
) -> list[PageOutcome]:
    """Have a browser make a page, and return what became of it; nothing, and say so, where the fleet has none.

    Raises
    ------
    PlatformError
        If a request is refused, or the job has not ended within `timeout_seconds`.
    """
    started = time.monotonic()
    job_id = gateway.submit(page.url, corpus_name, Render.ALWAYS).job_id
    while (job := gateway.job(job_id)).status not in ENDED and time.monotonic() - started < timeout_seconds:
        time.sleep(POLL_SECONDS)
    _check_ended([job], time.monotonic() - started)
    if job.error is not None and job.error.code == "renderer_not_configured":
        say(f"  {page.label} is left out: JavaScript makes it, and no browser is here (Debian: apt install chromium)")
        return []
    outcome = PageOutcome(page, job)
    say(f"  {page.label}, which JavaScript makes: {outcome.ending}")
    return [outcome]


def _check_ended(jobs: Sequence[JobView], elapsed: float) -> None:
    unfinished = [job for job in jobs if job.status not in ENDED]
    if unfinished:
        first = unfinished[0]
        reason = f", waiting: {first.waiting.reason}" if first.waiting else ""
        raise PlatformError(
            f"{len(unfinished)} pages have not ended after {elapsed:.0f} s; the first is {first.url}, job "
            f"{first.job_id}, {first.status}{reason}"
        )
