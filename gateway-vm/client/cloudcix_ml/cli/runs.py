"""`runs`: each time that a crawl is done; and the names that they have under `crawls`."""

from itertools import islice
from typing import Annotated

import typer

from cloudcix_ml.cli.corpora import Yes, sure
from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.jobs import Limit, cancelled_run
from cloudcix_ml.cli.shell import Shell, command, group
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.crawls import RunOutcome
from cloudcix_ml.standing import run_named

Id = Annotated[str, typer.Argument(metavar="CRAWL")]
RunId = Annotated[str, typer.Argument(metavar="CRAWL/NUMBER")]


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


def show_run(shell: Shell, run: RunId) -> None:
    """Tell all of a run: counts by outcome and reason, what it saved, what to know of it."""
    one = shell.client.runs.get(*parts_of(run))
    if shell.out.as_json:
        shell.out.data(one)
        return
    facts = {
        "state": one.state,
        "trigger": one.trigger,
        "held": f"{one.held_documents} removals, until `cloudcix-ml runs confirm {run}`" if one.held else None,
        "pages": one.pages,
        "to come": one.waiting or None,
        "pages a minute": None if one.pages_per_minute is None else f"{one.pages_per_minute:.0f}",
        "not embedded anew": one.saved.embeddings or None,
        "started (UTC)": one.started_at,
        "ended (UTC)": one.ended_at,
    }
    shell.out.table(("", ""), ((name, value) for name, value in facts.items() if value is not None))
    counts = ((name, "", number) for name, number in one.outcomes.model_dump().items() if number)
    reasons = ((outcome, reason, number) for outcome, by in one.reasons.items() for reason, number in by.items())
    shell.out.table(("outcome", "reason", "pages"), [*counts, *reasons])
    for warning in one.warnings:
        shell.out.note(f"{warning.code}: {warning.message} {warning.url or ''}", "yellow")


def list_pages(
    shell: Shell,
    run: RunId,
    outcome: Annotated[RunOutcome | None, typer.Option(help="Those that came to this.")] = None,
    reason: Annotated[str | None, typer.Option(help="Those for this reason.")] = None,
    url_prefix: Annotated[str | None, typer.Option(help="Those whose URL begins so.")] = None,
    limit: Limit = 100,
) -> None:
    """List a run's pages, and what became of each."""
    crawl_id, number = parts_of(run)
    found = shell.client.runs.pages(crawl_id, number, outcome=outcome, reason=reason, url_prefix=url_prefix)
    pages = list(islice(found, limit))
    if shell.out.as_json:
        shell.out.data(pages)
        return
    rows = ((one.outcome or one.state, one.reason, one.depth, one.url) for one in pages)
    shell.out.table(("outcome", "reason", "depth", "url"), rows, wide="url", spare=("depth",))


def cancel(shell: Shell, run: RunId) -> int:
    """Cancel what of a run has not ended."""
    return cancelled_run(shell, *parts_of(run))


def confirm(shell: Shell, run: RunId, yes: Yes = False) -> int:
    """Let a run remove what it holds back, since most of the site seems gone."""
    crawl_id, number = parts_of(run)
    held = shell.client.runs.get(crawl_id, number).held_documents
    sure(shell, f"Remove {held} documents?", yes)
    confirmed = shell.client.runs.confirm(crawl_id, number)
    # how the run itself went is another matter: where pages are gone it has seldom gone well
    if shell.out.as_json:
        shell.out.data(confirmed)
    else:
        shell.out.text(f"The removal of {held} {'document' if held == 1 else 'documents'} is under way.")
    return Exit.GOOD


def parts_of(run: str) -> tuple[str, int]:
    """Return a run's crawl and number."""
    parts = run_named(run)
    if parts is None:
        raise ConfigurationError(f"{run!r} is no run; one is CRAWL/NUMBER, as `cloudcix-ml crawl` says it")
    return parts


def add_to(app: typer.Typer, crawls: typer.Typer) -> None:
    """Add these commands, under both of their names."""
    made = group(app, "runs", "Each time that a crawl is done, and what became of every page.")
    command(made, "list")(list_runs)
    command(made, "show")(show_run)
    command(made, "cancel")(cancel)
    command(crawls, "runs")(list_runs)
    for each in (made, crawls):
        command(each, "pages")(list_pages)
        command(each, "confirm")(confirm)
