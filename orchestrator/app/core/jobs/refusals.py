"""Why a job can't be tried again, if it can't: one answer, for who reads the job and for who tries it again."""

from collections.abc import Mapping
from typing import Any, Final

from app.core.crawls.definition import stored
from ml_shared.contracts.jobs import JobKind, JobStatus

RETRYABLE: Final = (JobStatus.FAILED, JobStatus.CANCELLED)

DEFINITION: Final = (
    """(SELECT definition FROM runs WHERE runs.crawl_id = jobs.crawl_id AND runs.run = jobs.run) AS definition"""
)
"""Of the run that a job is part of: a column for statements that read `jobs`."""


def refusal_of(job: Mapping[str, Any]) -> str | None:
    """Return why a job can't be tried again, or `None` if it can.

    What is tried again is a job by itself, part of no run. So what only means something within a run has to be done by one:
    lists of links, which would be indexed as if they were pages, and pages that their run would not have indexed.

    Parameters
    ----------
    job
        Its row, with `DEFINITION`.
    """
    if job["status"] not in RETRYABLE:
        return f"the job is {job['status']}; what failed or was cancelled can be tried again"
    if job["kind"] == JobKind.UPLOAD:
        return "what was uploaded is not kept after its job has ended; send the document again"
    crawl = job["crawl_id"]
    if job["kind"] == JobKind.LINKS:
        return (
            f"it reads where crawl {crawl} leads, for its run; POST /crawls/{crawl}/runs starts one that reads it again"
        )
    if job["kind"] != JobKind.PAGE or crawl is None:
        return None
    if job["definition"] is None:
        return f"the run of crawl {crawl} that it was part of is not kept any more; submit its URL with POST /jobs"
    definition = stored(job)
    if definition.dry_run:
        return (
            f"it is part of a dry run of crawl {crawl}, which indexes nothing; POST /crawls/{crawl}/runs starts another"
        )
    if definition.scope([job["url"]]).refusal(job["url"]) is not None:
        return (
            f"crawl {crawl} reads this page for its links and does not index it; POST /crawls/{crawl}/runs starts a run"
        )
    return None
