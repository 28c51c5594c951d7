"""How a job, a batch or a run is getting on, in a line of words."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from cloudcix_ml.models.crawls import Run, RunState
from cloudcix_ml.models.jobs import Batch, Job, JobStatus

REASONS: Final = {
    "running": "",
    "queued": "waits for its turn",
    "host_delay": "waits for its site's turn",
    "upstream": "waits for something that does not answer",
    "lease": "waits until a worker is given up",
}
RUN_FORM: Final = re.compile("(.+)/([0-9]{1,18})", re.DOTALL)
# what are digits to Python are not all numbers to it


def run_named(text: str) -> tuple[str, int] | None:
    """Return the crawl and the number of a run that is called CRAWL/NUMBER; None if it is called otherwise."""
    found = RUN_FORM.fullmatch(text)
    return (found[1], int(found[2])) if found else None


def went_well(ended: Job | Batch | Run) -> bool:
    """Whether all of it is as it was meant to be."""
    match ended:
        case Job():
            return ended.status == JobStatus.COMPLETED
        case Batch():
            return ended.counts.completed == ended.jobs
        case Run():
            return ended.state == RunState.COMPLETED and ended.held is None


def line_of(subject: Job | Batch | Run) -> str:
    """Return how something is, on one line."""
    match subject:
        case Job():
            return _job(subject)
        case Batch():
            counts = _counts(subject.counts.model_dump())
            return f"batch {subject.batch_id}: {subject.progress:.0%} of {subject.jobs} ({counts}){_end(subject)}"
        case Run():
            counts = _counts(subject.outcomes.model_dump() | {"under way": subject.open, "waiting": subject.waiting})
            held = f"; {subject.held_documents} removals are held until you confirm" if subject.held else ""
            return f"run {subject.crawl_id}/{subject.run}: {subject.state} ({counts}){_end(subject)}{held}"


def _job(job: Job) -> str:
    if job.error:
        return f"{job.status}: {job.url}: {job.error.code}: {job.error.message} ({job.job_id})"
    if job.ended:
        counts = job.counts
        done = (
            f", {_some(counts.chunks, 'chunk')}, {_some(counts.tokens, 'token')}" if counts.chunks is not None else ""
        )
        return f"{job.status}: {job.url}{done} ({job.job_id})"
    waits = ""
    if job.waiting:
        reason = REASONS.get(job.waiting.reason, str(job.waiting.reason))
        place = f", about {job.waiting.position} before it" if job.waiting.position else ""
        since = max((datetime.now(UTC) - job.waiting.since).total_seconds(), 0.0)
        waits = f"; {reason}{place} for {since:.0f} s" if reason else ""
    return f"{job.status}: {job.url}{waits}"


def _some(number: int | None, what: str) -> str:
    return f"{number or 0} {what}" if number == 1 else f"{number or 0} {what}s"


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "nothing yet"


def _end(subject: Batch | Run) -> str:
    if subject.ended or subject.estimated_end_at is None:
        return ""
    left = (subject.estimated_end_at - datetime.now(UTC)).total_seconds()
    return f", about {max(left, 0) / 60:.0f} min left" if left > 90 else f", about {max(left, 0):.0f} s left"
