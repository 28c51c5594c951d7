"""The demo against a platform that is made up, so that each of its checks can be seen to fail."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from demo.expectations import site_pages, site_questions
from demo.gateway import Gateway, PlatformError
from demo.report import DemoReport
from demo.run import run_demo, run_page
from standins.demo_site import DEAD_LINK, FORBIDDEN, PICTURE, REDIRECT, SCRIPTED, build_site
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_shared.testing.http_server import ThreadedServer

KEY = "user-key"
STEPS = ("queued", "scraping", "chunking", "embedding", "completed")
ENDINGS = {
    FORBIDDEN: ("skipped", "robots_disallowed"),
    DEAD_LINK: ("failed", "gone"),
    PICTURE: ("skipped", "unsupported"),
    REDIRECT: ("skipped", "canonical_elsewhere"),
}
TIMES = {"submitted_at": "2026-03-01T10:00:00Z", "ended_at": "2026-03-01T10:00:01.25Z"}


@dataclass
class Platform:
    """Jobs that move a step each time they are looked at, two chunks a page, an index that remembers pages.

    A run's jobs are those of the site's pages; `reason` of an ending is the run's, and its job's error code.
    """

    throttle: int = 0
    pages: list[str] = field(default_factory=list)
    endings: dict[str, tuple[str, str]] = field(default_factory=lambda: dict(ENDINGS))
    crawls: list[dict[str, Any]] = field(default_factory=list)
    runs: int = 0
    saves_nothing: bool = False
    right_pages: dict[str, str] = field(default_factory=dict)
    stuck: bool = False
    sends_twice: bool = False
    shared_passages: int = 0
    chunks_doubled: bool = False
    jobs: dict[str, list[Any]] = field(default_factory=dict)
    indexed: dict[str, int] = field(default_factory=dict)
    texts: int = 0
    distinct: int = 0
    queries: list[dict[str, Any]] = field(default_factory=list)
    batch: list[str] = field(default_factory=list)
    was_there: set[str] = field(default_factory=set)
    told_end: bool = False

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/orchestrator/jobs", self.submit, methods=["POST"]),
                Route("/api/orchestrator/jobs/batch", self.submit_several, methods=["POST"]),
                Route("/api/orchestrator/batches/{batch_id}/events", self.follow),
                Route("/api/orchestrator/jobs/{job_id}", self.job),
                Route("/api/orchestrator/crawls", self.crawl, methods=["GET", "POST"]),
                Route("/api/orchestrator/crawls/c/runs", self.run_again, methods=["POST"]),
                Route("/api/orchestrator/crawls/c/runs/{run}", self.run),
                Route("/api/orchestrator/crawls/c/runs/{run}/pages", self.pages_of_run),
                Route("/api/orchestrator/crawls/c/runs/{run}/events", self.follow_run),
                Route("/api/embedding/search", self.search, methods=["POST"]),
                Route("/api/embedding/corpora", self.corpora),
                Route("/stats", self.stats),
            ]
        )

    def refusal(self, request: Request) -> Response | None:
        if request.headers.get("x-api-key") != KEY:
            return JSONResponse({"code": "invalid_api_key", "detail": "not a valid key"}, 401)
        if self.throttle:
            self.throttle -= 1
            return JSONResponse({"code": "rate_limited"}, 429, {"Retry-After": "0.2"})
        return None

    async def submit(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        job_id = f"job-{len(self.jobs)}"
        self.jobs[job_id] = [(await request.json())["url"], 0]
        return JSONResponse({"job_id": job_id, "status": "queued"}, 202)

    async def submit_several(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        urls = (await request.json())["urls"]
        named = [{"job_id": f"job-{len(self.jobs) + number}", "url": url} for number, url in enumerate(urls)]
        self.jobs |= {one["job_id"]: [one["url"], 0] for one in named}
        self.batch = [one["job_id"] for one in named]
        return JSONResponse({"batch_id": "batch-1", "jobs": named}, 202)

    async def crawl(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        if request.method == "POST":
            asked = await request.json()
            limits = {"max_pages": 1000, "max_depth": 10, "last_run": 1, "last_state": "completed_with_errors"}
            self.crawls.append(
                {"crawl_id": "c", "corpus_name": "demo", "source": asked["source"], "url": asked["url"]}
                | {"submitted_at": TIMES["submitted_at"], **limits}
            )
            return self._begin()
        return JSONResponse({"items": self.crawls})

    async def run_again(self, _: Request) -> Response:
        return self._begin()

    def _begin(self) -> Response:
        self.runs += 1
        self.batch = [f"job-{len(self.jobs) + number}" for number in range(len(self.pages))]
        self.jobs |= {job_id: [url, 0] for job_id, url in zip(self.batch, self.pages, strict=True)}
        self.was_there = set(self.indexed)
        self.told_end = False
        return JSONResponse({"crawl_id": "c", "run": self.runs}, 202)

    def _pages(self) -> list[dict[str, Any]]:
        pages = []
        for job_id in self.batch:
            url = self.jobs[job_id][0]
            view = json.loads(bytes(self._look(job_id).body))
            page = {"url": url, "state": "ended" if view["ended_at"] else "open", "depth": 0, "job_id": job_id}
            if view["ended_at"]:
                indexed = ("unchanged" if url in self.was_there else "new", None)
                page["outcome"], page["reason"] = self.endings.get(urlsplit(url).path, indexed)
            pages.append(page)
        return pages

    def _run(self) -> dict[str, Any]:
        pages = self._pages()
        outcomes = Counter(page["outcome"] for page in pages if "outcome" in page)
        ended = outcomes.total() == len(pages)
        saved = 0 if self.saves_nothing else outcomes["unchanged"]
        run = {"crawl_id": "c", "run": self.runs, "trigger": "submitted", "pages": len(pages), "waiting": 0, "bytes": 9}
        run |= {
            "saved": {"requests": saved // 2, "bodies": saved - saved // 2, "embeddings": saved, "chunks": 2 * saved}
        }
        run |= {"open": len(pages) - outcomes.total(), "outcomes": outcomes, "started_at": TIMES["submitted_at"]}
        return run | {"state": "completed" if ended else "running", "ended_at": TIMES["ended_at"] if ended else None}

    async def run(self, _: Request) -> Response:
        return JSONResponse(self._run())

    async def pages_of_run(self, request: Request) -> Response:
        pages, half = self._pages(), len(self.pages) // 2
        if request.query_params.get("cursor"):
            return JSONResponse({"items": pages[half:]})
        return JSONResponse({"items": pages[:half], "next_cursor": "more"})

    async def follow_run(self, request: Request) -> Response:
        """Two snapshots, and then the stream ends: the client comes again until there is nothing left."""
        seen = int(request.headers.get("last-event-id", 0))
        told = ""
        for number in (seen + 1, seen + 2):
            run = self._run()
            if seen and run["ended_at"] and self.told_end:
                return Response(status_code=204)
            self.told_end = run["ended_at"] is not None
            told += f": heartbeat\n\nid: {number}\nevent: progress\ndata: {json.dumps(run)}\n\n"
            if self.told_end:
                break
        return Response(told, media_type="text/event-stream")

    async def follow(self, request: Request) -> Response:
        """Two snapshots, and then the stream ends: the client comes again until there is nothing left."""
        seen = int(request.headers.get("last-event-id", 0))
        told = ""
        for number in (seen + 1, seen + 2):
            views = [json.loads(bytes(self._look(job_id).body)) for job_id in self.batch]
            counts = Counter(view["status"] for view in views)
            ended = all(view["ended_at"] for view in views)
            if seen and ended and self.told_end:
                return Response(status_code=204)
            self.told_end = ended
            batch = {
                "batch_id": "batch-1",
                "corpus_name": "demo",
                "jobs": len(views),
                "counts": counts,
                "progress": 0.5,
            }
            batch |= {**TIMES, "ended_at": TIMES["ended_at"] if ended else None}
            told += f": heartbeat\n\nid: {number}\nevent: progress\ndata: {json.dumps(batch)}\n\n"
            if ended:
                break
        return Response(told, media_type="text/event-stream")

    async def job(self, request: Request) -> Response:
        return self._look(request.path_params["job_id"])

    def _look(self, job_id: str) -> Response:
        url, step = self.jobs[job_id]
        view = {"job_id": job_id, "url": url, "corpus_name": "demo", "trace_id": "ab" * 16, **TIMES}
        ending = self.endings.get(urlsplit(url).path)
        if ending and step == 1:
            error = {"code": ending[1], "message": "no", "failed_stage": "scraping"}
            return JSONResponse({**view, "status": "failed", "error": error})
        if STEPS[step] == "completed":
            if url not in self.indexed or self.sends_twice:
                self.texts += 2
                self.distinct += 0 if url in self.indexed else 2
                if self.shared_passages:
                    self.shared_passages -= 1
                    self.distinct -= 1
            self.indexed[url] = 2
            stages = [{"stage": name, "attempts": 1, "duration_seconds": 0.25} for name in STEPS[1:4]]
            return JSONResponse({**view, "status": "completed", "counts": {"chunks": 2}, "stages": stages})
        self.jobs[job_id][1] += 0 if self.stuck else 1
        waiting = {"reason": "queued", "since": TIMES["submitted_at"]}
        return JSONResponse({**view, "status": STEPS[step], "ended_at": None, "waiting": waiting})

    async def search(self, request: Request) -> Response:
        if refused := self.refusal(request):
            return refused
        body = await request.json()
        self.queries.append(body)
        url = self.right_pages.get(body["query"], "http://127.0.0.1:1/other")
        hit = {"score": 0.03, "text": "word " * 200, "url": url, "heading_path": ["A", "B"], "start": 0, "end": 9}
        hit |= {"document_id": "d", "chunk_index": 0, "corpus_name": "demo", "metadata": {}, "title": "A page"}
        return JSONResponse({"results": [hit], "model": "m", "mode": "hybrid", "took_ms": 1.0})

    async def corpora(self, _: Request) -> Response:
        chunks = sum(self.indexed.values()) * (2 if self.chunks_doubled else 1)
        demo = {"name": "demo", "documents": len(self.indexed), "chunks": chunks, "tokens": 9}
        others = [{"name": f"other-{number}", "documents": 1, "chunks": 1, "tokens": 1} for number in range(2)]
        if _.query_params.get("cursor"):
            return JSONResponse({"items": [demo] if self.indexed else []})
        return JSONResponse({"items": others, "next_cursor": "more"})

    async def stats(self, _: Request) -> Response:
        return JSONResponse({"texts": self.texts, "passages": self.texts, "distinct_passages": self.distinct})


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace is for a real gateway, which counts."""
    monkeypatch.setattr("demo.gateway.LEAST_GAP_SECONDS", 0.0)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadedServer(build_site()) as server:
        yield server.url


