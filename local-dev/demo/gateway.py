"""The platform as a client sees it: through the gateway, with a key, waiting when it is told to."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from ml_shared.contracts.batches import BatchAccepted, BatchView
from ml_shared.contracts.crawls import CrawlPage, CrawlSource, CrawlView, PagesPage, PageView, RunAccepted, RunView
from ml_shared.contracts.embedding import Corpus, CorpusPage, SearchMode, SearchResult
from ml_shared.contracts.jobs import JobAccepted, JobView
from ml_shared.contracts.scraping import Render
from ml_shared.names import Header

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
LEAST_GAP_SECONDS = 0.05
# the gateway allows 30 requests a second from one address: a client that knows it stays below
DEFAULT_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
CHUNKING = {"max_tokens": 160, "overlap_tokens": 24}
PATIENCE_SECONDS = 180.0
# of one request that is told to wait again and again
CRAWLS = "/api/orchestrator/crawls"
PAGE_LIMIT = 100

SnapshotT = TypeVar("SnapshotT")
PageT = TypeVar("PageT", CrawlPage, PagesPage, CorpusPage)


class PlatformError(RuntimeError):
    """The platform refused a request, or did not answer it."""


class Gateway:
    """A client of the platform. `throttled` counts the times that it was told to wait."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url.rstrip("/")
        self.throttled = 0
        self._next_at = 0.0
        # no proxy and no netrc of the machine: the key goes to the gateway and nowhere else
        self._client = httpx.Client(timeout=TIMEOUT, headers={Header.API_KEY: api_key}, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def submit(self, url: str, corpus_name: str, render: Render = Render.NEVER) -> JobAccepted:
        """Submit a page, to be cut into passages that a terminal can show."""
        body = {"url": url, "corpus_name": corpus_name, "chunking": CHUNKING, "render": render}
        answer = self._ask("POST", "/api/orchestrator/jobs", body)
        return JobAccepted.model_validate_json(answer.content)

    def submit_several(self, urls: Sequence[str], corpus_name: str) -> BatchAccepted:
        """Submit pages as one batch, to be cut as `submit` has it; those without text are rendered, where that can be done."""
        body = {"urls": list(urls), "corpus_name": corpus_name, "chunking": CHUNKING, "render": Render.AUTO}
        return BatchAccepted.model_validate_json(self._ask("POST", "/api/orchestrator/jobs/batch", body).content)

    def crawl_of(self, site_url: str, corpus_name: str) -> CrawlView | None:
        """Return the crawl of a site by its sitemap, into a corpus, or None while there is none."""
        for page in self._listed(CRAWLS, CrawlPage):
            for crawl in page.items:
                if (crawl.url, crawl.corpus_name, crawl.source) == (site_url, corpus_name, CrawlSource.SITEMAP):
                    return crawl
        return None

    def submit_crawl(self, site_url: str, corpus_name: str) -> RunAccepted:
        """Crawl a site by its sitemap; its pages are cut as `submit` has it."""
        body = {"source": CrawlSource.SITEMAP, "url": site_url, "corpus_name": corpus_name, "chunking": CHUNKING}
        return RunAccepted.model_validate_json(self._ask("POST", CRAWLS, body).content)

    def run_again(self, crawl_id: str) -> RunAccepted:
        """Look at a crawl's pages again."""
        return RunAccepted.model_validate_json(self._ask("POST", f"{CRAWLS}/{crawl_id}/runs", {}).content)

    def run(self, crawl_id: str, run: int) -> RunView:
        """Ask how a run is getting on, or what it came to."""
        return RunView.model_validate_json(self._ask("GET", f"{CRAWLS}/{crawl_id}/runs/{run}").content)

    def pages(self, crawl_id: str, run: int) -> list[PageView]:
        """Return what became of a run's pages."""
        path = f"{CRAWLS}/{crawl_id}/runs/{run}/pages"
        return [one for page in self._listed(path, PagesPage, {"limit": str(PAGE_LIMIT)}) for one in page.items]

    def follow_run(self, crawl_id: str, run: int, *, until: float) -> Iterator[RunView]:
        """Yield a run's snapshots as `follow` does a batch's."""
        yield from self._followed(f"{CRAWLS}/{crawl_id}/runs/{run}/events", RunView.model_validate_json, until)

    def follow(self, batch_id: str, *, until: float) -> Iterator[BatchView]:
        """Yield a batch's snapshots as they come, until it has ended or the clock says so.

        A stream that ends before is asked for again.

        Parameters
        ----------
        until
            On the monotonic clock, in seconds. A stream has a line every 15 s at least, at which it is looked at.
        """
        path = f"/api/orchestrator/batches/{batch_id}/events"
        yield from self._followed(path, BatchView.model_validate_json, until)

    def _followed(self, path: str, read: Callable[[str], SnapshotT], until: float) -> Iterator[SnapshotT]:
        seen = ""
        while time.monotonic() < until:
            headers = {"Last-Event-ID": seen} if seen else {}
            try:
                with self._client.stream("GET", self.url + path, headers=headers) as answer:
                    if answer.status_code == httpx.codes.NO_CONTENT:
                        return
                    if not answer.is_success:
                        answer.read()
                        wait = _wait_seconds(answer)
                        if wait is None:
                            raise PlatformError(f"GET {path} answered {answer.status_code}: {_reason(answer)}")
                        self.throttled += 1
                        time.sleep(wait)
                        continue
                    for line in answer.iter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            seen = value
                        elif name == "data":
                            yield read(value)
                        if time.monotonic() > until:
                            return
            except httpx.HTTPError as error:
                raise PlatformError(f"GET {path}: {type(error).__name__}: {error}") from error

    def job(self, job_id: str) -> JobView:
        """Ask how a job is getting on."""
        return JobView.model_validate_json(self._ask("GET", f"/api/orchestrator/jobs/{job_id}").content)

    def search(self, query: str, corpus_name: str, *, top_k: int, url_prefix: str | None = None) -> SearchResult:
        """Ask for the best passages, in hybrid mode."""
        body: dict[str, Any] = {
            "query": query,
            "corpus_name": corpus_name,
            "top_k": top_k,
            "mode": SearchMode.HYBRID,
        }
        if url_prefix is not None:
            body["filters"] = {"url_prefix": url_prefix}
        return SearchResult.model_validate_json(self._ask("POST", "/api/embedding/search", body).content)

    def corpus(self, name: str) -> Corpus | None:
        """Return a corpus with its counts, or None while there is none of that name."""
        for page in self._listed("/api/embedding/corpora", CorpusPage):
            for corpus in page.items:
                if corpus.name == name:
                    return corpus
        return None

    def _listed(self, path: str, kind: type[PageT], query: Mapping[str, str] | None = None) -> Iterator[PageT]:
        cursor: str | None = None
        while True:
            asked = {**(query or {}), **({"cursor": cursor} if cursor else {})}
            page = kind.model_validate_json(self._ask("GET", path, query=asked or None).content)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            time.sleep(max(0.0, self._next_at - time.monotonic()))
            self._next_at = time.monotonic() + LEAST_GAP_SECONDS
            try:
                answer = self._client.request(method, self.url + path, json=body, params=query)
            except httpx.HTTPError as error:
                raise PlatformError(f"{method} {path}: {type(error).__name__}: {error}") from error
            if answer.is_success:
                return answer
            wait = _wait_seconds(answer)
            if wait is None or time.monotonic() + wait > give_up_at:
                raise PlatformError(f"{method} {path} answered {answer.status_code}: {_reason(answer)}")
            self.throttled += 1
            time.sleep(wait)


def _wait_seconds(answer: httpx.Response) -> float | None:
    """Return how long to wait before trying again, or None when that is of no use."""
    if answer.status_code not in (429, 503):
        return None
    text = answer.headers.get(Header.RETRY_AFTER)
    if text is None:
        return DEFAULT_WAIT_SECONDS if answer.status_code == 429 else None
    try:
        return min(max(float(text), 0.0), LONGEST_WAIT_SECONDS)
    except ValueError:
        return DEFAULT_WAIT_SECONDS


class _Field(BaseModel):
    field: str = ""
    message: str = ""


class _Problem(BaseModel):
    code: str = ""
    detail: str = ""
    errors: list[_Field] = []
    trace_id: str | None = None


def _reason(answer: httpx.Response) -> str:
    try:
        problem = _Problem.model_validate_json(answer.content)
    except ValueError:
        return answer.text[:200]
    traced = f" (trace {problem.trace_id})" if problem.trace_id else ""
    fields = "".join(f"; {error.field}: {error.message}" for error in problem.errors)
    return f"{problem.code}: {problem.detail}{fields}{traced}"
