"""Crawling the site by its sitemap and watching its pages become searchable; a second time that is a refresh."""

import time
from collections.abc import Sequence

from demo.expectations import ExpectedPage
from demo.gateway import Gateway, PlatformError
from demo.indexing import Say
from demo.outcomes import PageOutcome
from ml_shared.contracts.crawls import RunState, RunView


def crawl_site(
    gateway: Gateway,
    site_url: str,
    pages: Sequence[ExpectedPage],
    corpus_name: str,
    *,
    say: Say,
    timeout_seconds: float,
) -> tuple[RunView, list[PageOutcome]]:
    """Crawl a site, or look at it again, and return once that has ended.

    Returns
    -------
    RunView, list of PageOutcome
        The run, and what became of the pages that it was expected to meet.

    Raises
    ------
    PlatformError
        If a request is refused, or the run has not ended within `timeout_seconds`.
    """
    started = time.monotonic()
    crawl_id, run = _begun(gateway, site_url, corpus_name, say)
    told = ""
    for snapshot in gateway.follow_run(crawl_id, run, until=started + timeout_seconds):
        line = _progress(snapshot)
        if line != told:
            say(f"  {time.monotonic() - started:5.1f} s  {line}")
        told = line
    view = gateway.run(crawl_id, run)
    if view.state is RunState.RUNNING:
        raise PlatformError(
            f"run {run} of crawl {crawl_id} has not ended after {time.monotonic() - started:.0f} s: {_progress(view)}"
        )
    for warning in view.warnings:
        say(f"    warning: {warning.code}: {warning.message} ({warning.url})")
    return view, _outcomes(gateway, view, pages, say)


def _begun(gateway: Gateway, site_url: str, corpus_name: str, say: Say) -> tuple[str, int]:
    crawl = gateway.crawl_of(site_url, corpus_name)
    if crawl is None:
        accepted = gateway.submit_crawl(site_url, corpus_name)
        say(f"crawl {accepted.crawl_id} reads its sitemap; following its first run by its events")
        return accepted.crawl_id, accepted.run
    if crawl.last_state is RunState.RUNNING:
        say(f"crawl {crawl.crawl_id} is under way; following its run {crawl.last_run} by its events")
        return crawl.crawl_id, crawl.last_run
    accepted = gateway.run_again(crawl.crawl_id)
    say(f"crawl {crawl.crawl_id} is there: its run {accepted.run} is a refresh; following it by its events")
    return accepted.crawl_id, accepted.run


def _progress(run: RunView) -> str:
    counts = {name: count for name, count in run.outcomes.model_dump().items() if count}
    standing = {"waiting": run.waiting, "under way": run.open} if run.ended_at is None else {}
    parts = [f"{name} {count}" for name, count in (*standing.items(), *counts.items())]
    return f"{run.state}  {'  '.join(parts)}"


def _outcomes(gateway: Gateway, run: RunView, pages: Sequence[ExpectedPage], say: Say) -> list[PageOutcome]:
    views = {page.url: page for page in gateway.pages(run.crawl_id, run.run)}
    outcomes = []
    for page in pages:
        view = views.get(page.url)
        job_id = view.job_id if view is not None else None
        outcome = PageOutcome(page, None if job_id is None else gateway.job(job_id), view)
        took = outcome.searchable_seconds
        say(f"    {page.label:28} {outcome.ending}" + ("" if took is None else f", searchable in {took:.2f} s"))
        outcomes.append(outcome)
    return outcomes
