"""`crawl` and `crawls`; what there is of runs is in `runs`."""

import json
from itertools import islice
from typing import Annotated, Any

import typer

from cloudcix_ml.cli import runs
from cloudcix_ml.cli.corpora import Yes, sure
from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.indexing import MaxTokens, MetadataOption, OverlapTokens, RenderOption, Strategy
from cloudcix_ml.cli.jobs import Limit
from cloudcix_ml.cli.runs import Id
from cloudcix_ml.cli.shell import Shell, command, group
from cloudcix_ml.cli.values import chunking_of, pairs_of, schedule_of
from cloudcix_ml.cli.watching import Timeout, shown, told
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.crawls import Crawl, CrawlPatch, CrawlSource, OnGone, RunAccepted
from cloudcix_ml.models.jobs import ChunkStrategy, Render

LISTED_SHOWN = 10
# of a list's pages
CRAWL_SPARE = ("run", "next (UTC)", "documents", "corpus", "state")
Wait = Annotated[bool, typer.Option(help="Whether to wait for the run's end.")]
Include = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Paths of which one has to match; repeat it.")]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Paths of which none may match; repeat it.")]
MaxPages = Annotated[int | None, typer.Option(min=1, help="Pages at most.")]
MaxDepth = Annotated[int | None, typer.Option(min=0, help="Links deep at most.")]
GoneOption = Annotated[OnGone | None, typer.Option(help="What becomes of documents whose pages are gone.")]
Every = Annotated[str | None, typer.Option(metavar="24h", help="Do it again so often: 30m, 24h, 7d, 2w.")]
Cron = Annotated[str | None, typer.Option(metavar="'0 3 * * 1'", help="Do it again by the calendar.")]
Zone = Annotated[str | None, typer.Option(metavar="Europe/Dublin", help="The time zone of --cron; UTC unless said.")]


def crawl(
    shell: Shell,
    urls: Annotated[
        list[str], typer.Argument(metavar="URL …", help="A site, a page, a sitemap or a feed; several are a list.")
    ],
    source: Annotated[
        CrawlSource | None, typer.Option(help="What the URL is; a site unless said, a list if there are several.")
    ] = None,
    corpus: Annotated[str, typer.Option("--corpus", "-c", help="What its pages are put into.")] = "default",
    include: Include = None,
    exclude: Exclude = None,
    subdomains: Annotated[bool, typer.Option("--subdomains", help="Hosts below the site's belong to it.")] = False,
    links: Annotated[
        bool | None, typer.Option("--links/--no-links", help="Whether links of pages are followed.")
    ] = None,
    max_pages: MaxPages = None,
    max_depth: MaxDepth = None,
    keep_query: Annotated[bool, typer.Option("--keep-query", help="Tracking parameters stay in URLs.")] = False,
    on_gone: GoneOption = None,
    every: Every = None,
    cron: Cron = None,
    timezone: Zone = None,
    render: RenderOption = None,
    metadata: MetadataOption = None,
    max_tokens: MaxTokens = None,
    overlap_tokens: OverlapTokens = None,
    strategy: Strategy = None,
    force: Annotated[bool, typer.Option("--force", help="Index every page, whatever is known of it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Find the pages, and index none.")] = False,
    wait: Wait = True,
    timeout: Timeout = None,
) -> int:
    """Have a site's pages kept in a corpus, and follow its first run."""
    listed = len(urls) > 1 or source == CrawlSource.LIST
    if listed and source not in (None, CrawlSource.LIST):
        raise ConfigurationError(f"a {source} has one URL; several are a list")
    run = shell.client.crawl(
        None if listed else urls[0],
        urls=urls if listed else None,
        source=source,
        corpus_name=corpus,
        include=include or None,
        exclude=exclude or None,
        subdomains=subdomains or None,
        follow_links=links,
        max_pages=max_pages,
        max_depth=max_depth,
        keep_query=keep_query or None,
        on_gone=on_gone,
        schedule=schedule_of(every, cron, timezone),
        render=render,
        metadata=pairs_of(metadata, "--metadata") or None,
        chunking=chunking_of(max_tokens, overlap_tokens, strategy),
        force=force or None,
        dry_run=dry_run or None,
    )
    return _follow(shell, run, wait, timeout)


