"""One run of the demo, as a function."""

import time
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import BaseModel

from demo.checks import check_all
from demo.crawling import crawl_site
from demo.expectations import SITE_TIMEOUT_SECONDS, Expected, ExpectedPage, Question, site_pages, site_questions
from demo.gateway import Gateway, PlatformError
from demo.indexing import Say, index_pages, index_scripted
from demo.report import Answer, DemoReport, EndpointCounts, say_answer, say_checks, say_run, say_table

DEMO_CORPUS = "demo"
PAGES_CORPUS = "pages"
# a page of somebody else's must not change what the demo counts
TOP_K = 3
INDEXING_TIMEOUT_SECONDS = 180.0


class _Stats(BaseModel):
    texts: int
    passages: int
    distinct_passages: int


def endpoint_counts(endpoint_url: str | None) -> EndpointCounts | None:
    """Ask the development endpoint what it has been sent; a production one keeps no such counts."""
    if endpoint_url is None:
        return None
    answer = httpx.get(f"{endpoint_url}/stats", timeout=SITE_TIMEOUT_SECONDS).raise_for_status()
    stats = _Stats.model_validate_json(answer.content)
    return EndpointCounts(stats.texts, stats.passages, stats.distinct_passages)


def run_demo(
    *,
    gateway_url: str,
    api_key: str,
    site_url: str,
    endpoint_url: str | None = None,
    corpus_name: str = DEMO_CORPUS,
    say: Say = print,
    timeout_seconds: float = INDEXING_TIMEOUT_SECONDS,
) -> DemoReport:
    """Crawl the demo site by its sitemap, ask the six questions, and check everything.

    A second time it is a refresh of the same crawl: what is as it was is neither sent nor embedded.

    Parameters
    ----------
    gateway_url, site_url, endpoint_url
        Addresses without a path. Without the endpoint's, what it was sent is not checked.
    api_key
        A user's key.
    corpus_name
        The corpus to index into.
    say
        Takes each line of progress.
    timeout_seconds
        How long all pages together may take.

    Raises
    ------
    PlatformError
        If a request is refused, or the jobs do not end in time.
    """
    site_url = site_url.rstrip("/")
    (pages, scripted), questions = site_pages(site_url), site_questions(site_url)
    say(f"The demo site at {site_url} has a sitemap of {len(pages) - 1} URLs; corpus `{corpus_name}`.")

    def index(gateway: Gateway, report: DemoReport) -> None:
        report.run, report.outcomes = crawl_site(
            gateway, f"{site_url}/", pages, corpus_name, say=say, timeout_seconds=timeout_seconds
        )
        report.outcomes += index_scripted(gateway, scripted, corpus_name, say=say, timeout_seconds=timeout_seconds)

    with Gateway(gateway_url, api_key) as gateway:
        return _run(gateway, index, questions, endpoint_url, corpus_name, say)


def run_page(
    *,
    gateway_url: str,
    api_key: str,
    url: str,
    query: str | None = None,
    endpoint_url: str | None = None,
    corpus_name: str = PAGES_CORPUS,
    say: Say = print,
    timeout_seconds: float = INDEXING_TIMEOUT_SECONDS,
) -> DemoReport:
    """Index one page, wherever it is, and search it.

    Parameters
    ----------
    url
        The page.
    query
        What to ask; by default the words of its address.
    gateway_url, api_key, endpoint_url, corpus_name, say, timeout_seconds
        As in `run_demo`.
    """
    pages = [ExpectedPage(url=url, label=url, outcome=Expected.INDEXED)]
    questions = [Question(query=query or _words_of(url))]
    say(f"Indexing {url}; corpus `{corpus_name}`.")

    def index(gateway: Gateway, report: DemoReport) -> None:
        report.outcomes = index_pages(gateway, pages, corpus_name, say=say, timeout_seconds=timeout_seconds)

    with Gateway(gateway_url, api_key) as gateway:
        return _run(gateway, index, questions, endpoint_url, corpus_name, say, only_this_page=url)


def _words_of(url: str) -> str:
    parts = urlsplit(url)
    words = unquote(parts.path).replace("/", " ").replace("-", " ").replace("_", " ").split()
    return " ".join(words) or f"What is {parts.hostname}?"


def _run(
    gateway: Gateway,
    index: Callable[[Gateway, DemoReport], None],
    questions: Sequence[Question],
    endpoint_url: str | None,
    corpus_name: str,
    say: Say,
    *,
    only_this_page: str | None = None,
) -> DemoReport:
    started = time.monotonic()
    report = DemoReport(corpus_name, whole_site=only_this_page is None)
    try:
        report.corpus_before = gateway.corpus(corpus_name)
        report.endpoint_before = endpoint_counts(endpoint_url)
        index(gateway, report)
        report.endpoint_after = endpoint_counts(endpoint_url)
        say_table(report.outcomes, say)
        if report.run is not None:
            say(
                "  Pages of one site take turns, at the pace of politeness: the later ones waited for the earlier ones."
            )
            say_run(report.run, say)
        if any(one.is_indexed for one in report.outcomes):
            report.answers = _ask(gateway, questions, corpus_name, say, only_this_page)
        report.corpus_after = gateway.corpus(corpus_name)
    except httpx.HTTPError as error:
        raise PlatformError(f"the demo site or the endpoint does not answer: {error}") from error
    report.throttled = gateway.throttled
    report.seconds = time.monotonic() - started
    report.checks = check_all(report)
    _say_summary(report, say)
    return report


def _ask(
    gateway: Gateway, questions: Sequence[Question], corpus_name: str, say: Say, url_prefix: str | None
) -> list[Answer]:
    answers = []
    for question in questions:
        found = gateway.search(question.query, corpus_name, top_k=TOP_K, url_prefix=url_prefix)
        answers.append(Answer(question, found.results))
        say_answer(answers[-1], say)
    return answers


def _say_summary(report: DemoReport, say: Say) -> None:
    corpus = report.corpus_after
    say("")
    if corpus is not None:
        say(f"  corpus `{corpus.name}`: {corpus.documents} documents, {corpus.chunks} chunks, {corpus.tokens} tokens")
    if report.endpoint_before is not None and report.endpoint_after is not None:
        say(f"  passages sent to the model: {report.endpoint_after.passages - report.endpoint_before.passages}")
    say(f"  one trace: {report.trace_id}")
    say(f"  requests told to wait: {report.throttled}; time in all: {report.seconds:.1f} s")
    say_checks(report, say)
