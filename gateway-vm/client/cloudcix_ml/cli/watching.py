"""`watch`, and how everything that goes on is shown."""

from collections.abc import Iterable
from typing import Annotated, TypeVar

import typer

from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.shell import Shell, command
from cloudcix_ml.client import Client
from cloudcix_ml.errors import CloudCIXError, NotFoundError
from cloudcix_ml.models.crawls import Run
from cloudcix_ml.models.jobs import Batch, Job
from cloudcix_ml.standing import line_of, run_named, went_well

T = TypeVar("T", Job, Batch, Run)

Timeout = Annotated[float | None, typer.Option(min=0, help="Wait no longer than so many seconds; it goes on.")]


def watch(
    shell: Shell,
    subject: Annotated[str, typer.Argument(metavar="JOB|BATCH|RUN", help="An id; a run is CRAWL/NUMBER.")],
    timeout: Timeout = None,
) -> int:
    """Follow a job, a batch or a run of a crawl to its end, with what it waits for."""
    shell.come_back = f"cloudcix-ml watch {subject}"
    try:
        return told(shell, follow(shell, shell.client, subject, timeout))
    except CloudCIXError:
        shell.come_back = ""  # it may not even be there; and this command has had nothing accepted
        raise


def follow(shell: Shell, client: Client, subject: str, timeout: float | None) -> Job | Batch | Run:
    """Follow whatever has this id to its end."""
    if run := run_named(subject):
        return shown(shell, client.runs.follow(*run, timeout_seconds=timeout))
    try:
        return shown(shell, client.jobs.follow(subject, timeout_seconds=timeout))
    except NotFoundError as none:
        first = none
    try:
        return shown(shell, client.batches.follow(subject, timeout_seconds=timeout))
    except NotFoundError:
        pass
    try:
        last = client.crawls.get(subject).last_run
    except NotFoundError:
        raise first from None
    return shown(shell, client.runs.follow(subject, last, timeout_seconds=timeout))


def shown(shell: Shell, steps: Iterable[T]) -> T:
    """Show how something gets on, and return how it ended."""
    last: T | None = None
    with shell.out.progress() as progress:
        for last in steps:
            if shell.out.as_json and not last.ended:
                shell.out.data(last)
            progress.say(line_of(last), end=last.ended)
    assert last is not None  # noqa: S101 - what is followed is handed out at least once
    return last


def told(shell: Shell, ended: Job | Batch | Run) -> int:
    """Say how something ended, and return the exit status."""
    if shell.out.as_json:
        shell.out.data(ended)
    else:
        shell.out.text(line_of(ended))
    return Exit.GOOD if went_well(ended) else Exit.FAILED


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "watch")(watch)
