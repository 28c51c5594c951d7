"""Events as they come: typed, across connections, within bounds."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cloudcix_ml import AsyncClient, Batch, Client, WaitTimeoutError
from cloudcix_ml.errors import AnswerError, InvalidKeyError, JobNotFoundError, TransportError
from cloudcix_ml.models.events import JobEventType
from cloudcix_ml.operations import events as operations
from fake_gateway import KEY, NOW, FakeGateway, Planned, Received

JOB = "a5b1b2c6-0000-4000-8000-000000000001"
TYPES = ("submitted", "handed_out", "started", "put_off", "started", "advanced", "completed")


def event_of(number: int) -> bytes:
    """Return one event of a job, as the platform writes it."""
    type_ = TYPES[number - 1]
    data: dict[str, Any] = {
        "number": number,
        "job_id": JOB,
        "type": type_,
        "at": NOW,
        "stage": "scraping",
        "attempt": 1,
    }
    data |= {"status": "completed" if type_ == "completed" else "scraping", "counts": {"bytes": 9}}
    if type_ == "put_off":
        data |= {"waiting": {"reason": "upstream", "not_before": NOW}, "error": {"code": "fetch_timeout"}}
    return f"id: {number}\nevent: {type_}\ndata: {json.dumps(data)}\n\n".encode()


class Telling:
    """Tells a job's events, so many a connection."""

    def __init__(self, gateway: FakeGateway, *portions: int) -> None:
        self.portions = list(portions)
        self.asked_after: list[str | None] = []
        self.left = 0
        gateway.events = self.stream

    async def stream(self, got: Received) -> AsyncIterator[bytes]:
        after = got.headers.get("last-event-id")
        self.asked_after.append(after)
        begin = int(after or 0)
        try:
            yield b": here\n\n"
            for number in range(begin + 1, begin + 1 + (self.portions.pop(0) if self.portions else len(TYPES))):
                yield event_of(number)
                await asyncio.sleep(0)
            yield b"id: 77\ndata: cut of"
        finally:
            self.left += 1


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "backoff_seconds", lambda session, attempt: 0.0)


def test_events_are_handed_out_typed_and_end_with_the_jobs_last_one(client: Client, gateway: FakeGateway) -> None:
    Telling(gateway)
    events = list(client.jobs.events(JOB))
    assert [one.type for one in events] == list(TYPES)
    assert [one.number for one in events] == [*range(1, 8)]
    put_off = events[3]
    assert (put_off.type, put_off.error and put_off.error.code) == (JobEventType.PUT_OFF, "fetch_timeout")
    assert put_off.waiting is not None
    assert put_off.waiting.not_before == put_off.at
    assert put_off.counts.bytes == 9
    assert [one.ended for one in events] == [False] * 6 + [True]


async def test_the_other_client_has_the_same_events(gateway: FakeGateway) -> None:
    Telling(gateway, 3)
    async with AsyncClient(gateway.url, KEY) as client:
        assert [one.number async for one in client.jobs.events(JOB)] == [*range(1, 8)]


@pytest.mark.usefixtures("no_waits")
def test_a_stream_that_breaks_goes_on_behind_its_last_whole_event(client: Client, gateway: FakeGateway) -> None:
    telling = Telling(gateway, 2, 0, 3)
    assert [one.number for one in client.jobs.events(JOB)] == [*range(1, 8)]
    assert telling.asked_after == [None, "2", "2", "5"]


def test_whoever_has_some_of_them_gets_those_behind(client: Client, gateway: FakeGateway) -> None:
    telling = Telling(gateway)
    assert [one.number for one in client.jobs.events(JOB, after=5)] == [6, 7]
    assert telling.asked_after == ["5"]


def test_a_job_of_which_all_was_told_has_no_more(client: Client, gateway: FakeGateway) -> None:
    gateway.planned.append(Planned(204, raw=b""))
    assert list(client.jobs.events(JOB, after=7)) == []


