"""One trace from the request to the vector row; and no key anywhere."""

import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import Stage
from e2e_caller import Caller
from e2e_spans import SPANS_SECONDS, is_callback, whole_trace

from ml_shared.testing.otlp import ReceivedSpan
from ml_shared.testing.postgres_setup import postgres_account

pytestmark = pytest.mark.xdist_group("fleet")


def test_one_trace_runs_from_the_request_through_every_service_to_the_vector_row(stage: Stage, caller: Caller) -> None:
    url = stage.web.add("/traced", "kestrel", 18)
    accepted = caller.submit(url, "traced")
    trace_id = accepted.headers["X-Trace-Id"]
    job = caller.wait(accepted.json()["job_id"])
    assert job["status"] == "completed"
    assert job["trace_id"] == trace_id

    wanted = {"dispatch.job", "scrape.fetch", "chunk.split", "vectors.write"}
    spans = whole_trace(stage, trace_id, names=wanted)
    by_id = {span.span_id: span for span in spans}
    assert [span.name for span in spans if span.parent_id not in by_id] == ["POST /jobs"], "all hangs under the request"
    services = {span.resource["service.name"] for span in spans}
    assert services == {"orchestrator", "scraper", "chunking", "embedding-api"}
    names = {span.name for span in spans}
    assert names >= wanted, names
    callbacks = [span for span in spans if is_callback(span)]
    senders = sorted(by_id[span.parent_id].resource["service.name"] for span in callbacks)
    assert senders == ["embedding-api", "scraper"], "a callback is a child of the worker's span"
    assert sorted(task_above(span, by_id) for span in callbacks) == [
        "run/embedding.embed_document",
        "run/scraper.scrape_url",
    ]
    rows = stage.vectors_sql("SELECT DISTINCT trace_id FROM chunks WHERE corpus = 'traced'")
    assert [row["trace_id"] for row in rows] == [trace_id]
    assert caller.search("kestrel", "traced")[0]["trace_id"] == trace_id


def test_each_piece_of_work_is_a_span_with_what_the_vocabulary_has_for_it(stage: Stage, caller: Caller) -> None:
    url = stage.web.add("/described", "wryneck", 9)
    accepted = caller.submit(url, "described")
    job_id = accepted.json()["job_id"]
    assert caller.wait(job_id)["status"] == "completed"
    job = {"job.id": job_id, "job.url": url}
    tasks = {"request.mode": "async", "operation": "write"}
    described: dict[str, dict[str, Any]] = {
        "job.submit": {**job, "corpus.name": "described", "operation": "write"},
        "dispatch.job": {**job, "operation": "write"},
        "run/scraper.scrape_url": {**job, **tasks, "job.stage": "scrape", "queue.name": "scraper"},
        "scrape.fetch": {**job, "job.stage": "scrape", "request.mode": "async", "scrape.response_bytes": None},
        "scrape.extract": {**job, "job.stage": "scrape"},
        "chunk.split": {"job.id": job_id, "job.stage": "chunk", "chunk.count": None},
        "run/embedding.embed_document": {**job, **tasks, "job.stage": "embed", "queue.name": "embed_jobs"},
        "embed.batch": {
            "job.id": job_id,
            "embedding.model": None,
            "embedding.tokens": None,
            "embedding.batch_size": None,
        },
        "vectors.write": {**job, "corpus.name": "described", "operation": "write", "chunk.count": None},
        "job.complete": {"job.id": job_id},
    }
    spans = whole_trace(stage, accepted.headers["X-Trace-Id"], names=described)
    for name, wanted in described.items():
        found = [span for span in spans if span.name == name]
        assert found, f"no span {name} in {sorted({span.name for span in spans})}"
        for span in found:
            assert not span.error, name
            for key, value in wanted.items():
                assert value is None or span.attributes.get(key) == value, (name, key, span.attributes)
                assert key in span.attributes, (name, key)


def test_a_search_is_a_span_of_the_read_path(stage: Stage, caller: Caller) -> None:
    caller.index(stage.web.add("/sought", "hoopoe", 10), "sought")
    answer = caller.request(
        "POST", "/api/embedding/search", json={"query": "hoopoe", "corpus_name": "sought", "mode": "hybrid", "top_k": 3}
    )
    (span,) = wait_for_spans(stage, answer.headers["X-Trace-Id"], "search.query")
    wanted = {
        "search.mode": "hybrid",
        "search.top_k": 3,
        "operation": "read",
        "corpus.name": "sought",
        "job.stage": "read",
    }
    assert span.attributes.items() >= wanted.items()
    (query,) = wait_for_spans(stage, answer.headers["X-Trace-Id"], "embed.batch")
    assert query.attributes["operation"] == "read"
    assert "hoopoe" not in repr((span.attributes, query.attributes))


