"""`crawl` and `crawls`."""

from itertools import islice
from typing import Annotated, Any

import typer

from cloudcix_ml.cli.corpora import Yes, sure
from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.indexing import RenderOption
from cloudcix_ml.cli.jobs import Limit
from cloudcix_ml.cli.shell import Shell, command, group
from cloudcix_ml.cli.watching import Timeout, shown, told
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.crawls import CrawlSource, RunAccepted, RunOutcome, Schedule

Id = Annotated[str, typer.Argument(metavar="CRAWL")]
RunId = Annotated[str, typer.Argument(metavar="CRAWL/NUMBER")]
CRAWL_SPARE = ("run", "next (UTC)", "documents", "corpus", "state")
Wait = Annotated[bool, typer.Option(help="Whether to wait for the run's end.")]


def crawl(
    shell: Shell,
    url: Annotated[str, typer.Argument(help="A site, a page, a sitemap or a feed.")],
    source: Annotated[CrawlSource, typer.Option(help="What the URL is.")] = CrawlSource.SITE,
    corpus: Annotated[str, typer.Option("--corpus", "-c", help="What its pages are put into.")] = "default",
    include: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Paths of which one has to match.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Paths of which none may match.")] = None,
    subdomains: Annotated[bool, typer.Option("--subdomains", help="Hosts below the site's belong to it.")] = False,
    max_pages: Annotated[int | None, typer.Option(min=1, help="Pages at most.")] = None,
    max_depth: Annotated[int | None, typer.Option(min=0, help="Links deep at most.")] = None,
    every: Annotated[str | None, typer.Option(metavar="24h", help="Do it again so often.")] = None,
    render: RenderOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Find the pages, and index none.")] = False,
    wait: Wait = True,
    timeout: Timeout = None,
) -> int:
    """Have a site's pages kept in a corpus, and follow its first run."""
    run = shell.client.crawl(
        url,
        source=source,
        corpus_name=corpus,
        include=include or None,
        exclude=exclude or None,
        subdomains=subdomains or None,
        max_pages=max_pages,
        max_depth=max_depth,
        render=render,
        schedule=Schedule(every=every) if every else None,
        dry_run=dry_run or None,
    )
    return _follow(shell, run, wait, timeout)


def _follow(shell: Shell, run: RunAccepted, wait: bool, timeout: float | None) -> int:
    shell.come_back = f"cloudcix-ml watch {run.crawl_id}/{run.run}"
    if wait:
        return told(shell, shown(shell, shell.client.runs.follow(run.crawl_id, run.run, timeout_seconds=timeout)))
    if shell.out.as_json:
        shell.out.data(run)
    else:
        shell.out.text(f"{run.crawl_id}/{run.run}")
        shell.out.note(f"See how it is: {shell.come_back}")
    return Exit.GOOD