@pytest.mark.parametrize("what", ["batches", "runs"])
def test_batches_and_runs_are_told_as_a_whole_each_time(client: Client, gateway: FakeGateway, what: str) -> None:
    snapshots = []
    for done in (0, 1, 2):
        ended = NOW if done == 2 else None
        if what == "batches":
            counts = {"completed": done}
            more: dict[str, Any] = {
                "batch_id": "b1",
                "corpus_name": "c",
                "jobs": 2,
                "counts": counts,
                "progress": done / 2,
            }
            snapshots.append(more | {"submitted_at": NOW, "ended_at": ended})
        else:
            more = {"crawl_id": "c1", "run": 2, "state": "completed" if ended else "running", "trigger": "requested"}
            more |= {"pages": 2, "waiting": 0, "open": 2 - done, "outcomes": {"new": done}, "started_at": NOW}
            snapshots.append(more | {"ended_at": ended})

    async def stream(got: Received) -> AsyncIterator[bytes]:
        for number, one in enumerate(snapshots):
            yield f"id: {number}\ndata: {json.dumps(one)}\n\n".encode()

    gateway.events = stream
    told: list[Any] = list(client.batches.events("b1") if what == "batches" else client.runs.events("c1", 2))
    assert [one.ended for one in told] == [False, False, True]
    assert gateway.received[-1].path.endswith("/batches/b1/events" if what == "batches" else "/crawls/c1/runs/2/events")
    if isinstance(told[0], Batch):
        assert [one.progress for one in told] == [0, 0.5, 1]


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("plan", [Planned(429, "too_many_streams", {"Retry-After": "0"}), Planned(503, "stopping")])
def test_what_is_refused_for_now_is_asked_again(client: Client, gateway: FakeGateway, plan: Planned) -> None:
    Telling(gateway)
    gateway.planned.append(plan)
    assert len(list(client.jobs.events(JOB))) == 7


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (Planned(404, "job_not_found"), JobNotFoundError),
        (Planned(401, "invalid_api_key"), InvalidKeyError),
        (Planned(200, raw=b"<html>", headers={"content-type": "text/html"}), AnswerError),
    ],
    ids=lambda one: getattr(one, "code", ""),
)
def test_what_would_not_be_otherwise_later_is_raised_at_once(
    client: Client, gateway: FakeGateway, plan: Planned, error: type[Exception]
) -> None:
    gateway.planned.append(plan)
    with pytest.raises(error):
        next(client.jobs.events(JOB))
    assert len(gateway.received) == 1


@pytest.mark.usefixtures("no_waits")
def test_streams_that_say_nothing_are_given_up(client: Client, gateway: FakeGateway) -> None:
    async def silent(got: Received) -> AsyncIterator[bytes]:
        return
        yield b""

    gateway.events = silent
    with pytest.raises(TransportError, match="said nothing"):
        next(client.jobs.events(JOB))
    assert len(gateway.received) == operations.MOST_FAILURES + 1


def test_the_time_that_is_given_ends_it_also_where_nothing_comes(client: Client, gateway: FakeGateway) -> None:
    async def held(got: Received) -> AsyncIterator[bytes]:
        if "last-event-id" not in got.headers:
            yield event_of(1)
        await asyncio.sleep(30)

    passed = 0.0
    object.__setattr__(client._session, "clock", lambda: time.monotonic() + passed)
    gateway.events = held
    walk = client.jobs.events(JOB, timeout_seconds=600)
    assert next(walk).number == 1
    passed = 599.9  # however long that took: no slow machine is late for what comes
    with pytest.raises(WaitTimeoutError, match=r"has not ended after 600 s") as late:
        next(walk)
    assert late.value.subject.number == 1


def test_an_event_that_is_none_of_this_apis_is_said(client: Client, gateway: FakeGateway) -> None:
    async def other(got: Received) -> AsyncIterator[bytes]:
        yield b"data: {}\n\n"

    gateway.events = other
    with pytest.raises(AnswerError, match="none of this API"):
        next(client.jobs.events(JOB))


def test_an_id_of_letters_that_ascii_has_not_is_gone_on_behind(
    client: Client, gateway: FakeGateway, no_waits: None
) -> None:
    asked_after = []

    async def stream(got: Received) -> AsyncIterator[bytes]:
        asked_after.append(got.headers.get("last-event-id"))
        yield event_of(len(asked_after)).replace(b"id: ", "id: é".encode()) if len(asked_after) < 3 else event_of(7)

    gateway.events = stream
    assert [one.number for one in client.jobs.events(JOB)] == [1, 2, 7]
    assert [one and one.encode("latin-1").decode() for one in asked_after] == [None, "é1", "é2"]