@pytest.fixture
def platform(site: str) -> Platform:
    right_pages = {one.query: one.url or "" for one in site_questions(site)}
    return Platform(pages=[page.url for page in site_pages(site)[0]], right_pages=right_pages)


@pytest.fixture
def url(platform: Platform) -> Iterator[str]:
    with ThreadedServer(platform.app()) as server:
        yield server.url


def demo(url: str, site: str, lines: list[str] | None = None, timeout_seconds: float = 30.0) -> DemoReport:
    return run_demo(
        gateway_url=url,
        api_key=KEY,
        site_url=site,
        endpoint_url=url,
        say=(lines if lines is not None else []).append,
        timeout_seconds=timeout_seconds,
    )


def failed(report: DemoReport) -> list[str]:
    return [check.name for check in report.checks if not check.ok]


def test_a_good_run_holds_and_shows_stages_answers_times_and_a_trace(platform: Platform, url: str, site: str) -> None:
    lines: list[str] = []
    report = demo(url, site, lines)
    shown = "\n".join(lines)
    assert failed(report) == []
    assert report.ok
    assert {query["mode"] for query in platform.queries} == {"hybrid"}
    assert len(report.answers) == 6
    for part in (
        "running  waiting 0  under way",
        "run 1: completed;",
        "searchable in 1.25 s",
        "robots_disallowed",
        "ab" * 16,
        "A › B",
        "0.25 s",
        "0.0300",
    ):
        assert part in shown
    assert KEY not in shown


