"""`index`."""

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from typing import Annotated, Any

import typer

from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.shell import Shell, command
from cloudcix_ml.cli.streams import read_input
from cloudcix_ml.cli.values import chunking_of, countdown, pairs_of
from cloudcix_ml.cli.watching import Timeout, shown, told
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.jobs import ChunkStrategy, Job, JobAccepted, Render
from cloudcix_ml.operations.uploads import MOST_BYTES, check

MOST_URLS = 1_000
STDIN = "-"
RenderOption = Annotated[
    Render | None, typer.Option(help="Of pages: whether a browser runs their scripts first; never, unless said.")
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="To filter searches by, text or JSON; repeat it."),
]

MaxTokens = Annotated[int | None, typer.Option(min=1, help="Tokens that a chunk has at most; 512 unless said.")]
OverlapTokens = Annotated[
    int | None, typer.Option(min=0, help="Tokens that it shares with the one before it; 64 unless said.")
]
Strategy = Annotated[
    ChunkStrategy | None, typer.Option(help="Where texts are cut; by markdown's structure unless said.")
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
    max_tokens: MaxTokens = None,
    overlap_tokens: OverlapTokens = None,
    strategy: Strategy = None,
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
    options: dict[str, Any] = {
        "corpus_name": corpus,
        "metadata": pairs_of(metadata, "--metadata") or None,
        "chunking": chunking_of(max_tokens, overlap_tokens, strategy),
    }
    page: dict[str, Any] = {"render": render, "force": force or None}
    if len(urls) > 1 and not files:
        return _batch(shell, urls, options | page, wait, timeout)
    # what can be wrong with them here is said before anything is accepted
    for file in files:
        if file != STDIN:
            check(file)
    texts = [_standard_input(name) if file == STDIN else {"file": file} for file in files]
    submits = [partial(shell.client.jobs.submit, url, **options, **page) for url in urls]
    submits += [partial(shell.client.upload, **text, **options, force=force) for text in texts]
    accepted = _accepted(shell, submits)
    if not wait:
        return _later(shell, accepted)
    ids = [job.job_id for job in accepted]
    statuses = []
    left = countdown(timeout)
    for number, job_id in enumerate(ids):
        shell.come_back = _watch(ids[number:])
        job: Job = shown(shell, shell.client.jobs.follow(job_id, timeout_seconds=left()))
        statuses.append(told(shell, job))
    return max(statuses)


def _standard_input(name: str) -> dict[str, Any]:
    content = read_input(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"standard input has more than {MOST_BYTES} bytes")
    if not name:
        raise ConfigurationError("the document on standard input needs a --name")
    return {"file": BytesIO(content), "name": name}


def _accepted(shell: Shell, submits: Sequence[Callable[[], JobAccepted]]) -> list[JobAccepted]:
    """Submit one after the other; whatever becomes of the later ones, those before are known by then."""
    accepted: list[JobAccepted] = []
    for submit in submits:
        accepted.append(submit())
        shell.come_back = _watch([job.job_id for job in accepted])
    return accepted


def _watch(ids: Sequence[str]) -> str:
    return "; ".join(f"cloudcix-ml watch {one}" for one in ids)


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
    shell.come_back = ""  # it has ended
    if status and shell.out.shown:
        for job in shell.client.jobs.list(batch_id=batch.batch_id, status="failed"):
            shell.out.note(f"{job.url}: {job.error.code}: {job.error.message}" if job.error else job.url)
    return status


def _later(shell: Shell, accepted: list[JobAccepted]) -> int:
    if shell.out.as_json:
        shell.out.data(accepted if len(accepted) > 1 else accepted[0])
    else:
        for job in accepted:
            shell.out.text(job.job_id)
        shell.out.note(f"See how it is: {shell.come_back}")
    return Exit.GOOD


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "index")(index)
