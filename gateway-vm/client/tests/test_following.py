"""Waiting by events, and what happens where there are none, or not to the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from cloudcix_ml import AsyncClient, Client, JobStatus
from cloudcix_ml.core.sse import MOST_BYTES, EventReader
from cloudcix_ml.errors import InvalidKeyError
from fake_gateway import KEY, FakeGateway, Planned, Received

from ml_shared.testing.servers import wait_until

PAGE = "https://example.com/"


class Telling:
    """Has the gateway tell of a job's stages as they come; a list says how many events each connection gets."""

    def __init__(self, gateway: FakeGateway, *portions: int) -> None:
        self.gateway = gateway
        self.portions = list(portions)
        self.connections: list[Received] = []
        self.left = 0
        gateway.step_on_read = False
        gateway.events = self.stream

    async def stream(self, got: Received) -> AsyncIterator[bytes]:
        self.connections.append(got)
        job_id = got.path.split("/")[-2]
        number = int(got.headers.get("last-event-id", 0))
        try:
            yield b": here\n\n"
            for _ in range(self.portions.pop(0) if self.portions else 99):
                self.gateway.step(job_id)
                number += 1
                yield f"id: {number}\nevent: job\ndata: {{}}\n\n".encode()
                await asyncio.sleep(0)
                if self.gateway.jobs[job_id]["ended_at"]:
                    return
            yield b"id: 77\ndata: cut of"
        finally:
            self.left += 1


def reads(gateway: FakeGateway, job_id: str) -> int:
    return gateway.times("GET", f"/api/orchestrator/jobs/{job_id}")


def test_a_job_is_waited_for_by_its_events_and_not_by_asking(client: Client, gateway: FakeGateway) -> None:
    telling = Telling(gateway)
    job = client.index(PAGE)
    assert job.status == JobStatus.COMPLETED
    assert len(telling.connections) == 1
    assert reads(gateway, job.job_id) <= 1 + 4
    assert telling.connections[0].headers["accept"] == "text/event-stream"


async def test_the_other_client_waits_by_events_too(gateway: FakeGateway) -> None:
    telling = Telling(gateway, 2)
    async with AsyncClient(gateway.url, KEY) as client:
        assert (await client.index(PAGE)).status == JobStatus.COMPLETED
    assert len(telling.connections) == 2


def test_a_stream_that_breaks_goes_on_behind_the_last_whole_event(client: Client, gateway: FakeGateway) -> None:
    telling = Telling(gateway, 1, 2)
    assert client.index(PAGE).status == JobStatus.COMPLETED
    assert [one.headers.get("last-event-id") for one in telling.connections] == [None, "1", "3"]


@pytest.mark.parametrize(
    "plan",
    [
        Planned(404, "not_found"),
        Planned(200, raw=b"<html>", headers={"content-type": "text/html"}),
        Planned(429, "too_many_streams", {"Retry-After": "60"}),
        Planned(503, "stopping"),
    ],
    ids=lambda plan: str(plan.status),
)
def test_where_there_are_no_events_it_is_asked(client: Client, gateway: FakeGateway, plan: Planned) -> None:
    job = client.jobs.submit(PAGE)
    walk = client.jobs.follow(job.job_id)
    next(walk)
    gateway.planned.append(plan)
    assert [one.status for one in walk][-1] == JobStatus.COMPLETED
    assert sum(one.path.endswith("/events") for one in gateway.received) == 1
    assert reads(gateway, job.job_id) == 5


def test_streams_that_say_nothing_are_given_up_and_it_is_asked(client: Client, gateway: FakeGateway) -> None:
    async def silent(got: Received) -> AsyncIterator[bytes]:
        return
        yield b""

    gateway.events = silent
    gateway.step_on_read = False
    job = client.jobs.submit(PAGE)
    walk = client.jobs.follow(job.job_id)
    next(walk)
    for _ in range(4):
        gateway.step(job.job_id)
    gateway.jobs[job.job_id]["status"] = "embedding"
    gateway.jobs[job.job_id]["ended_at"] = None
    gateway.step_on_read = True
    assert [one.status for one in walk][-1] == JobStatus.COMPLETED
    assert sum(one.path.endswith("/events") for one in gateway.received) <= 3


def test_a_key_that_is_refused_ends_the_wait(client: Client, gateway: FakeGateway) -> None:
    job = client.jobs.submit(PAGE)
    walk = client.jobs.follow(job.job_id)
    next(walk)
    gateway.planned.append(Planned(401, "invalid_api_key"))
    with pytest.raises(InvalidKeyError):
        next(walk)


def test_whoever_follows_no_further_leaves_no_stream_open(client: Client, gateway: FakeGateway) -> None:
    async def endless(got: Received) -> AsyncIterator[bytes]:
        try:
            while True:
                gateway.step(got.path.split("/")[-2])
                yield b"data: {}\n\n"
                await asyncio.sleep(0.01)
        finally:
            ended.append(got.path)

    ended: list[str] = []
    gateway.events, gateway.step_on_read = endless, False
    job = client.jobs.submit(PAGE)
    walk = client.jobs.follow(job.job_id)
    assert [next(walk).status, next(walk).status][0] == JobStatus.QUEUED
    walk.close()  # type: ignore[attr-defined]
    assert wait_until(lambda: ended != [], 60.0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_events_are_the_same_however_their_bytes_are_cut(size: int) -> None:
    text = (
        b"\xef\xbb\xbf: hello\r\nid: 1\r\ndata: a\r\ndata: b\r\n\r\n"
        b"event: job\rdata:c\r\rid: 2\ndata: \xc3\xa4\n\nid\ndata:\n\nretry: 5\nfoo: bar\n\nid: 9\ndata: cut"
    )
    reader = EventReader()
    found = [event for begin in range(0, len(text), size) for event in [*reader.feed(text[begin : begin + size])]]
    assert [(one.id, one.event, one.data) for one in found] == [
        ("1", "message", "a\nb"),
        ("1", "job", "c"),
        ("2", "message", "ä"),
        ("", "message", ""),
    ]
    assert reader.last_id == ""


def test_an_event_without_end_is_not_kept() -> None:
    reader = EventReader()
    list(reader.feed(b"x" * MOST_BYTES))
    with pytest.raises(ValueError, match="more than"):
        list(reader.feed(b"x"))
