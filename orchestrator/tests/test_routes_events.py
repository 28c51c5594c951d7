"""Events over HTTP: a real server, real connections."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import ALICE, BOB, SCRAPER

from app.api import streaming
from ml_shared.testing.http_server import ThreadedServer

LARGE = 2**24
JOB = {"url": "http://site.test/"}


@pytest.fixture
def server(configured: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedServer]:
    from app.main import app

    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    monkeypatch.setattr(configured, "MAX_EVENT_STREAMS_PER_OWNER", 2)
    with ThreadedServer(app) as running:
        yield running


@pytest.fixture
def client(server: ThreadedServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"X-API-Key": ALICE}, timeout=30) as opened:
        yield opened


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream as they come; comments are events without a type."""
    event: dict[str, Any] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(":")
        if line:
            event[name] = value.strip()
            continue
        if "data" in event:
            event["data"] = json.loads(event["data"])
        yield event
        event = {}


def test_a_jobs_events_come_as_they_happen_and_the_stream_ends_with_it(client: httpx.Client) -> None:
    job_id = client.post("/jobs", json=JOB).json()["job_id"]
    with client.stream("GET", f"/jobs/{job_id}/events") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
        assert {"x-request-id", "x-trace-id", "ratelimit"} <= set(answer.headers)
        coming = events(answer)
        assert next(coming) == {"retry": "1000"}
        first = next(coming)
        assert (first["id"], first["event"]) == ("1", "submitted")
        assert (first["data"]["job_id"], first["data"]["status"]) == (job_id, "queued")
        assert client.post(f"/jobs/{job_id}/cancel").status_code == 200
        last = next(coming)
        assert (last["id"], last["event"], last["data"]["status"]) == ("2", "cancelled", "cancelled")
        assert list(coming) == []
    assert client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": "2"}).status_code == 204
    again = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": "1"})
    assert [event["id"] for event in events(again) if "id" in event] == ["2"]


def test_a_batchs_counts_come_as_they_change_until_it_has_ended(client: httpx.Client) -> None:
    batch_id = client.post("/jobs/batch", json={"urls": ["http://a.test/", "http://b.test/"]}).json()["batch_id"]
    with client.stream("GET", f"/batches/{batch_id}/events") as answer:
        coming = events(answer)
        next(coming)
        first = next(coming)
        assert (first["event"], first["data"]["counts"]["queued"], first["data"]["progress"]) == ("progress", 2, 0.0)
        client.post(f"/batches/{batch_id}/cancel")
        last = list(coming)[-1]
        assert (last["event"], last["data"]["counts"]["cancelled"]) == ("ended", 2)
    seen = {"Last-Event-ID": last["id"]}
    assert client.get(f"/batches/{batch_id}/events", headers=seen).status_code == 204


def test_a_quiet_stream_has_a_heartbeat_and_ends_after_its_time(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.05)
    job_id = client.post("/jobs", json=JOB).json()["job_id"]
    path, seen = f"/jobs/{job_id}/events", {"Last-Event-ID": "1"}
    with client.stream("GET", path, headers=seen) as answer:
        coming = events(answer)
        assert [next(coming) for _ in range(3)] == [{"retry": "1000"}, {"": ""}, {"": ""}]
    monkeypatch.setattr(streaming, "LASTS_SECONDS", 0.1)
    told = list(events(client.get(path, headers=seen)))
    assert told[0] == {"retry": "1000"}
    assert all(event == {"": ""} for event in told[1:])


@pytest.mark.parametrize("kind", ["jobs", "batches"])
def test_what_is_no_subject_of_ones_own_is_not_found(client: httpx.Client, kind: str) -> None:
    job_id = client.post("/jobs", json=JOB).json()["job_id"]
    for one in (job_id, "nothing", "00000000-0000-0000-0000-000000000000"):
        answer = client.get(f"/{kind}/{one}/events", headers={"X-API-Key": BOB})
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get(f"/jobs/{job_id}/events", headers={"X-API-Key": SCRAPER}).json()["code"] == "users_only"


@pytest.mark.parametrize("value", ["-1", "1.5", "abc", "٣", "9" * 16])
def test_an_id_that_is_none_of_ours_is_refused(client: httpx.Client, value: str) -> None:
    job_id = client.post("/jobs", json=JOB).json()["job_id"]
    answer = client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": value.encode()})  # type: ignore[dict-item]
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_last_event_id")


@pytest.mark.parametrize("ended", [False, True])
def test_an_id_that_was_not_given_yet_misses_nothing(client: httpx.Client, ended: bool) -> None:
    """As after a database was restored: a client has seen more than there is."""
    batch = client.post("/jobs/batch", json={"urls": ["http://a.test/"]}).json()
    (job_id,) = [job["job_id"] for job in batch["jobs"]]
    if ended:
        client.post(f"/jobs/{job_id}/cancel")
    for path, first in ((f"/jobs/{job_id}", "submitted"), (f"/batches/{batch['batch_id']}", None)):
        with client.stream("GET", f"{path}/events", headers={"Last-Event-ID": "999"}) as answer:
            assert answer.status_code == 200
            told = next(event for event in events(answer) if "id" in event)
            assert told["event"] == first or (first is None and told["event"] == ("ended" if ended else "progress"))


def test_one_may_have_so_many_streams_and_a_closed_one_gives_its_place_back(client: httpx.Client) -> None:
    job_id = client.post("/jobs", json=JOB).json()["job_id"]
    path = f"/jobs/{job_id}/events"
    with client.stream("GET", path), client.stream("GET", path):
        refused = client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert int(refused.headers["retry-after"]) > 0
    for _ in range(100):  # the server hears a moment later that its clients have gone
        with client.stream("GET", path) as answer:
            if answer.status_code == 200:
                return
        time.sleep(0.1)
    pytest.fail("the places were not given back")


def test_a_client_that_takes_nothing_is_cut_off(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.main import app

    monkeypatch.setattr(streaming, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(streaming, "_written", lambda notice: b":" + b"x" * LARGE + b"\n\n")
    job_id = client.post("/jobs", json=JOB).json()["job_id"]
    at = urlsplit(str(client.base_url))
    with socket.create_connection((at.hostname, at.port)) as slow:
        slow.sendall(f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {ALICE}\r\n\r\n".encode())
        slow.settimeout(20)
        assert slow.recv(12) == b"HTTP/1.1 200"
        client.post(f"/jobs/{job_id}/cancel")  # another event, while the first is not taken
        deadline = time.monotonic() + 20
        while app.state.followers.anybody:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        taken = 0
        with suppress(ConnectionResetError):
            while piece := slow.recv(2**16):
                taken += len(piece)
        assert taken < LARGE  # what was not taken is not kept for it


def test_streams_end_at_once_with_the_process(configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.main import app

    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    whole: list[bool] = []
    server = ThreadedServer(app)
    server._server.config.timeout_graceful_shutdown = 60  # what is broken off then did not end by itself
    with server, httpx.Client(base_url=server.url, headers={"X-API-Key": ALICE}, timeout=30) as client:
        job_id = client.post("/jobs", json=JOB).json()["job_id"]
        opened = threading.Event()

        def follow() -> None:
            path, headers = f"{server.url}/jobs/{job_id}/events", {"X-API-Key": ALICE}
            with httpx.stream("GET", path, headers=headers, timeout=30) as answer:
                for event in events(answer):
                    if event.get("id") == "1":
                        opened.set()
            whole.append(True)  # to its end, and not broken off

        following = threading.Thread(target=follow)
        following.start()
        assert opened.wait(20)
    following.join(30)
    assert whole == [True]
