"""Streams of events in this process: what each listener gets, and what they cost together."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from conftest import Core

from app.core.errors import JobNotFoundError, TooManyStreamsError
from app.core.jobs import batches, cancelling
from app.core.notices import sources, streams
from app.core.notices.sources import BatchSource, JobSource
from app.core.notices.streams import Notice, Room, Stream, Streams, Subject
from ml_shared.contracts.batches import BatchRequest, BatchView
from ml_shared.contracts.jobs import ProgressPhase
from ml_shared.names import Stage

OWNER = "key:a"


@pytest.fixture
async def jobs(core: Core) -> AsyncIterator[Streams]:
    async with Streams(JobSource(core.pool), Room(most=5, share=3)).opened() as opened:
        yield opened


def never_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 1000)


async def take(stream: Stream, count: int) -> list[Notice]:
    """The next notices, at least so many; fewer only if the stream ends."""
    taken: list[Notice] = []
    async with asyncio.timeout(20):
        while len(taken) < count and not stream.ended:
            taken += await stream.next(20)
            stream.sent()
    return taken


async def finished(core: Core, job_id: str) -> None:
    await cancelling.cancel(core.pool, OWNER, UUID(job_id))


async def test_a_word_wakes_who_listens_and_the_stream_ends_with_its_job(
    core: Core, jobs: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_polls(monkeypatch)
    job_id = await core.submit("http://h.test/")
    stream = jobs.open(Subject(OWNER, UUID(job_id)), seen=0)
    assert [(notice.number, notice.type) for notice in await take(stream, 1)] == [(1, "submitted")]
    await finished(core, job_id)
    assert await stream.next(0.3) == ()  # nobody has said a word, and nobody looks
    jobs.hear(UUID(job_id), ended=True)
    assert [(notice.number, notice.type) for notice in await take(stream, 1)] == [(2, "cancelled")]
    assert stream.ended


async def test_without_a_word_a_poll_brings_it(core: Core, jobs: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.2)
    job_id = await core.submit("http://h.test/")
    stream = jobs.open(Subject(OWNER, UUID(job_id)), seen=1)
    await finished(core, job_id)
    assert [notice.type for notice in await take(stream, 1)] == ["cancelled"]


async def test_words_without_end_do_not_keep_the_poll_from_coming(
    core: Core, jobs: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.2)
    job_id, other = await core.submit("http://h.test/"), await core.submit("http://other.test/")
    stream = jobs.open(Subject(OWNER, UUID(job_id)), seen=1)
    await finished(core, job_id)

    async def chatter() -> None:
        while True:
            jobs.hear(UUID(other), ended=False)
            await asyncio.sleep(0)

    chattering = asyncio.create_task(chatter())
    try:
        assert [notice.type for notice in await take(stream, 1)] == ["cancelled"]
    finally:
        chattering.cancel()


async def test_a_stream_goes_on_after_the_number_that_was_seen(core: Core, jobs: Streams) -> None:
    job_id = await core.submit("http://h.test/")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    subject = Subject(OWNER, UUID(job_id))
    first = jobs.open(subject, seen=0)
    assert [notice.number for notice in await take(first, 3)] == [1, 2, 3]
    first.close()
    await core.complete(job, content_ref="page")
    again, whole = jobs.open(subject, seen=3), jobs.open(subject, seen=0)
    assert [notice.number for notice in await take(again, 1)] == [4]
    assert [notice.number for notice in await take(whole, 4)] == [1, 2, 3, 4]


async def test_many_events_come_in_pages_and_who_has_not_taken_one_is_given_no_more(
    core: Core, jobs: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_polls(monkeypatch)
    monkeypatch.setattr(sources, "PAGE", 2)
    job_id = await core.submit("http://h.test/")
    job = await core.claim_one(Stage.SCRAPING)
    stream = jobs.open(Subject(OWNER, UUID(job_id)), seen=0)
    async with asyncio.timeout(20):
        page = await stream.next(20)
    assert [notice.number for notice in page] == [1, 2]
    await core.started(job)
    await core.complete(job, content_ref="page")
    jobs.hear(UUID(job_id), ended=False)
    await asyncio.sleep(0.3)
    assert await stream.next(0) == page  # what is not sent yet is all that is kept of it
    assert [notice.number for notice in await take(stream, 4)] == [1, 2, 3, 4]


async def test_another_owners_job_is_none_and_nothing_of_it_is_told(core: Core, jobs: Streams) -> None:
    job_id = await core.submit("http://h.test/")
    with pytest.raises(JobNotFoundError):
        await jobs.source.standing(Subject("key:b", UUID(job_id)))
    stream = jobs.open(Subject("key:b", UUID(job_id)), seen=0)
    jobs.hear(UUID(job_id), ended=False)
    assert await stream.next(0.3) == ()


async def test_there_are_so_many_streams_of_one_owner_and_so_many_in_all(core: Core, jobs: Streams) -> None:
    subject, other = [Subject(owner, UUID(await core.submit("http://h.test/", owner))) for owner in ("key:a", "key:b")]
    opened = [jobs.open(subject, seen=0) for _ in range(3)]
    with pytest.raises(TooManyStreamsError, match="you have 3"):
        jobs.open(subject, seen=0)
    opened += [jobs.open(other, seen=0) for _ in range(2)]
    with pytest.raises(TooManyStreamsError, match="as many streams"):
        jobs.open(Subject("key:c", UUID(int=0)), seen=0)
    for _ in range(2):
        opened[0].close()  # twice is once
    jobs.open(subject, seen=0)
    with pytest.raises(TooManyStreamsError):
        jobs.open(other, seen=0)


async def test_all_streams_together_ask_once_and_hold_no_connection(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_polls(monkeypatch)
    jobs = [UUID(await core.submit(f"http://h{number}.test/")) for number in range(40)]
    asked = []

    class Counted(JobSource):
        async def news(self, wanted: Any) -> Any:
            asked.append(len(wanted))
            return await super().news(wanted)

    async with Streams(Counted(core.pool), Room(most=100, share=100)).opened() as opened:
        listening = [opened.open(Subject(OWNER, job), seen=0) for job in jobs]
        for stream in listening:
            assert len(await take(stream, 1)) == 1
        assert sum(asked) == len(jobs)
        assert len(asked) <= 2
        for job in jobs:
            await cancelling.cancel(core.pool, OWNER, job)
        for job in jobs:
            opened.hear(job, ended=True)
        for stream in listening:
            assert [notice.type for notice in await take(stream, 1)] == ["cancelled"]
        assert len(asked) <= 4


async def test_a_database_that_is_away_for_a_while_costs_no_event(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.1)
    job_id = await core.submit("http://h.test/")
    failures = iter([asyncpg.ConnectionDoesNotExistError("away")] * 3)

    class Away(JobSource):
        async def news(self, wanted: Any) -> Any:
            for failure in failures:
                raise failure
            return await super().news(wanted)

    async with Streams(Away(core.pool), Room(most=5, share=5)).opened() as opened:
        assert [notice.number for notice in await take(opened.open(Subject(OWNER, UUID(job_id)), seen=0), 1)] == [1]


async def test_streams_end_when_they_are_stopped_also_those_that_come_after(core: Core, jobs: Streams) -> None:
    subject = Subject(OWNER, UUID(await core.submit("http://h.test/")))
    before = jobs.open(subject, seen=1)
    jobs.stop()
    after = jobs.open(subject, seen=1)
    assert before.ended
    assert after.ended
    assert await before.next(60) == ()


async def test_a_batch_is_told_as_whole_snapshots_until_it_has_ended(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_polls(monkeypatch)
    monkeypatch.setattr(BatchSource, "rest_seconds", 0.01)
    request = BatchRequest(urls=["http://a.test/", "http://b.test/"])
    accepted, _ = await batches.submit(core.pool, OWNER, request, idempotency_key=None, max_open_jobs=100)
    subject = Subject(OWNER, UUID(accepted.batch_id))
    async with Streams(BatchSource(core.pool), Room(most=5, share=5)).opened() as opened:
        stream = opened.open(subject, seen=0)
        (first,) = await take(stream, 1)
        assert (first.type, BatchView.model_validate_json(first.data).counts.queued) == ("progress", 2)
        job = (await core.claim(Stage.SCRAPING))[0]
        opened.hear(job.job_id, ended=False)  # of a job the word, of its batch the news
        (second,) = await take(stream, 1)
        counts = BatchView.model_validate_json(second.data).counts
        assert counts.queued + counts.scraping == 2
        assert counts.scraping >= 1
        assert second.number > first.number
        await core.started(job, ProgressPhase.STARTED)
        await cancelling.cancel_batch(core.pool, OWNER, UUID(accepted.batch_id))
        opened.hear(UUID(accepted.batch_id), ended=False)
        last = (await take(stream, 1))[-1]
        assert (last.type, BatchView.model_validate_json(last.data).counts.cancelled) == ("ended", 2)
        assert stream.ended
    standing = await BatchSource(core.pool).standing(subject)
    assert (standing.number, standing.ended) == (last.number, True)