def test_a_second_run_is_a_refresh_that_leaves_the_counts_sends_nothing_and_says_so(
    platform: Platform, url: str, site: str
) -> None:
    lines: list[str] = []
    first, second = demo(url, site), demo(url, site, lines)
    assert second.ok
    assert len(platform.crawls) == 1
    indexed = len(platform.indexed) - 1  # the page that JavaScript makes is no part of the crawl
    assert f"saved: 0 bytes, the embedding of {indexed} pages ({2 * indexed} chunks)" in "\n".join(lines)
    assert f"the refresh embedded nothing: {indexed} pages are as they were" in [check.name for check in second.checks]
    assert first.corpus_after == second.corpus_before == second.corpus_after
    assert second.endpoint_before == second.endpoint_after
    assert "indexing unchanged pages again left the counts as they were" in [check.name for check in second.checks]


def test_a_refresh_that_saves_nothing_fails_the_demo(platform: Platform, url: str, site: str) -> None:
    demo(url, site)
    platform.saves_nothing = True
    assert failed(demo(url, site)) == ["the refresh embedded nothing: 0 pages are as they were"]


def test_a_429_is_waited_for_as_long_as_it_says(platform: Platform, url: str, site: str) -> None:
    platform.throttle = 3
    started = time.monotonic()
    report = demo(url, site)
    assert (report.ok, report.throttled) == (True, 3)
    assert time.monotonic() - started > 0.6


