"""The log stages of the services' containers, run on what a process with ml_shared's telemetry writes."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from alloy_files import CONFIGS, blocks
from alloy_stages import Entry, run

LABELS = {"service": "scraper", "process": "worker"}
PROCESS = """
import logging

from ml_shared.instrumentation import init_telemetry

init_telemetry(worker=True)
from opentelemetry import trace

from ml_shared.telemetry.logs import job_context

logger = logging.getLogger("app.core.logic")
logger.info("outside")
with trace.get_tracer("app").start_as_current_span("scrape.fetch"), job_context("job-1", "request-1"):
    logger.warning("page_refused", extra={"host": "example.org"})
    try:
        raise ValueError("over\\nseveral lines")
    except ValueError:
        logger.exception("stage_failed", extra={"failed_stage": "scraping"})
"""


@pytest.fixture(scope="module")
def lines() -> list[str]:
    telemetry = {
        "SERVICE_NAME": "scraper",
        "OTEL_SERVICE_NAME": "scraper",
        "OTEL_TRACES_EXPORTER": "none",
        "PYROSCOPE_SERVER_ADDRESS": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROCESS], env={**os.environ, **telemetry}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def entries(name: str, lines: list[str]) -> list[Entry]:
    found, metrics = run(blocks(name)["loki.process.containers"], lines, LABELS)
    assert metrics.names() == set()
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_ids_are_structured_metadata_and_the_level_is_a_label(name: str, lines: list[str]) -> None:
    outside, refused, failed = entries(name, lines)
    assert (outside.labels, outside.metadata) == ({**LABELS, "level": "INFO"}, {})
    assert refused.labels == {**LABELS, "level": "WARNING"}
    assert failed.labels == {**LABELS, "level": "ERROR"}
    ids = {"job_id": "job-1", "request_id": "request-1"}
    for entry, more in ((refused, {}), (failed, {"failed_stage": "scraping"})):
        written = json.loads(entry.line)
        spans = {"trace_id": written["trace_id"], "span_id": written["span_id"]}
        assert len(written["trace_id"]) == 32
        assert entry.metadata == {**ids, **spans, **more}


def test_a_line_stays_as_it_was_written(lines: list[str]) -> None:
    assert [entry.line for entry in entries("scraper", lines)] == lines


@pytest.mark.parametrize(
    "line",
    [
        "1:M 24 Nov 2026 03:42:38.123 * Ready to accept connections tcp",
        "2026-11-24 03:42:38.123 UTC [41] LOG:  checkpoint complete: wrote 3 buffers (0.0%)",
        '{"half": "a line',
        '["no", "object"]',
        "",
    ],
)
def test_a_line_that_is_no_object_passes_as_it_is(line: str) -> None:
    (entry,) = entries("scraper", [line])
    assert (entry.line, entry.labels, entry.metadata) == (line, LABELS, {})


def test_a_null_becomes_no_label() -> None:
    (entry,) = entries("scraper", ['{"level": null, "trace_id": null, "job_id": 7}'])
    assert (entry.labels, entry.metadata) == (LABELS, {"job_id": "7"})


@pytest.mark.parametrize(("days", "handed_on"), [(0, 1), (6, 1), (8, 0)])
def test_what_loki_would_refuse_for_its_age_is_not_sent(days: int, handed_on: int) -> None:
    written = datetime.now(UTC) - timedelta(days=days)
    found, _ = run(blocks("orchestrator")["loki.process.containers"], ["a line"], LABELS, written)
    assert len(found) == handed_on