def test_a_direct_call_is_a_span_of_its_own_request_and_of_no_job(stage: Stage, caller: Caller) -> None:
    url = stage.web.add("/asked-for", "redstart", 12)
    answer = caller.request("POST", "/api/scraper/scrape", json={"url": url})
    assert answer.status_code == 200, answer.text
    for name in ("scrape.fetch", "scrape.extract"):
        (span,) = wait_for_spans(stage, answer.headers["X-Trace-Id"], name)
        wanted = {"request.mode": "sync", "job.stage": "scrape", "job.url": url}
        assert span.attributes.items() >= wanted.items(), name
        assert not span.attributes.keys() & {"job.id", "queue.name"}, name


def test_a_failed_page_is_told_by_the_spans_of_both_sides(stage: Stage, caller: Caller) -> None:
    accepted = caller.submit(stage.web.url("/never-there"))
    assert caller.wait(accepted.json()["job_id"])["status"] == "failed"
    trace_id = accepted.headers["X-Trace-Id"]
    for name in ("run/scraper.scrape_url", "job.complete"):
        (span,) = wait_for_spans(stage, trace_id, name)
        assert span.attributes["failed.stage"] == "scraping", name
        assert span.attributes["error.code"] == "http_status", name
    (run,) = wait_for_spans(stage, trace_id, "run/scraper.scrape_url")
    assert run.error


def wait_for_spans(stage: Stage, trace_id: str, name: str) -> list[ReceivedSpan]:
    """Return the spans of a name in a trace, as soon as there is one."""

    def of_that_name(spans: Sequence[ReceivedSpan]) -> list[ReceivedSpan]:
        return [span for span in spans if span.trace_id == trace_id and span.name == name]

    stage.otlp.wait_for(lambda spans: bool(of_that_name(spans)), SPANS_SECONDS)
    return of_that_name(stage.otlp.spans())


def task_above(span: ReceivedSpan, by_id: dict[str, ReceivedSpan]) -> str:
    """Return the name of the Celery task that a span is of."""
    while not span.name.startswith("run/"):
        span = by_id[span.parent_id]
    return span.name


def test_every_answer_names_its_trace_and_its_request(stage: Stage, caller: Caller) -> None:
    for path in ("/api/orchestrator/jobs", "/api/embedding/corpora", "/api/orchestrator/no-such-route"):
        answer = caller.request("GET", path, headers={"X-Request-Id": "the-callers-own-id"})
        assert len(answer.headers["X-Trace-Id"]) == 32
        assert answer.headers["X-Request-Id"] == "the-callers-own-id"


def test_no_raw_key_is_in_any_log_redis_database_or_span(stage: Stage, caller: Caller) -> None:
    caller.index(stage.web.add("/keys", "magpie", 19), "keys")
    caller.request("POST", "/api/scraper/enqueue", json={"url": stage.web.url("/keys", 19)})
    keys = stage.fleet.keys
    canaries = {name: keys[name] for name in ("user", "other-user", "orchestrator", "scraper", "embedding", "endpoint")}
    places = {
        "logs": b"".join(path.read_bytes() for path in stage.fleet.layout.logs.rglob("*") if path.is_file()),
        "spans": repr(stage.otlp.spans()).encode(),
        **{name: redis_dump(stage, name) for name in ("redis-orch", "redis-scrape", "redis-embed")},
        "jobs": database_dump(stage, "postgres", "ml_jobs"),
        "content": database_dump(stage, "postgres", "ml_content"),
        "vectors": database_dump(stage, "postgres-vectors", "ml_vectors"),
    }
    assert all(len(content) > 100 for content in places.values()), {name: len(text) for name, text in places.items()}
    assert b"POST /jobs" in places["spans"]
    found = [
        (place, name) for place, content in places.items() for name, key in canaries.items() if key.encode() in content
    ]
    assert found == []


def redis_dump(stage: Stage, name: str) -> bytes:
    """Every key and value of a Redis, as text."""
    import redis

    with redis.Redis.from_url(stage.fleet.addresses.redis(name)) as client:
        client.set("canary-of-the-dump", "seen")
        parts = []
        for key in client.scan_iter():
            kind = client.type(key)
            if kind == b"none":  # its time was over, or it was taken out
                continue
            read = {
                b"string": lambda key=key: client.get(key),
                b"list": lambda key=key: client.lrange(key, 0, -1),
                b"hash": lambda key=key: client.hgetall(key),
                b"set": lambda key=key: client.smembers(key),
                b"zset": lambda key=key: client.zrange(key, 0, -1, withscores=True),
                b"stream": lambda key=key: client.xrange(key),
            }[kind]
            parts.append(repr((key, read())).encode())
    dump = b"\n".join(parts).ljust(101)
    assert b"canary-of-the-dump" in dump
    return dump


def database_dump(stage: Stage, server: str, database: str) -> bytes:
    """Return a `pg_dump` of a database."""
    program = postgres_account().binaries.folder / "pg_dump"
    done = subprocess.run(
        [program, "--dbname", stage.dsn(server, database)], capture_output=True, check=True, timeout=60
    )
    return done.stdout
