"""What a scrape leaves in the metrics and in its trace."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import scraper_with, until
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from sites import Site

from ml_shared.errors import ServiceError
from ml_shared.names import RequestMode
from ml_shared.telemetry import attributes


class Counts:
    """How much samples have grown since this was made."""

    def __init__(self) -> None:
        self._before = dict(self._now())

    @staticmethod
    def _now() -> Iterator[tuple[tuple[str, ...], float]]:
        for metric in REGISTRY.collect():
            if metric.name.startswith("ml_scrape"):
                for sample in metric.samples:
                    yield (sample.name, *sorted(sample.labels.items())), sample.value  # type: ignore[misc]

    def __call__(self, name: str, mode: str = "sync", **labels: str) -> float:
        key = (name, *sorted({"request_mode": mode, "operation": "write", **labels}.items()))
        return dict(self._now())[key] - self._before.get(key, 0.0)  # type: ignore[index,arg-type]


@pytest.fixture
def counts(settings: Any) -> Counts:
    import app.core.telemetry  # noqa: F401 - or nothing would be counted yet

    return Counts()


async def scrape(settings: Any, redis: Redis, url: str, **changes: Any) -> Any:
    from app.core.fetching.visiting import Visit
    from app.core.logic import execute_scrape

    async with scraper_with(settings, redis, **changes) as scraper:
        return await execute_scrape(scraper, Visit(url, mode=RequestMode.SYNC))


async def test_a_page_is_counted_once_with_its_bytes_and_its_times(
    settings: Any, redis: Redis, site: Site, counts: Counts
) -> None:
    rules = "User-agent: *\nAllow: /"
    site.robots(rules)
    page = "<p>some words of a page</p>"
    await scrape(settings, redis, site.page("/page", page))
    assert counts("ml_scrape_pages_total", outcome="success") == 1
    assert counts("ml_scrape_page_bytes_count") == 1
    assert counts("ml_scrape_page_bytes_sum") == len(page)
    assert counts("ml_scrape_bytes_total") == len(page) + len(rules)
    assert counts("ml_scrape_fetch_duration_seconds_count") == 1
    assert 0 < counts("ml_scrape_fetch_duration_seconds_sum") < 20
    assert counts("ml_scrape_extract_duration_seconds_count") == 1
    assert 0 < counts("ml_scrape_extract_duration_seconds_sum") < 20
    assert counts("ml_scrape_robots_denials_total") == 0
    assert counts("ml_scrape_pages_total", "async", outcome="success") == 0


async def test_a_page_that_leads_on_is_one_page_fetched_twice_and_its_bytes_count_once(
    settings: Any, redis: Redis, site: Site, counts: Counts
) -> None:
    page = "<p>some words of a page</p>"
    leading = "<meta http-equiv='refresh' content='0; url=/page'>"
    site.page("/page", page)
    await scrape(settings, redis, site.page("/old", leading))
    assert counts("ml_scrape_pages_total", outcome="success") == 1
    assert counts("ml_scrape_bytes_total") == len(page) + len(leading)
    assert counts("ml_scrape_fetch_duration_seconds_count") == 2
    assert counts("ml_scrape_extract_duration_seconds_count") == 2


async def test_a_page_that_robots_txt_forbids_is_a_denial_and_its_own_outcome(
    settings: Any, redis: Redis, site: Site, counts: Counts
) -> None:
    site.robots("User-agent: *\nDisallow: /page")
    with pytest.raises(ServiceError, match="not to fetch"):
        await scrape(settings, redis, site.html("/page"))
    assert counts("ml_scrape_robots_denials_total") == 1
    assert counts("ml_scrape_pages_total", outcome="robots_disallowed") == 1
    assert counts("ml_scrape_fetch_duration_seconds_count") == 1
    assert counts("ml_scrape_extract_duration_seconds_count") == 0


async def test_what_came_of_a_page_that_is_too_long_has_cost_its_bytes(
    settings: Any, redis: Redis, site: Site, counts: Counts
) -> None:
    site.stream("/page", [b"x" * 10_000] * 3)
    with pytest.raises(ServiceError) as caught:
        await scrape(settings, redis, site.url("/page"), MAX_PAGE_BYTES=15_000)
    assert caught.value.code == "too_large"
    assert counts("ml_scrape_pages_total", outcome="too_large") == 1
    assert 15_000 < counts("ml_scrape_bytes_total") <= 30_000
    assert counts("ml_scrape_page_bytes_count") == 0


async def test_a_scrape_whose_caller_goes_away_is_counted_as_cancelled(
    settings: Any, redis: Redis, site: Site, counts: Counts, spans: InMemorySpanExporter
) -> None:
    async def never(send: Any) -> None:
        await asyncio.Event().wait()

    site.pages["/page"] = never
    task = asyncio.create_task(scrape(settings, redis, site.url("/page")))
    await until(lambda: "/page" in site.paths)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts("ml_scrape_pages_total", outcome="cancelled") == 1
    [fetch] = [span for span in spans.get_finished_spans() if span.name == "scrape.fetch"]
    assert (fetch.attributes or {})[attributes.ERROR_CODE] == "cancelled"


def test_every_outcome_of_the_contract_is_there_before_it_happens(counts: Counts) -> None:
    from app.core.telemetry import OUTCOMES

    contract = {
        *("blocked_address", "blocked_scheme", "blocked_port", "dns_failed", "robots_disallowed", "robots_unreachable"),
        *("host_busy", "too_large", "unsupported_content_type", "fetch_timeout", "tls_failed", "too_many_redirects"),
        *("http_status", "empty_content", "extraction_failed", "challenge_page", "login_required"),
    }
    assert contract <= set(OUTCOMES)
    assert len(OUTCOMES) == len(set(OUTCOMES))
    for mode in ("sync", "async"):
        for outcome in OUTCOMES:
            assert counts("ml_scrape_pages_total", mode, outcome=outcome) == 0
        for name in ("bytes_total", "robots_denials_total", "fetch_duration_seconds_count", "page_bytes_count"):
            assert counts(f"ml_scrape_{name}", mode) == 0
        assert counts("ml_scrape_extract_duration_seconds_count", mode) == 0


def test_an_outcome_that_nobody_listed_is_other_and_no_new_series(counts: Counts) -> None:
    from app.core.telemetry import counted
    from ml_shared.errors import ConflictError

    with pytest.raises(ConflictError), counted(RequestMode.SYNC):
        raise ConflictError("x", code="of_nobodys")
    assert counts("ml_scrape_pages_total", outcome="other") == 1


async def test_a_fetch_is_made_of_leave_turns_and_requests(
    settings: Any, redis: Redis, site: Site, other: Site, spans: InMemorySpanExporter
) -> None:
    await scrape(settings, redis, site.redirect("/a", other.html("/b")))
    finished = spans.get_finished_spans()
    [fetch] = [span for span in finished if span.name == "scrape.fetch"]
    by_id = {span.context.span_id: span for span in finished}

    def below(name: str) -> list[str]:
        parents = [span.parent for span in finished if span.name == name]
        return sorted(by_id[parent.span_id].name for parent in parents if parent is not None)

    assert below("scrape.robots") == ["scrape.fetch"] * 2
    assert below("scrape.request") == ["scrape.fetch"] * 2 + ["scrape.robots"] * 2
    assert below("scrape.wait") == ["scrape.fetch"] * 2 + ["scrape.robots"] * 2
    pages = [
        dict(span.attributes or {})
        for span in finished
        if span.name == "scrape.request" and span.parent and span.parent.span_id == fetch.context.span_id
    ]
    assert [(page["server.address"], page["http.response.status_code"]) for page in pages] == [
        ("127.0.0.1", 302),
        ("127.0.0.2", 200),
    ]
    for span in finished:
        if span.name.startswith("scrape."):
            found = span.attributes or {}
            assert (found[attributes.JOB_STAGE], found[attributes.REQUEST_MODE]) == ("scrape", "sync")
            assert found[attributes.OPERATION] == "write"


async def test_a_wait_for_the_hosts_pace_that_is_too_long_is_on_its_own_span(
    settings: Any, redis: Redis, site: Site, spans: InMemorySpanExporter
) -> None:
    site.robots("User-agent: *\nCrawl-delay: 20")
    await scrape(settings, redis, site.html("/first"))
    with pytest.raises(ServiceError):
        await scrape(settings, redis, site.html("/page"))
    failed = [span for span in spans.get_finished_spans() if span.name == "scrape.wait" and not span.status.is_ok]
    codes = [(span.attributes or {}).get(attributes.ERROR_CODE) for span in failed]
    assert "host_busy" in codes
    # it may pass, so that no stage has failed
    assert not any(attributes.FAILED_STAGE in (span.attributes or {}) for span in failed)


async def test_a_failure_for_good_names_the_stage_on_its_spans(
    settings: Any, redis: Redis, site: Site, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(ServiceError):
        await scrape(settings, redis, site.page("/page", "<html></html>"))
    [extract] = [span for span in spans.get_finished_spans() if span.name == "scrape.extract"]
    found = extract.attributes or {}
    assert (found[attributes.ERROR_CODE], found[attributes.FAILED_STAGE]) == ("empty_content", "scraping")


def test_a_sync_scrape_that_fails_is_logged_with_its_stage_and_the_callers_job(
    user: httpx.Client, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"url": site.page("/gone", status=404), "job_id": "mine"}
    with caplog.at_level("WARNING", logger="ml_shared.telemetry.spans"):
        assert user.post("/scrape", json=body).status_code == 502
    [record] = [record for record in caplog.records if record.name == "ml_shared.telemetry.spans"]
    assert (record.failed_stage, record.error_code) == ("scraping", "http_status")  # type: ignore[attr-defined]
