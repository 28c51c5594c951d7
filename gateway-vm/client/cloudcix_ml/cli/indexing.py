"""`index`."""

import sys
from io import BytesIO
from typing import Annotated, Any

import typer

from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.shell import Shell, command
from cloudcix_ml.cli.values import pairs_of
from cloudcix_ml.cli.watching import Timeout, shown, told
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.jobs import Job, JobAccepted, Render

MOST_URLS = 1_000
MOST_BYTES = 256 * 1024 * 1024
STDIN = "-"
RenderOption = Annotated[
    Render | None, typer.Option(help="Of pages: whether a browser runs their scripts first; never, unless said.")
]
MetadataOption = Annotated[
    list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="To filter searches by; repeat it.")
]


def index(
    shell: Shell,
    what: Annotated[list[str], typer.Argument(metavar="URL|FILE|- …", help="- is a document on standard input.")],
    corpus: Annotated[
        str, typer.Option("--corpus", "-c", help="What it is put into; made if it is not there.")
    ] = "default",
    metadata: MetadataOption = None,
    name: Annotated[str, typer.Option(help="What the document on standard input is called.")] = "standard-input.md",
    render: RenderOption = None,
    force: Annotated[bool, typer.Option("--force", help="Index it whatever is known of it.")] = False,
    wait: Annotated[bool, typer.Option(help="Whether to wait until it can be found.")] = True,
    timeout: Timeout = None,
) -> int:
    """Index pages and files: several URLs are one batch, each file is a job."""
    urls = [one for one in what if "://" in one]
    files = [one for one in what if "://" not in one]
    if files.count(STDIN) > 1:
        raise ConfigurationError("standard input can be read once")
    if len(urls) > MOST_URLS:
        raise ConfigurationError(f"{len(urls)} URLs; a batch has at most {MOST_URLS}")
    options: dict[str, Any] = {"corpus_name": corpus, "metadata": pairs_of(metadata, "--metadata") or None}
    page: dict[str, Any] = {"render": render, "force": force or None}
    if len(urls) > 1 and not files:
        return _batch(shell, urls, options | page, wait, timeout)
    accepted = [shell.client.jobs.submit(url, **options, **page) for url in urls]
    accepted += [_upload(shell, file, name, options, force) for file in files]
    if not wait:
        return _later(shell, accepted)
    ids = [job.job_id for job in accepted]
    statuses = []
    for number, job_id in enumerate(ids):
        shell.come_back = "; ".join(f"cloudcix-ml watch {one}" for one in ids[number:])
        job: Job = shown(shell, shell.client.jobs.follow(job_id, timeout_seconds=timeout))
        statuses.append(told(shell, job))
    return max(statuses)


def _batch(shell: Shell, urls: list[str], options: dict[str, Any], wait: bool, timeout: float | None) -> int:
    batch = shell.client.batches.submit(urls, **options)
    shell.come_back = f"cloudcix-ml watch {batch.batch_id}"
    if not wait:
        if shell.out.as_json:
            shell.out.data(batch)
        else:
            shell.out.text(batch.batch_id)
            shell.out.note(f"See how it is: {shell.come_back}")
        return Exit.GOOD
    status = told(shell, shown(shell, shell.client.batches.follow(batch.batch_id, timeout_seconds=timeout)))
    if status and shell.out.shown:
        for job in shell.client.jobs.list(batch_id=batch.batch_id, status="failed"):
            shell.out.note(f"{job.url}: {job.error.code}: {job.error.message}" if job.error else job.url)
    return status


def _upload(shell: Shell, file: str, name: str, options: dict[str, Any], force: bool) -> JobAccepted:
    if file != STDIN:
        return shell.client.upload(file, **options, force=force)
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    return shell.client.upload(BytesIO(content), name=name, **options, force=force)


def _later(shell: Shell, accepted: list[JobAccepted]) -> int:
    if shell.out.as_json:
        shell.out.data(accepted if len(accepted) > 1 else accepted[0])
    else:
        for job in accepted:
            shell.out.text(job.job_id)
        shell.out.note(f"See how it is: cloudcix-ml watch {accepted[0].job_id}")
    return Exit.GOOD


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "index")(index)
