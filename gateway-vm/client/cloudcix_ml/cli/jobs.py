"""`jobs`, `cancel` and `retry`."""

from itertools import islice
from typing import Annotated

import typer

from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.shell import Shell, command, group
from cloudcix_ml.cli.values import time_of
from cloudcix_ml.errors import NotFoundError
from cloudcix_ml.models.crawls import Run, RunState
from cloudcix_ml.models.jobs import Batch, Job, JobStatus
from cloudcix_ml.standing import line_of, run_named

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many at most.")]


def list_jobs(
    shell: Shell,
    status: Annotated[JobStatus | None, typer.Option(help="Those that stand there.")] = None,
    corpus: Annotated[str | None, typer.Option("--corpus", "-c", help="Those of a corpus.")] = None,
    batch: Annotated[str | None, typer.Option(help="Those of a batch.")] = None,
    host: Annotated[str | None, typer.Option(help="Those of a host.")] = None,
    url_prefix: Annotated[str | None, typer.Option(help="Those whose URL begins so.")] = None,
    code: Annotated[str | None, typer.Option(help="Those that failed with this code.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Those submitted since.")] = None,
    limit: Limit = 20,
) -> None:
    """List your jobs, newest first; `jobs show ID` tells all of one."""
    found = shell.client.jobs.list(
        status=status,
        corpus_name=corpus,
        batch_id=batch,
        host=host,
        url_prefix=url_prefix,
        error_code=code,
        created_after=time_of(since, "--since"),
        page_size=min(limit, 200),
    )
    jobs = list(islice(found, limit))
    if shell.out.as_json:
        shell.out.data(jobs)
        return
    rows = ((job.job_id, job.status, job.corpus_name, job.submitted_at, _why(job), job.url) for job in jobs)
    shell.out.table(
        ("job", "status", "corpus", "submitted (UTC)", "why", "url"),
        rows,
        wide="url",
        spare=("submitted (UTC)", "corpus", "why"),
    )
    if len(jobs) == limit:
        shell.out.note(f"The newest {limit}; --limit shows more.")


def _why(job: Job) -> str:
    if job.error:
        return job.error.code
    return "" if job.ended or job.waiting is None else str(job.waiting.reason)


def show_job(shell: Shell, job_id: Annotated[str, typer.Argument(metavar="JOB")]) -> None:
    """Tell all of a job: its stages, its counts, why it waits or failed."""
    job = shell.client.jobs.get(job_id)
    if shell.out.as_json:
        shell.out.data(job)
        return
    failed = f"{job.error.failed_stage}: {job.error.code}: {job.error.message}" if job.error else None
    facts = {
        "url": job.url,
        "status": job.status,
        "why": failed or _why(job) or None,
        "corpus": job.corpus_name,
        "submitted": job.submitted_at,
        "ended": job.ended_at,
        "bytes": job.counts.bytes,
        "chunks": job.counts.chunks,
        "tokens": job.counts.tokens,
        "warnings": ", ".join(job.extraction.warnings) if job.extraction else None,
        "batch": job.batch_id,
        "retry of": job.retry_of,
        "trace": job.trace_id,
    }
    shell.out.table(("", ""), ((name, value) for name, value in facts.items() if value not in (None, "")))
    rows = [(one.stage, one.attempts, one.started_at, one.duration_seconds) for one in job.stages]
    if rows:
        shell.out.table(("stage", "attempts", "started (UTC)", "seconds"), rows)


def cancel(shell: Shell, subject: Annotated[str, typer.Argument(metavar="JOB|BATCH|RUN")]) -> int:
    """Cancel a job, or what of a batch or of a run (CRAWL/NUMBER) has not ended."""
    if run := run_named(subject):
        return cancelled_run(shell, *run)
    try:
        return _done(shell, shell.client.jobs.cancel(subject), f"cancelled: job {subject}")
    except NotFoundError as none:
        first = none
    try:
        batch = shell.client.batches.cancel(subject)
        return _done(shell, batch, _cancelled(batch, f"batch {subject}", batch.counts.cancelled > 0))
    except NotFoundError:
        raise first from None


def cancelled_run(shell: Shell, crawl_id: str, number: int) -> int:
    """Cancel a run, and say so, or how it had ended before."""
    run = shell.client.runs.cancel(crawl_id, number)
    return _done(shell, run, _cancelled(run, f"run {crawl_id}/{number}", run.state == RunState.CANCELLED))


def _cancelled(subject: Batch | Run, name: str, anything: bool) -> str:
    """Return what there is to say: what has ended is as it was, and to cancel it is no error."""
    if subject.ended and not anything:
        return f"nothing to cancel: {line_of(subject)}"
    return f"cancelled: {name}"


def retry(shell: Shell, subject: Annotated[str, typer.Argument(metavar="JOB|BATCH")]) -> int:
    """Try a failed or cancelled job again, or what of a batch failed."""
    try:
        again = shell.client.jobs.retry(subject)
        return _done(shell, again, again.job_id)
    except NotFoundError as none:
        first = none
    try:
        batch = shell.client.batches.retry(subject)
        return _done(shell, batch, batch.batch_id)
    except NotFoundError:
        raise first from None


def _done(shell: Shell, answer: object, text: str) -> int:
    if shell.out.as_json:
        shell.out.data(answer)
    else:
        shell.out.text(text)
    return Exit.GOOD


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    jobs = group(app, "jobs", "Your jobs: pages and files on their way into a corpus.")
    command(jobs)(list_jobs)
    command(jobs, "show")(show_job)
    command(app, "cancel")(cancel)
    command(app, "retry")(retry)
