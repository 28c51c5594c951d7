"""`POST /chunk` and the routes without a key, over real HTTP."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import ORCHESTRATOR_KEY, OTHER_KEY, TOKENIZER_SHA256, WAIT_SECONDS

from app.config import settings
from app.core.cancellation import AbandonedError, Cancellation
from app.core.logic import Chunker
from app.core.pool import WorkPool

TEXT = "# Title\n\n" + "Some words of plain prose. " * 40


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    return body


def test_a_text_is_cut_into_slices_of_itself(client: httpx.Client) -> None:
    answer = client.post("/chunk", json={"text": TEXT, "max_tokens": 64, "overlap_tokens": 16})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [chunk["index"] for chunk in body["chunks"]] == list(range(len(body["chunks"])))
    for chunk in body["chunks"]:
        assert chunk["text"] == TEXT[chunk["start"] : chunk["end"]]
        assert chunk["token_count"] <= 64
        assert chunk["heading_path"] == ["Title"]
    assert body["token_total"] == sum(chunk["token_count"] for chunk in body["chunks"])
    assert body["tokenizer"] == f"all-MiniLM-L6-v2@sha256:{TOKENIZER_SHA256}"
    assert (body["strategy"], body["job_id"]) == ("markdown", None)


def test_offsets_count_code_points(client: httpx.Client) -> None:
    text = "👍🏽 e\u0301 漢字 \U0001f468\u200d\U0001f469 end"
    (chunk,) = client.post("/chunk", json={"text": text}).json()["chunks"]
    assert (chunk["start"], chunk["end"], chunk["text"]) == (0, len(text), text)


def test_a_job_id_is_echoed_and_nothing_more(client: httpx.Client) -> None:
    assert client.post("/chunk", json={"text": "x", "job_id": "job-1"}).json()["job_id"] == "job-1"


def test_a_cut_is_one_line_of_the_audit_trail_without_its_text(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="audit"):
        client.post("/chunk", json={"text": "of nobodys business", "job_id": "job-1"})
    [record] = [record for record in caplog.records if record.name == "audit"]
    fields: dict[str, Any] = record.fields  # type: ignore[attr-defined]
    assert (record.msg, fields["job_id"], fields["chunk_count"]) == ("chunk_complete", "job-1", 1)
    assert fields["token_total"] > 1
    assert "nobodys" not in str(record.__dict__)


@pytest.mark.parametrize("text", ["", "   \n "])
def test_blank_text_has_no_chunks(client: httpx.Client, text: str) -> None:
    answer = client.post("/chunk", json={"text": text})
    assert (answer.status_code, answer.json()["chunks"]) == (200, [])


def test_without_a_key_nothing_is_cut(anyone: httpx.Client) -> None:
    answer = anyone.post("/chunk", json={"text": "x"})
    problem(answer, 401, answer.json()["code"])


def test_the_orchestrator_may_send_fields_of_a_later_version(client: httpx.Client) -> None:
    headers = {"X-API-Key": ORCHESTRATOR_KEY}
    body = {"text": "x", "attempt_id": "a", "owner": "key:b", "later_field": 1}
    assert client.post("/chunk", json=body, headers=headers).status_code == 200


def test_a_user_may_send_no_internal_and_no_unknown_field(client: httpx.Client) -> None:
    problem(client.post("/chunk", json={"text": "x", "owner": "key:b"}), 403, "internal_field")
    assert "body.later_field" in client.post("/chunk", json={"text": "x", "later_field": 1}).text


def test_more_tokens_than_the_model_reads_are_refused_with_the_limit(client: httpx.Client) -> None:
    body = problem(client.post("/chunk", json={"text": "x", "max_tokens": 513}), 422, "max_tokens_too_large")
    assert "at most 512" in body["detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 15},
        {"overlap_tokens": 300},
        {"overlap_tokens": -1},
        {"strategy": "clever"},
        {"format": "html"},
        {"text": None},
        {"text": "\ud800"},
        {"job_id": "../x"},
    ],
)
def test_wrong_fields_are_named(client: httpx.Client, fields: dict[str, Any]) -> None:
    content = json.dumps({"text": "x"} | fields).encode()
    answer = client.post("/chunk", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]


def test_a_body_over_the_limit_is_refused(client: httpx.Client) -> None:
    answer = client.post("/chunk", content=b" " * (settings.MAX_BODY_BYTES + 1))
    problem(answer, 413, answer.json()["code"])


class _Slow(WorkPool):
    """A pool whose work never ends by itself."""

    def __init__(self, **sizes: int) -> None:
        super().__init__(**sizes)
        self.abandoned, self.entered = threading.Event(), threading.Event()

    async def run(self, work: Any, characters: int, *, caller: str = "", internal: bool = False) -> Any:
        running = asyncio.create_task(super().run(self._endless, characters, caller=caller, internal=internal))
        await asyncio.sleep(0)
        self.entered.wait(WAIT_SECONDS)  # the loop stands still: no deadline comes before it has begun
        return await running

    def _endless(self, cancellation: Cancellation) -> None:
        self.entered.set()
        try:
            while not self.abandoned.wait(0.005):
                cancellation.check()
        except AbandonedError:
            self.abandoned.set()
            raise


@pytest.fixture
def slow(app: Any, client: httpx.Client) -> Iterator[_Slow]:
    ready: Chunker = app.state.chunker
    pool = _Slow(workers=1, waiting=0, waiting_characters=100)
    app.state.chunker = Chunker(ready.tokenizer, pool, ready.model_max_tokens)
    yield pool
    app.state.chunker = ready
    pool.abandoned.set()
    pool.close()


def test_a_text_that_takes_too_long_is_504_and_its_computation_stops(
    client: httpx.Client, slow: _Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SYNC_TIMEOUT_SECONDS", 0.5)
    body = problem(client.post("/chunk", json={"text": "x"}), 504, "sync_timeout")
    assert "POST /jobs" in body["detail"]
    assert slow.abandoned.wait(WAIT_SECONDS)


def test_a_full_service_says_when_to_come_back_and_whose_texts_fill_it(client: httpx.Client, slow: _Slow) -> None:
    waiting = threading.Thread(target=lambda: client.post("/chunk", json={"text": "x"}))
    waiting.start()
    assert slow.entered.wait(WAIT_SECONDS)
    own = client.post("/chunk", json={"text": "x"})
    problem(own, 429, "too_many_texts")
    another = client.post("/chunk", json={"text": "x"}, headers={"X-API-Key": OTHER_KEY})
    problem(another, 503, "chunking_busy")
    assert own.headers["retry-after"] == another.headers["retry-after"] == "2"
    slow.abandoned.set()
    waiting.join()


def test_health_and_metrics_need_no_key(anyone: httpx.Client) -> None:
    health = anyone.get("/health")
    assert health.status_code == 200, health.text
    assert health.json()["checks"].keys() == {"tokenizer"}
    assert anyone.get("/health/live").status_code == 200
    assert "ml_http_requests_total" in anyone.get("/metrics").text


def test_the_service_has_only_its_contracts_routes(anyone: httpx.Client) -> None:
    paths = anyone.get("/openapi.json").json()["paths"].keys()
    assert paths == {"/chunk", "/health", "/health/live", "/metrics"}
