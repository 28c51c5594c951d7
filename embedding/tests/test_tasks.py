"""What the worker does with a document, for a job and without one."""

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import BaseModel

from app.config import Settings
from app.core.packing import unpack_chunks
from ml_shared.auth.context import hash_key
from ml_shared.contracts.chunking import Chunk, ChunkResult, ChunkStrategy
from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase, StageCallback
from ml_shared.names import Stage
from ml_shared.queues.lists import queue_lists
from ml_shared.testing.endpoint import EndpointMode, FakeEndpoint
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.worker import WorkerProcess
from tests.conftest import BOB, ORCHESTRATOR, SERVICE_KEY
from tests.documents import at, chunks_of

DOCUMENT = {"url": "https://example.com/page", "title": "T", "metadata": {"k": "v"}}
JOB = {"job_id": "job-1", "attempt_id": "attempt-1"}
OWNER = f"key:{hash_key('key-of-alice')}"


def content(*texts: str) -> bytes:
    """Return what the chunking stage keeps with the orchestrator."""
    chunks = [Chunk(**chunk.model_dump()) for chunk in chunks_of(*texts)]
    total = sum(chunk.token_count for chunk in chunks)
    made = ChunkResult(chunks=chunks, token_total=total, tokenizer="t", strategy=ChunkStrategy.MARKDOWN)
    return made.model_dump_json().encode()


def arguments(**changes: Any) -> dict[str, Any]:
    """Return the arguments of a task as the route queues them."""
    return {
        "owner": OWNER,
        "corpus_name": "docs",
        "document": DOCUMENT,
        "as_of": at(0).isoformat(),
        "submitted_at": at(-1).isoformat(),
        **changes,
    }


def hand_out(orchestrator: FakeOrchestrator, *texts: str, attempt: str = "attempt-1", **changes: Any) -> dict[str, Any]:
    """Return the arguments of a job's task, whose chunks the orchestrator keeps."""
    ref = orchestrator.keep(content(*texts), job_id="job-1", attempt_id=attempt)
    return arguments(job_id="job-1", attempt_id=attempt, content_ref=ref, **changes)


def look(action: str, **changes: Any) -> dict[str, Any]:
    """Return what the orchestrator tells of a page beside the document."""
    document = {**DOCUMENT, "content_hash": "1" * 64}
    return {"action": action, "chunking_hash": "2" * 64, "document": document, **changes}


def look_out(
    orchestrator: FakeOrchestrator, action: str, *, attempt: str = "attempt-2", **changes: Any
) -> dict[str, Any]:
    """Return the arguments of a job's task that has no chunks to read, asked for a minute later."""
    orchestrator.hand_out(Stage.EMBEDDING, job_id="job-1", attempt_id=attempt)
    told = arguments(job_id="job-1", attempt_id=attempt, as_of=at(1).isoformat(), submitted_at=at(1).isoformat())
    return told | look(action, **changes)


def run(tasks: ModuleType, kwargs: dict[str, Any]) -> None:
    tasks.embed_document_task.apply(kwargs=kwargs).get()


def only_callback(orchestrator: FakeOrchestrator) -> StageCallback:
    [callback] = orchestrator.callbacks_for("job-1")
    return callback


