"""Runs: each time that a crawl is done, and what became of every page."""

from cloudcix_ml.core.effects import Operation, Stream
from cloudcix_ml.core.exchange import call
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.crawls import Page, PagesPage, Run, RunOutcome, RunPage
from cloudcix_ml.operations.crawls import CRAWLS
from cloudcix_ml.operations.events import told
from cloudcix_ml.operations.following import Subject, followed, waited
from cloudcix_ml.operations.requests import get, listed, path_of, post


def list_all(session: Session, crawl_id: str, *, page_size: int | None = None) -> Stream[Run]:
    """Go through a crawl's runs, newest first."""
    return listed(session, path_of(CRAWLS, crawl_id, "runs"), RunPage, page_size)


def read(session: Session, crawl_id: str, run: int) -> Operation[Run]:
    """Return a run as it stands: counts by outcome and reason, speed, estimated end."""
    return (yield from call(session, get(_run(crawl_id, run)), Run))


def pages(
    session: Session,
    crawl_id: str,
    run: int,
    *,
    outcome: RunOutcome | str | None = None,
    reason: str | None = None,
    url_prefix: str | None = None,
    page_size: int | None = None,
) -> Stream[Page]:
    """Go through a run's pages and what became of each."""
    path = f"{_run(crawl_id, run)}/pages"
    return listed(session, path, PagesPage, page_size, outcome=outcome, reason=reason, url_prefix=url_prefix)


def cancel(session: Session, crawl_id: str, run: int) -> Operation[Run]:
    """Cancel what of a run has not ended."""
    return (yield from call(session, post(f"{_run(crawl_id, run)}/cancel"), Run))


def confirm(session: Session, crawl_id: str, run: int) -> Operation[Run]:
    """Let a run remove what it holds back, since most of the site seems gone."""
    return (yield from call(session, post(f"{_run(crawl_id, run)}/confirm"), Run))


def _run(crawl_id: str, run: int) -> str:
    return path_of(CRAWLS, crawl_id, "runs", str(run))


def events(session: Session, crawl_id: str, run: int, *, timeout_seconds: float | None = None) -> Stream[Run]:
    """Hand out a run's counts as its stream of events tells them: whole snapshots, at most one a second, up to its end.

    Raises
    ------
    WaitTimeoutError
        If it has not ended in this time; it goes on.
    """
    one = subject(crawl_id, run)
    return told(session, one.events_path, Run, one.name, timeout_seconds=timeout_seconds)


def subject(crawl_id: str, run: int) -> Subject[Run]:
    """Return what is followed of a run."""
    path = _run(crawl_id, run)
    return Subject(f"run {run} of crawl {crawl_id}", path, f"{path}/events", Run, lambda one: one.ended)


def follow(session: Session, crawl_id: str, run: int, *, timeout_seconds: float | None = None) -> Stream[Run]:
    """Hand out a run whenever it has moved, up to its end."""
    return followed(session, subject(crawl_id, run), timeout_seconds)


def wait(session: Session, crawl_id: str, run: int, *, timeout_seconds: float | None = None) -> Operation[Run]:
    """Return a run once it has ended.

    Raises
    ------
    WaitTimeoutError
        If it has not ended in this time; it goes on.
    """
    return (yield from waited(session, subject(crawl_id, run), timeout_seconds))
