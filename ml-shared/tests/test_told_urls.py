"""A URL is told of by one function, which tells of no value that may be a key; and nothing tells of one without it."""

import importlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ml_shared
from ml_shared.instrumentation import record_error
from ml_shared.telemetry.logs import configure_logging
from ml_shared.telemetry.urls import TOLD_MAX_CHARACTERS, told_url, with_told_urls
from ml_shared.testing import urls_walk
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.pace import processor_time

CANARY = "c4n4ry-Of-A-Signature"
SIGNED = f"https://files.example/a/b.html?page=2&X-Amz-Signature={CANARY}&auth={CANARY}"
TELLING = {
    "attribute": "span.set_attribute(attributes.JOB_URL, url)",
    "of an object": "span.set_attribute(attributes.JOB_URL, job.url)",
    "by another function": "span.set_attribute(attributes.JOB_URL, shown(url))",
    "mapping": "known = {attributes.JOB_ID: '1', attributes.JOB_URL: url}",
    "of the conventions": "from opentelemetry.semconv.attributes.url_attributes import URL_FULL\n"
    "    span.set_attribute(URL_FULL, target)",
    "under another attribute": "span.set_attribute(attributes.CORPUS_NAME, f'{url}')",
    "event": "span.add_event('redirected', {attributes.JOB_URL: target})",
    "condition": "span.set_attribute(attributes.JOB_URL, told_url(url) if short else url)",
    "log": "logger.info('fetched %s', url)",
    "text of a log": "logger.warning(f'fetched {job.final_url}')",
    "field of a log": "logger.info('fetched', extra={'url': target})",
    "audit": "emit(event, ctx, url=target)",
    "field of the audit": "emit(event, ctx, place=payload.url)",
    "error": "raise ValueError(f'no page at {url}')",
    "cause": "raise ValueError('no page', url)",
}
TOLD = """
    known = {attributes.JOB_URL: told_url(url) if url else None}
    span.set_attribute(attributes.JOB_URL, told_url(job.url))
    logger.info("fetched %s", told_url(url), extra={"url": urls.told_url(target), "characters": len(url)})
    emit(event, ctx, url=told_url(payload.url), location=None)
    raise ValueError(f"a URL of {len(url)} characters")
"""


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://example.com/a/b", "https://example.com/a/b"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        (SIGNED, "https://files.example/a/b.html?page=***&X-Amz-Signature=***&auth=***"),
        ("https://user:word@example.com/a#top", "https://example.com/a"),
        (f"https://example.com/?{CANARY}", "https://example.com/?***"),
        (f"https://example.com/?{'n' * 65}=1&a b=1&x[0]=1", "https://example.com/?***&***&x[0]=***"),
        ("https://example.com/?a==&&b=", "https://example.com/?a=***&***&b=***"),
        ("https://example.com/s/sk-abcdefgh12345678/x", "https://example.com/s/***/x"),
        ("https://example.com/token=abcdefgh", "https://example.com/token=***"),
        ("https://example.com/@someone/2024-01-02", "https://example.com/@someone/2024-01-02"),
        ("ftp://example.com/a", "ftp://example.com/a"),
        (f"data:text/html,{CANARY}", "invalid"),
        (f"//{CANARY}", "invalid"),
        (f"http://user:{CANARY}@[nonsense/", "invalid"),
        ("", "invalid"),
    ],
)
def test_a_url_is_told_of_without_what_may_be_a_key(url: str, told: str) -> None:
    assert told_url(url) == told


def test_what_is_told_of_a_url_is_bounded() -> None:
    assert len(told_url("https://example.com/" + "a" * 2_000)) == TOLD_MAX_CHARACTERS
    assert len(told_url("https://example.com/?" + "a=1&" * 500)) == TOLD_MAX_CHARACTERS


@pytest.mark.parametrize("before", ["", "GET ", "for url '", "(", '"'])
@pytest.mark.parametrize("after", ["", "' and more", ") and", '", "x"'])
def test_a_url_that_others_quote_is_told_of_as_ours_are(before: str, after: str) -> None:
    told = with_told_urls(f"{before}{SIGNED}{after}")
    assert CANARY not in told
    assert told.startswith(f"{before}https://files.example/a/b.html?page=***")
    assert with_told_urls("no address, only :// and http://") == "no address, only :// and http://"


def test_a_text_of_many_urls_takes_time_that_grows_with_its_length() -> None:
    with processor_time() as spent:
        with_told_urls("http://a.b/?x=1 " * 5_000 + "http://" * 10_000)
    assert spent.seconds < 5


def test_an_error_that_quotes_a_url_says_no_more_of_it_on_a_span_or_in_a_log_line(spans: InMemorySpanExporter) -> None:
    written = io.StringIO()
    configure_logging(service="scraper", stream=written)
    try:
        with trace.get_tracer("test").start_as_current_span("work") as span:
            try:
                raise RuntimeError(f"404 for url '{SIGNED}'")
            except RuntimeError as error:
                record_error(span, error)
                logging.getLogger("x").exception("failed at %s", SIGNED, extra={"words": SIGNED})
    finally:
        for handler in [known for known in logging.getLogger().handlers if known.get_name() == "ml_shared"]:
            logging.getLogger().removeHandler(handler)
    [done] = spans.get_finished_spans()
    assert CANARY not in done.to_json()
    line = json.loads(written.getvalue())
    assert CANARY not in written.getvalue()
    assert line["event"] == f"failed at {told_url(SIGNED)}"
    assert "RuntimeError: 404 for url" in line["exc_info"]


def test_a_stage_s_span_and_log_lines_have_no_signature_and_its_callback_may(
    worker: ModuleType,
    spans: InMemorySpanExporter,
    fake_orchestrator: FakeOrchestrator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kwargs = {"job_id": "job-1", "attempt_id": "attempt-1", "behaviour": "crash", "url": SIGNED}
    worker.stage_task.apply(kwargs=kwargs)
    [span] = [span for span in spans.get_finished_spans() if span.name == "run/probe.stage_task"]
    assert (span.attributes or {})["job.url"] == told_url(SIGNED)
    assert CANARY not in "".join(each.to_json() for each in spans.get_finished_spans())
    assert CANARY not in caplog.text


@pytest.fixture
def probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a package of some source."""
    (tmp_path / "probed").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    def imported(code: str) -> ModuleType:
        head = "from ml_shared.telemetry import attributes, urls\nfrom ml_shared.telemetry.urls import told_url\n"
        arguments = "span, logger, emit, event, ctx, url, job, target, payload, shown, short"
        (tmp_path / "probed" / "__init__.py").write_text(f"{head}def f({arguments}):\n    {code}\n")
        importlib.invalidate_caches()
        return importlib.import_module("probed")

    yield imported
    sys.modules.pop("probed", None)


@pytest.mark.parametrize("code", TELLING.values(), ids=TELLING.keys())
def test_a_url_that_is_told_of_in_another_way_is_found(probed: Callable[[str], Any], code: str) -> None:
    with pytest.raises(AssertionError, match="not by ml_shared"):
        urls_walk.walk(probed(code))


def test_urls_that_are_told_by_the_one_function_pass(probed: Callable[[str], Any]) -> None:
    assert urls_walk.walk(probed(TOLD)) == 5


def test_the_library_tells_of_urls_by_the_one_function() -> None:
    assert urls_walk.walk(ml_shared, without=["ml_shared.testing"]) >= 2