async def rows(database: str, statement: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(database)
    try:
        return [dict(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_a_jobs_document_is_written_for_its_owner_and_reported(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, database: str
) -> None:
    run(tasks, hand_out(fake_orchestrator, "one", "two words", owner="acct:7"))
    callback = only_callback(fake_orchestrator)
    assert callback.status is CallbackStatus.SUCCESS
    assert callback.attempt_id == "attempt-1"
    assert {name: callback.stats[name] for name in ("chunks", "tokens", "embedded", "reused", "superseded")} == {
        "chunks": 2,
        "tokens": 3,
        "embedded": 2,
        "reused": 0,
        "superseded": False,
    }
    assert fake_orchestrator.phases_for("job-1") == [ProgressPhase.STARTED, ProgressPhase.COMMITTING]
    assert fake_orchestrator.completed[0].headers["x-api-key"] == SERVICE_KEY
    [document] = await rows(database, "SELECT owner, job_id, as_of, submitted_at FROM documents")
    assert document == {"owner": "acct:7", "job_id": "job-1", "as_of": at(0), "submitted_at": at(-1)}


async def test_an_older_jobs_document_is_superseded_and_a_success(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, database: str
) -> None:
    run(tasks, arguments(chunks=[chunk.model_dump() for chunk in chunks_of("newer")], as_of=at(9).isoformat()))
    run(tasks, hand_out(fake_orchestrator, "older"))
    callback = only_callback(fake_orchestrator)
    assert (callback.status, callback.stats["superseded"]) == (CallbackStatus.SUCCESS, True)
    assert [row["text"] for row in await rows(database, "SELECT text FROM chunks")] == ["newer"]


async def test_a_touch_and_a_removal_are_reported_as_what_became_of_the_document(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, endpoint: FakeEndpoint, database: str
) -> None:
    run(tasks, hand_out(fake_orchestrator, "one", "two words", **look("index")))
    endpoint.inputs.clear()
    for action, outcome, phases in (
        ("touch", "unchanged", [ProgressPhase.STARTED]),
        ("remove", "removed", [ProgressPhase.STARTED, ProgressPhase.COMMITTING]),
    ):
        said = len(fake_orchestrator.phases_for("job-1"))
        run(tasks, look_out(fake_orchestrator, action, attempt=f"attempt-{action}"))
        callback = fake_orchestrator.callbacks_for("job-1")[-1]
        assert (callback.status, callback.stats["outcome"]) == (CallbackStatus.SUCCESS, outcome)
        assert fake_orchestrator.phases_for("job-1")[said:] == phases
    assert endpoint.texts == []
    assert await rows(database, "SELECT id FROM chunks") == []


async def test_a_touch_of_another_document_is_put_off_as_missing_content(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator
) -> None:
    run(tasks, look_out(fake_orchestrator, "touch"))
    callback = only_callback(fake_orchestrator)
    assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "content_missing")


async def test_the_orchestrator_hands_out_touches_and_removals_which_have_no_chunks(
    client: httpx.AsyncClient, redis_url: str
) -> None:
    handed = [
        {"job_id": f"j-{action}", "attempt_id": "a", "owner": OWNER, "corpus_name": "docs", **look(action)}
        for action in ("touch", "remove")
    ]
    answer = await client.post("/enqueue/batch", json={"hand_outs": handed}, headers=ORCHESTRATOR)
    assert [one["status"] for one in answer.json()["answers"]] == ["queued", "queued"]
    lacking = {**handed[0], "document": DOCUMENT}
    answer = await client.post("/enqueue", json=lacking, headers=ORCHESTRATOR)
    assert answer.status_code == 422
    assert "content_hash" in answer.text


async def test_a_redelivered_task_sends_nothing_to_the_endpoint_again(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, endpoint: FakeEndpoint
) -> None:
    kwargs = hand_out(fake_orchestrator, "one", "two")
    run(tasks, kwargs)
    # the orchestrator did not hear of it: the attempt is still open
    fake_orchestrator.hand_out(Stage.EMBEDDING, job_id="job-1", attempt_id="attempt-1")
    run(tasks, kwargs)
    assert sorted(endpoint.texts) == ["one", "two"]
    assert fake_orchestrator.callbacks_for("job-1")[1].stats["reused"] == 2


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        (EndpointMode.BROKEN, CallbackStatus.DEFERRED, "endpoint_unavailable"),
        (EndpointMode.RATE_LIMITED, CallbackStatus.DEFERRED, "endpoint_rate_limited"),
        (EndpointMode.WRONG_DIMENSIONS, CallbackStatus.DEFERRED, "dimension_mismatch"),
        (EndpointMode.NOT_FINITE, CallbackStatus.FAILED, "invalid_vector"),
    ],
)
async def test_the_endpoints_failures_are_reported_once_by_their_codes(
    tasks: ModuleType,
    fake_orchestrator: FakeOrchestrator,
    endpoint: FakeEndpoint,
    database: str,
    mode: EndpointMode,
    status: CallbackStatus,
    code: str,
) -> None:
    endpoint.behave(mode)
    endpoint.float_answers = mode is EndpointMode.WRONG_DIMENSIONS
    endpoint.retry_after_seconds = 33
    run(tasks, hand_out(fake_orchestrator, "one"))
    callback = only_callback(fake_orchestrator)
    assert (callback.status, callback.error_code) == (status, code)
    assert callback.retry_after_seconds == (33 if mode is EndpointMode.RATE_LIMITED else None)
    assert endpoint.key not in (callback.error_message or "")
    assert ProgressPhase.COMMITTING not in fake_orchestrator.phases_for("job-1")
    assert await rows(database, "SELECT 1 FROM documents") == []