def test_a_page_that_ends_otherwise_fails_the_demo(platform: Platform, url: str, site: str) -> None:
    platform.endings = {
        **ENDINGS,
        "/docs/errors": ("failed", "fetch_timeout"),
        DEAD_LINK: ("skipped", "robots_disallowed"),
    }
    names = failed(demo(url, site))
    assert any(name.endswith("pages are indexed") for name in names)
    assert f"{DEAD_LINK} is failed: gone" in names


def test_a_page_that_only_a_browser_can_make_is_left_out_where_there_is_none_and_fails_the_demo_otherwise(
    platform: Platform, url: str, site: str
) -> None:
    lines: list[str] = []
    platform.endings[SCRIPTED] = ("failed", "renderer_not_configured")
    report = demo(url, site, lines)
    assert report.ok
    assert any(SCRIPTED in line and "no browser" in line for line in lines)
    assert SCRIPTED not in {one.page.label for one in report.outcomes}
    platform.endings[SCRIPTED] = ("failed", "render_failed")
    assert [name.partition(" pages ")[2] for name in failed(demo(url, site))] == ["are indexed"]


def test_a_forbidden_page_that_is_indexed_fails_the_demo(platform: Platform, url: str, site: str) -> None:
    del platform.endings[FORBIDDEN]
    assert f"{FORBIDDEN} is skipped: robots_disallowed" in failed(demo(url, site))


def test_a_wrong_page_in_front_fails_the_demo(platform: Platform, url: str, site: str) -> None:
    question = site_questions(site)[2].query
    platform.right_pages[question] = site + "/docs/errors"
    assert failed(demo(url, site)) == [f"the right page is first for “{question}”"]


def test_a_passage_sent_twice_fails_the_demo(platform: Platform, url: str, site: str) -> None:
    demo(url, site)
    platform.sends_twice = True
    assert any("no passage twice" in name for name in failed(demo(url, site)))


def test_a_passage_of_two_pages_that_is_sent_for_both_at_once_fails_nothing(
    platform: Platform, url: str, site: str
) -> None:
    platform.shared_passages = 1
    assert failed(demo(url, site)) == []


def test_doubled_chunks_fail_the_demo(platform: Platform, url: str, site: str) -> None:
    platform.chunks_doubled = True
    assert any("no more than the pages have" in name for name in failed(demo(url, site)))


def test_a_run_that_never_ends_stops_the_demo_and_says_how_far_it_is(platform: Platform, url: str, site: str) -> None:
    platform.stuck = True
    with pytest.raises(PlatformError, match=r"run 1 of crawl c has not ended .*: running  waiting 0  under way"):
        demo(url, site, timeout_seconds=0.2)


def test_a_page_that_never_ends_stops_the_demo_and_is_named(platform: Platform, url: str) -> None:
    platform.stuck = True
    with pytest.raises(PlatformError, match="job-0, queued, waiting: queued"):
        run_page(gateway_url=url, api_key=KEY, url="http://127.0.0.1:1/", say=lambda line: None, timeout_seconds=0.2)


def test_a_refused_key_stops_the_demo_without_being_repeated(url: str) -> None:
    with Gateway(url, "wrong-key") as gateway, pytest.raises(PlatformError, match="invalid_api_key") as caught:
        gateway.submit("http://127.0.0.1:1/", "demo")
    assert "wrong-key" not in str(caught.value)


def test_a_gateway_that_does_not_answer_stops_the_demo() -> None:
    with Gateway("http://127.0.0.1:9", KEY) as gateway, pytest.raises(PlatformError, match="ConnectError"):
        gateway.job("j")


def test_any_page_can_be_indexed_and_searched_alone(platform: Platform, url: str) -> None:
    page = "http://127.0.0.1:1/guides/getting-started"
    report = run_page(
        gateway_url=url, api_key=KEY, url=page, endpoint_url=url, corpus_name="demo", say=lambda line: None
    )
    assert report.ok
    assert platform.queries[0]["query"] == "guides getting started"
    assert platform.queries[0]["filters"] == {"url_prefix": page}