def change(
    shell: Shell,
    crawl_id: Id,
    include: Include = None,
    exclude: Exclude = None,
    every_path: Annotated[bool, typer.Option("--every-path", help="Take all of its globs away first.")] = False,
    subdomains: Annotated[
        bool | None, typer.Option("--subdomains/--no-subdomains", help="Whether hosts below the site's belong to it.")
    ] = None,
    max_pages: MaxPages = None,
    max_depth: MaxDepth = None,
    keep_query: Annotated[
        bool | None, typer.Option("--keep-query/--no-keep-query", help="Whether tracking parameters stay in URLs.")
    ] = None,
    on_gone: GoneOption = None,
    urls: Annotated[
        list[str] | None, typer.Option("--url", metavar="URL", help="Of a list: all of its pages; repeat it.")
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="All of it; repeat it.")
    ] = None,
    render: Annotated[Render | None, typer.Option(help="Whether a browser runs its pages' scripts first.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens that a chunk has at most.")] = None,
    overlap_tokens: Annotated[
        int | None, typer.Option(min=0, help="Tokens that a chunk shares with the one before it.")
    ] = None,
    strategy: Annotated[ChunkStrategy | None, typer.Option(help="Where its texts are cut.")] = None,
    every: Every = None,
    cron: Cron = None,
    timezone: Zone = None,
    no_schedule: Annotated[bool, typer.Option("--no-schedule", help="Run it only when asked to.")] = False,
) -> None:
    """Change what a crawl keeps, or when it is run; the rest stays as it is, and it counts from the next run on."""
    schedule = schedule_of(every, cron, timezone)
    if no_schedule and schedule is not None:
        raise ConfigurationError("--no-schedule takes the schedule away; leave --every and --cron out")
    globs = {"include": include or ([] if every_path else None), "exclude": exclude or ([] if every_path else None)}
    given = globs | {
        "subdomains": subdomains,
        "max_pages": max_pages,
        "max_depth": max_depth,
        "keep_query": keep_query,
        "on_gone": on_gone,
        "urls": urls or None,
        "metadata": pairs_of(metadata, "--metadata") or None,
        "render": render,
        "schedule": schedule,
    }
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if no_schedule:
        wanted["schedule"] = None  # which takes it away; what is not said at all stays
    if (max_tokens, overlap_tokens, strategy) != (None, None, None):  # it is said whole: what is not said here stays
        before = shell.client.crawls.get(crawl_id).chunking
        wanted["chunking"] = chunking_of(max_tokens, overlap_tokens, strategy, before)
    if not wanted:
        raise ConfigurationError("nothing to change: say what is to be otherwise, such as --max-pages 500")
    _changed(shell, shell.client.crawls.change(crawl_id, CrawlPatch(**wanted)), f"Changed {crawl_id}.")


def show(shell: Shell, crawl_id: Id) -> None:
    """Tell all of a crawl: what belongs to it, and when it is run."""
    one = shell.client.crawls.get(crawl_id)
    if shell.out.as_json:
        shell.out.data(one)
        return
    facts = {
        "begins at": one.url or f"a list of {one.urls} pages",
        "its pages": _listed(one),
        "source": one.source,
        "corpus": one.corpus_name,
        "documents": one.documents,
        "only paths": " ".join(one.include),
        "never paths": " ".join(one.exclude),
        "subdomains": "belong to it" if one.subdomains else None,
        "links": "followed" if one.follow_links else "not followed",
        "at most": f"{one.max_pages} pages, {one.max_depth} links deep",
        "metadata": json.dumps(one.metadata, ensure_ascii=False) if one.metadata else None,
        "cut by": f"{one.chunking.strategy}: {one.chunking.max_tokens} tokens, {one.chunking.overlap_tokens} of them shared",
        "rendered": one.render,
        "gone pages": "stay" if one.on_gone == OnGone.KEEP else "are removed after two runs",
        "schedule": _schedule(one.schedule),
        "next (UTC)": _when(one),
        "missed runs": one.missed_runs or None,
        "runs": one.last_run,
        "last run": one.last_state,
    }
    shell.out.table(("", ""), ((name, value) for name, value in facts.items() if value not in (None, "")))


def _listed(crawl: Crawl) -> str:
    few = " ".join(crawl.listed[:LISTED_SHOWN])
    return f"{few} …" if crawl.urls > LISTED_SHOWN else few


def _schedule(schedule: Any) -> str:
    if schedule is None:
        return "none: it is run when asked to"
    return f"every {schedule.every}" if schedule.every else f"{schedule.cron} ({schedule.timezone})"


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
    sure(shell, f"Delete crawl {crawl_id}{' and its documents' if documents else ''}?", yes)
    gone = shell.client.crawls.delete(crawl_id, documents="delete" if documents else "keep")
    _changed(shell, gone, f"Deleted {crawl_id}.")


def _changed(shell: Shell, answer: Any, text: str) -> None:
    if shell.out.as_json:
        shell.out.data(answer)
    else:
        shell.out.note(text)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "crawl")(crawl)
    crawls = group(app, "crawls", "Sites that are kept in a corpus, and their runs.")
    command(crawls)(list_crawls)
    command(crawls, "show")(show)
    command(crawls, "change")(change)
    command(crawls, "map")(map_site)
    command(crawls, "run")(run_again)
    runs.add_to(app, crawls)
    command(crawls, "pause")(pause)
    command(crawls, "resume")(resume)
    command(crawls, "delete")(delete)