def map_site(
    shell: Shell,
    url: Annotated[str, typer.Argument(help="A page of the site, or a sitemap.")],
    search: Annotated[str | None, typer.Option(help="Links whose URLs have more of these words come first.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=5_000, help="How many at most.")] = 100,
) -> None:
    """List a site's pages, as its sitemaps and feeds tell of them; nothing is indexed."""
    found = shell.client.map(url, limit=limit, search=search)
    if shell.out.as_json:
        shell.out.data(found)
        return
    rows = ((link.source, link.lastmod, link.url) for link in found.links)
    shell.out.table(("told by", "changed (UTC)", "url"), rows, wide="url", spare=("told by", "changed (UTC)"))
    for warning in found.warnings:
        shell.out.note(warning, "yellow")
    if found.truncated:
        shell.out.note(f"{len(found.links)} of {found.found} or more; --limit shows more.")


def list_crawls(shell: Shell, limit: Limit = 50) -> None:
    """List your crawls, newest first."""
    crawls = list(islice(shell.client.crawls.list(), limit))
    if shell.out.as_json:
        shell.out.data(crawls)
        return
    rows = (
        (one.crawl_id, one.corpus_name, one.documents, one.last_run, one.last_state, _when(one), one.url)
        for one in crawls
    )
    shell.out.table(
        ("crawl", "corpus", "documents", "run", "state", "next (UTC)", "url"), rows, wide="url", spare=CRAWL_SPARE
    )


def _when(crawl: Any) -> Any:
    return "paused" if crawl.paused else crawl.next_run_at


def run_again(
    shell: Shell,
    crawl_id: Id,
    force: Annotated[bool, typer.Option("--force", help="Fetch and index everything anew.")] = False,
    wait: Wait = True,
    timeout: Timeout = None,
) -> int:
    """Do a crawl again, now."""
    return _follow(shell, shell.client.crawls.run(crawl_id, force=force), wait, timeout)


def list_runs(shell: Shell, crawl_id: Id, limit: Limit = 20) -> None:
    """List a crawl's runs, newest first."""
    runs = list(islice(shell.client.runs.list(crawl_id), limit))
    if shell.out.as_json:
        shell.out.data(runs)
        return
    columns = ("run", "state", "new", "changed", "unchanged", "removed", "failed", "skipped", "started (UTC)")
    rows = (
        (
            one.run,
            one.state,
            *(getattr(one.outcomes, name) for name in columns[2:8]),
            one.started_at,
        )
        for one in runs
    )
    shell.out.table(columns, rows, spare=("started (UTC)", "unchanged", "skipped", "removed"))


def list_pages(
    shell: Shell,
    run: RunId,
    outcome: Annotated[RunOutcome | None, typer.Option(help="Those that came to this.")] = None,
    reason: Annotated[str | None, typer.Option(help="Those for this reason.")] = None,
    url_prefix: Annotated[str | None, typer.Option(help="Those whose URL begins so.")] = None,
    limit: Limit = 100,
) -> None:
    """List a run's pages, and what became of each."""
    crawl_id, number = _parts(run)
    found = shell.client.runs.pages(crawl_id, number, outcome=outcome, reason=reason, url_prefix=url_prefix)
    pages = list(islice(found, limit))
    if shell.out.as_json:
        shell.out.data(pages)
        return
    rows = ((one.outcome or one.state, one.reason, one.depth, one.url) for one in pages)
    shell.out.table(("outcome", "reason", "depth", "url"), rows, wide="url", spare=("depth",))


def confirm(shell: Shell, run: RunId, yes: Yes = False) -> int:
    """Let a run remove what it holds back, since most of the site seems gone."""
    crawl_id, number = _parts(run)
    held = shell.client.runs.get(crawl_id, number).held_documents
    sure(f"Remove {held} documents?", yes)
    return told(shell, shell.client.runs.confirm(crawl_id, number))


def pause(shell: Shell, crawl_id: Id) -> None:
    """Begin no run by the schedule until it is resumed."""
    _changed(shell, shell.client.crawls.pause(crawl_id), f"Paused {crawl_id}.")


def resume(shell: Shell, crawl_id: Id) -> None:
    """Go on with the schedule."""
    _changed(shell, shell.client.crawls.resume(crawl_id), f"Resumed {crawl_id}.")


def delete(
    shell: Shell,
    crawl_id: Id,
    documents: Annotated[bool, typer.Option("--documents", help="Its documents, too.")] = False,
    yes: Yes = False,
) -> None:
    """Delete a crawl; its documents stay unless you say so."""
    sure(f"Delete crawl {crawl_id}{' and its documents' if documents else ''}?", yes)
    gone = shell.client.crawls.delete(crawl_id, documents="delete" if documents else "keep")
    _changed(shell, gone, f"Deleted {crawl_id}.")


def _changed(shell: Shell, answer: Any, text: str) -> None:
    if shell.out.as_json:
        shell.out.data(answer)
    else:
        shell.out.note(text)


def _parts(run: str) -> tuple[str, int]:
    crawl_id, slash, number = run.rpartition("/")
    if not slash or not crawl_id or not number.isdigit():
        raise ConfigurationError(f"{run!r} is no run; one is CRAWL/NUMBER, as `cloudcix-ml crawl` says it")
    return crawl_id, int(number)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "crawl")(crawl)
    crawls = group(app, "crawls", "Sites that are kept in a corpus, and their runs.")
    command(crawls)(list_crawls)
    command(crawls, "map")(map_site)
    command(crawls, "run")(run_again)
    command(crawls, "runs")(list_runs)
    command(crawls, "pages")(list_pages)
    command(crawls, "confirm")(confirm)
    command(crawls, "pause")(pause)
    command(crawls, "resume")(resume)
    command(crawls, "delete")(delete)