async def test_content_that_is_gone_defers_the_job(tasks: ModuleType, fake_orchestrator: FakeOrchestrator) -> None:
    run(tasks, arguments(**JOB, content_ref="gone"))
    callback = only_callback(fake_orchestrator)
    assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "content_missing")


async def test_a_chunk_that_is_too_long_fails_the_job_before_anything_is_sent(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, endpoint: FakeEndpoint
) -> None:
    run(tasks, hand_out(fake_orchestrator, "word " * 513))
    callback = only_callback(fake_orchestrator)
    assert (callback.status, callback.error_code) == (CallbackStatus.FAILED, "input_too_long")
    assert endpoint.bodies == []


async def test_a_document_of_more_chunks_than_are_taken_fails_the_job_before_anything_is_sent(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.callbacks.MAX_CHUNKS", 2)
    run(tasks, hand_out(fake_orchestrator, "one", "two", "three"))
    callback = only_callback(fake_orchestrator)
    assert (callback.status, callback.error_code) == (CallbackStatus.FAILED, "too_many_chunks")
    assert endpoint.bodies == []


async def test_a_job_cancelled_before_the_write_writes_nothing_and_says_nothing(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, database: str
) -> None:
    fake_orchestrator.abandon_at.add(ProgressPhase.COMMITTING)
    run(tasks, hand_out(fake_orchestrator, "one"))
    assert fake_orchestrator.completed == []
    assert await rows(database, "SELECT 1 FROM documents") == []


async def test_an_unforeseen_failure_is_reported_without_its_text(
    tasks: ModuleType, fake_orchestrator: FakeOrchestrator, database: str
) -> None:
    run(tasks, hand_out(fake_orchestrator, "one"))
    await rows(database, "ALTER TABLE corpora RENAME TO corpora_away")
    try:
        run(tasks, hand_out(fake_orchestrator, "two", attempt="attempt-2"))
    finally:
        await rows(database, "ALTER TABLE corpora_away RENAME TO corpora")
    callback = fake_orchestrator.callbacks_for("job-1")[1]
    assert callback.status is CallbackStatus.FAILED
    assert "corpora" not in (callback.error_message or "")


class Enqueued(BaseModel):
    """What a test sends to `POST /enqueue`."""

    corpus_name: str = "docs"
    document: dict[str, Any] = DOCUMENT
    chunks: list[dict[str, Any]] = [chunk.model_dump() for chunk in chunks_of("one", "two")]


async def test_enqueue_answers_the_task_and_queues_no_key(client: httpx.AsyncClient, redis_url: str) -> None:
    from redis import Redis

    answer = await client.post("/enqueue", json=Enqueued().model_dump())
    assert answer.status_code == 202
    body = answer.json()
    assert (body["status"], body["job_id"]) == ("queued", None)
    assert (await client.get(f"/results/{body['task_id']}")).status_code == 202
    assert (await client.get(f"/results/{body['task_id']}", headers=BOB)).status_code == 404
    with Redis.from_url(redis_url) as redis:
        [message] = redis.lrange(queue_lists("embed_jobs")[1], 0, -1)
    arguments_sent = base64.b64decode(json.loads(message)["body"])
    [_, kwargs, _] = json.loads(arguments_sent)
    assert [chunk.text for chunk in unpack_chunks(kwargs["packed_chunks"])] == ["one", "two"]
    assert b"key-of-alice" not in message + arguments_sent


@pytest.mark.parametrize(
    "internal",
    [
        {"job_id": "j"},
        {"attempt_id": "a"},
        {"owner": "key:somebody"},
        {"as_of": "2026-01-01T00:00:00Z"},
        {"submitted_at": "2026-01-01T00:00:00Z"},
        {"content_ref": "c"},
        {"action": "remove"},
        {"chunking_hash": "c"},
    ],
)
async def test_a_user_may_not_send_the_orchestrators_fields(
    client: httpx.AsyncClient, internal: dict[str, str]
) -> None:
    answer = await client.post("/enqueue", json=Enqueued().model_dump() | internal)
    assert (answer.status_code, answer.json()["code"]) == (403, "internal_field")


@pytest.mark.parametrize("missing", ["job_id", "attempt_id", "owner"])
async def test_a_hand_out_is_whole_or_refused(client: httpx.AsyncClient, missing: str) -> None:
    whole = {**JOB, "owner": "acct:7", "content_ref": "c", "document": DOCUMENT, "a_later_field": 1}
    answer = await client.post("/enqueue", json=whole, headers=ORCHESTRATOR)
    assert answer.status_code == 202
    assert answer.json()["job_id"] == "job-1"
    assert answer.json()["queue_epoch"]
    del whole[missing]
    answer = await client.post("/enqueue", json=whole, headers=ORCHESTRATOR)
    assert (answer.status_code, answer.json()["code"]) == (422, "incomplete_hand_out")


@pytest.mark.parametrize(
    "wrong",
    [
        {"document": {"url": "ftp://example.com/"}},
        {"document": {"url": "nonsense"}},
        {"document": {}},
        {"chunks": None},
        {"chunks": [{"index": -1, "text": "a"}]},
        {"chunks": [{"index": 2**31, "text": "a"}]},
        {"chunks": [{"index": 0, "text": "a", "start": 2**31}]},
        {"chunks": [{"index": 0, "text": "a", "token_count": 2**31}]},
        {"document": DOCUMENT | {"fetched_at": "0001-01-01T00:00:00+14:00"}},
        {"corpus_name": "../x"},
        {"document": DOCUMENT | {"colour": "red"}},
        {"document": DOCUMENT | {"metadata": {"k": "\0"}}},
    ],
)
async def test_enqueue_refuses_what_is_not_in_the_contract(client: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    assert (await client.post("/enqueue", json=Enqueued().model_dump() | wrong)).status_code == 422


async def test_a_full_queue_is_a_429_with_retry_after(
    client: httpx.AsyncClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import app

    monkeypatch.setattr(app.state.tasks._room, "_max_tasks", 1)
    assert (await client.post("/enqueue", json=Enqueued().model_dump())).status_code == 202
    answer = await client.post("/enqueue", json=Enqueued().model_dump())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")


async def test_a_real_worker_makes_an_enqueued_document_searchable(
    client: httpx.AsyncClient, configured: Settings, redis_url: str, endpoint: FakeEndpoint
) -> None:
    env = {
        "REDIS_URL": redis_url,
        "DATABASE_URL": configured.DATABASE_URL,
        "EMBEDDING_API_BASE_URL": endpoint.base_url,
        "ORCHESTRATOR_URL": "",
        "OTEL_TRACES_EXPORTER": "none",
        "PYTHONPATH": os.pathsep.join(["."]),
    }
    folder = Path(__file__).parent.parent
    with WorkerProcess("app.worker.celery_app", queue="embed_jobs", folder=folder, env=env) as worker:
        task_id = (await client.post("/enqueue", json=Enqueued().model_dump())).json()["task_id"]
        deadline = datetime.now(UTC) + timedelta(seconds=60)
        while (answer := await client.get(f"/results/{task_id}")).status_code == 202:
            assert datetime.now(UTC) < deadline, worker.output
    assert answer.status_code == 200, answer.text
    assert (answer.json()["chunks"], answer.json()["embedded"]) == (2, 2)
    found = await client.post("/search", json={"query": "one", "corpus_name": "docs"})
    [first, *_] = found.json()["results"]
    assert (first["text"], first["metadata"]) == ("one", {"k": "v"})
    assert len(first["trace_id"]) == 32
