"""What cutting texts leaves in the metrics, as a scrape reads them."""

import threading
from typing import Any

import httpx
import pytest
from conftest import OTHER_KEY, WAIT_SECONDS
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from test_routes import TEXT, _Slow, slow

from app.config import settings
from app.core.metrics import OUTCOMES
from ml_shared.telemetry import attributes

__all__ = ["slow"]


class Scrapes:
    """What samples of `GET /metrics` have grown by since this was made."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._before = self._read()

    def _read(self) -> dict[tuple[Any, ...], float]:
        text = self._client.get("/metrics").text
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def grown(self, name: str, **labels: str) -> float:
        """Of a series that was there before, or this fails."""
        key = (name, *sorted({"request_mode": "sync", "operation": "write", **labels}.items()))
        return self._read()[key] - self._before[key]

    def outcomes(self) -> dict[str, float]:
        """Texts by outcome, those that grew."""
        found = {outcome: self.grown("ml_chunk_texts_total", outcome=outcome) for outcome in OUTCOMES}
        return {outcome: count for outcome, count in found.items() if count}


@pytest.fixture
def scrapes(client: httpx.Client) -> Scrapes:
    return Scrapes(client)


def test_a_text_its_chunks_and_their_tokens_are_counted_once(client: httpx.Client, scrapes: Scrapes) -> None:
    body = client.post("/chunk", json={"text": TEXT, "max_tokens": 64, "overlap_tokens": 16}).json()
    assert len(body["chunks"]) > 1
    assert scrapes.outcomes() == {"success": 1}
    assert scrapes.grown("ml_chunk_chunks_total") == len(body["chunks"])
    assert scrapes.grown("ml_chunk_tokens_total") == body["token_total"]
    assert scrapes.grown("ml_chunk_duration_seconds_count") == 1
    assert 0 < scrapes.grown("ml_chunk_duration_seconds_sum") < 20


def test_a_text_that_cannot_be_cut_is_counted_by_its_code_and_makes_no_chunks(
    client: httpx.Client, scrapes: Scrapes
) -> None:
    assert client.post("/chunk", json={"text": "x", "max_tokens": 513}).status_code == 422
    assert scrapes.outcomes() == {"max_tokens_too_large": 1}
    assert scrapes.grown("ml_chunk_chunks_total") == 0
    assert scrapes.grown("ml_chunk_duration_seconds_count") == 1


def test_a_text_that_takes_too_long_is_counted_as_cancelled(
    client: httpx.Client, scrapes: Scrapes, slow: _Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SYNC_TIMEOUT_SECONDS", 0.5)
    assert client.post("/chunk", json={"text": "x"}).status_code == 504
    assert scrapes.outcomes() == {"cancelled": 1}


def test_a_text_that_finds_no_room_is_counted_as_such(client: httpx.Client, scrapes: Scrapes, slow: _Slow) -> None:
    waiting = threading.Thread(target=lambda: client.post("/chunk", json={"text": "x"}))
    waiting.start()
    assert slow.entered.wait(WAIT_SECONDS)
    assert client.post("/chunk", json={"text": "x"}).status_code == 429
    assert client.post("/chunk", json={"text": "x"}, headers={"X-API-Key": OTHER_KEY}).status_code == 503
    assert scrapes.outcomes() == {"too_many_texts": 1, "chunking_busy": 1}
    slow.abandoned.set()
    waiting.join()


def test_a_failed_split_tells_of_its_stage_in_trace_and_log(
    client: httpx.Client, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", logger="ml_shared.telemetry.spans"):
        client.post("/chunk", json={"text": "x", "max_tokens": 513, "job_id": "job-7"})
    [split] = [span for span in spans.get_finished_spans() if span.name == "chunk.split"]
    found = dict(split.attributes or {})
    assert found[attributes.JOB_ID] == "job-7"
    assert (found[attributes.ERROR_CODE], found[attributes.FAILED_STAGE]) == ("max_tokens_too_large", "chunking")
    assert (split.status.is_ok, split.events) == (False, ())
    [record] = [record for record in caplog.records if record.name == "ml_shared.telemetry.spans"]
    assert (record.failed_stage, record.error_code) == ("chunking", "max_tokens_too_large")  # type: ignore[attr-defined]
