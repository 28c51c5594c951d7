"""Cancelling: at once, given back, and in nobody's way."""

import asyncio
import contextlib
import time
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from conftest import Core
from test_core_batches import pages, submit
from test_core_locks import held, waits_for_a_lock

from app.core.errors import AlreadyEndedError, BatchNotFoundError, CommittingError, JobNotFoundError
from app.core.jobs import batches, cancelling
from app.core.jobs.reading import find
from ml_shared.contracts.jobs import CallbackStatus, JobStatus, ProgressPhase
from ml_shared.names import Stage
from ml_shared.testing.pace import slowness


async def cancel(core: Core, job_id: Any, owner: str = "key:a") -> bool:
    return await cancelling.cancel(core.pool, owner, UUID(str(job_id)))


async def embedding(core: Core) -> Any:
    """A job that an embedding worker has started."""
    await core.submit("http://site.test/")
    for stage in (Stage.SCRAPING, Stage.CHUNKING):
        await core.complete(await core.claim_one(stage))
    job = await core.claim_one(Stage.EMBEDDING)
    assert await core.started(job)
    return job


async def many(core: Core, count: int, *, hosts: int, owner: str = "key:a") -> UUID:
    """A batch larger than one can submit."""
    batch = uuid4()
    await core.pool.execute("INSERT INTO batches (owner, id, corpus_name) VALUES ($1, $2, 'default')", owner, batch)
    await core.pool.execute(
        """INSERT INTO jobs (owner, id, url, host, corpus_name, batch_id, stage, placement, tag)
           SELECT $1, gen_random_uuid(), 'http://h' || n % $4 || '.test/' || n, 'h' || n % $4 || '.test', 'default', $2,
               'scraping', 'parked', n FROM generate_series(1, $3::integer) n""",
        *(owner, batch, count, hosts),
    )
    await core.pool.execute(
        "INSERT INTO owners (owner, last_tag, open_jobs) VALUES ($1, $2::integer, $2::integer)", owner, count
    )
    await core.pool.execute("INSERT INTO lanes (host, head_tag) SELECT host, min(tag) FROM jobs GROUP BY host")
    await core.pool.execute("ANALYZE jobs")
    return batch


async def test_a_job_that_waits_is_cancelled_at_once_and_a_repeat_changes_nothing(core: Core) -> None:
    job_id = await core.submit("http://site.test/")
    assert await cancel(core, job_id) is True
    ended = await core.row(UUID(job_id))
    assert (ended["status"], ended["placement"]) == ("cancelled", "ended")
    assert await cancel(core, job_id) is False
    assert await core.row(UUID(job_id)) == ended
    owner = await core.pool.fetchrow("SELECT open_jobs, last_tag FROM owners")
    assert tuple(owner) == (0, 0), "its tag is given back"
    assert await core.pool.fetchval("SELECT occupied FROM lanes") is False, "no pass opens it for nothing"
    assert await core.claim(Stage.SCRAPING) == []


@pytest.mark.parametrize("started", [False, True])
async def test_a_worker_hears_at_its_next_sign_of_life_and_its_late_result_is_stale(core: Core, started: bool) -> None:
    job_id = await core.submit("http://site.test/")
    job = await core.claim_one(Stage.SCRAPING)
    if started:
        assert await core.started(job)
    assert await cancel(core, job_id)
    assert not await core.started(job, ProgressPhase.RUNNING if started else ProgressPhase.STARTED)
    moved = await core.complete(job, content_ref="c")
    assert (moved.answer.stale, moved.ended) == (True, None)
    assert (await core.row(UUID(job_id)))["status"] == "cancelled"
    assert await core.pool.fetchval("SELECT count(*) FROM leases") == 0
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 0
    assert await core.pool.fetchval("SELECT last_tag FROM owners") == 1, "what was handed out has used its tag"
    await core.submit("http://site.test/next")
    assert await core.claim(Stage.SCRAPING), "its host is free again"


async def test_what_is_just_being_written_can_not_be_cancelled_until_that_attempt_ends(core: Core) -> None:
    job = await embedding(core)
    assert await core.started(job, ProgressPhase.COMMITTING)
    with pytest.raises(CommittingError):
        await cancel(core, job.job_id)
    await core.defer(job, "endpoint_unavailable", retry_after_seconds=1)
    assert await cancel(core, job.job_id)
    view = await find(core.pool, "key:a", job.job_id)
    assert (view.status, view.waiting, view.error) == (JobStatus.CANCELLED, None, None)


async def test_of_a_cancel_and_a_committing_that_come_at_once_one_loses(core: Core) -> None:
    for _ in range(10):
        job = await embedding(core)
        committing, cancelled = await asyncio.gather(
            core.started(job, ProgressPhase.COMMITTING), cancel(core, job.job_id), return_exceptions=True
        )
        assert (committing is True) == isinstance(cancelled, CommittingError)
        moved = await core.complete(job)
        assert moved.answer.stale == (committing is False)


async def test_what_has_ended_otherwise_or_is_anothers_is_not_cancelled(core: Core) -> None:
    job_id = await core.submit("http://site.test/")
    for owner, wanted in (("key:b", job_id), ("key:a", uuid4())):
        with pytest.raises(JobNotFoundError):
            await cancel(core, wanted, owner)
    await core.complete(await core.claim_one(Stage.SCRAPING), status=CallbackStatus.FAILED, error_code="http_status")
    with pytest.raises(AlreadyEndedError):
        await cancel(core, job_id)
    assert (await core.row(UUID(job_id)))["status"] == "failed"


async def test_turns_that_were_got_and_not_used_are_given_back(core: Core) -> None:
    """A pass gives each host's first job a turn, whether or not there is a slot for it."""
    core.in_flight = 1
    batch = await submit(core, *(f"http://h{number}.test/" for number in range(50)))
    await core.claim(Stage.SCRAPING)
    await cancelling.cancel_batch(core.pool, "key:a", UUID(batch.batch_id))
    await core.submit("http://small.test/", owner="key:b")
    await core.submit("http://mine.test/")
    turns = []
    for _ in range(2):
        job = await core.claim_one(Stage.SCRAPING)
        turns.append(job.owner)
        await core.complete(job)
    assert set(turns) == {"key:a", "key:b"}
    used = await core.pool.fetchval("SELECT last_turn FROM owner_turns WHERE owner = 'key:a'")
    assert used < 5, "of fifty turns one was used, and now another"


async def test_a_batch_is_cancelled_but_for_what_is_being_written(core: Core) -> None:
    batch = await submit(core, *(f"http://h{number}.test/" for number in range(4)))
    first, second, *_ = await core.claim(Stage.SCRAPING)
    await core.complete(first, status=CallbackStatus.FAILED, error_code="http_status")
    await core.pool.execute("UPDATE jobs SET committing = true WHERE id = $1", second.job_id)
    assert await cancelling.cancel_batch(core.pool, "key:a", UUID(batch.batch_id)) == 2
    view = await batches.find(core.pool, "key:a", UUID(batch.batch_id))
    assert (view.counts.failed, view.counts.cancelled, view.progress) == (1, 2, 0.75)
    assert view.cancel_asked_at is not None
    await core.complete(second, status=CallbackStatus.DEFERRED, error_code="host_busy")  # it came to nothing
    assert await cancelling.go_on(core.pool) == 1
    assert await core.pool.fetchval("SELECT count(*) FROM batches WHERE cancel_open") == 0
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 0
    with pytest.raises(BatchNotFoundError):
        await cancelling.cancel_batch(core.pool, "key:b", UUID(batch.batch_id))


async def test_ten_thousand_jobs_are_cancelled_within_seconds(own_core: Core) -> None:
    batch = await many(own_core, 10_000, hosts=2_000)
    before, began = slowness(), time.monotonic()
    assert await cancelling.cancel_batch(own_core.pool, "key:a", batch) == 10_000
    seconds = time.monotonic() - began
    print(f"10,000 jobs cancelled in {seconds:.2f} s")
    assert tuple(await own_core.pool.fetchrow("SELECT open_jobs, last_tag FROM owners")) == (0, 0)
    assert await own_core.pool.fetchval("SELECT count(*) FROM lanes WHERE occupied OR holder IS NOT NULL") == 0
    assert seconds < 20 * max(before, slowness()), "two, on a machine that does nothing else"


async def test_while_many_jobs_are_cancelled_passes_go_on(own_core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 100)
    batch = await many(own_core, 2_000, hosts=2_000)
    await submit(own_core, *(f"http://other{number}.test/" for number in range(40)), owner="key:b")
    own_core.in_flight = 4
    cancelling_all = asyncio.create_task(cancelling.cancel_batch(own_core.pool, "key:a", batch))
    done = 0
    async with asyncio.timeout(60):
        while done < 40:
            for job in await own_core.claim(Stage.SCRAPING):
                await own_core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")
                done += job.owner == "key:b"
        await cancelling_all
    assert await own_core.pool.fetchval("SELECT count(*) FROM jobs WHERE placement <> 'ended' AND owner = 'key:a'") == 0


@pytest.mark.parametrize("cut_after", [0, 1, 2])
async def test_a_cancel_that_is_cut_off_is_finished_by_the_recovery(
    core: Core, monkeypatch: pytest.MonkeyPatch, cut_after: int
) -> None:
    monkeypatch.setattr(cancelling, "AT_ONCE", 10)
    batch = await submit(core, *pages(35))
    cut = core.pool

    class Cut:
        calls = 0

        async def fetchval(self, statement: str, *arguments: Any) -> Any:
            if "cancel_some" in statement:
                if self.calls == cut_after:
                    raise ConnectionError
                self.calls += 1
            return await cut.fetchval(statement, *arguments)

    with pytest.raises(ConnectionError):
        await cancelling.cancel_batch(Cut(), "key:a", UUID(batch.batch_id))  # type: ignore[arg-type]
    assert await core.pool.fetchval("SELECT count(*) FROM jobs WHERE placement <> 'ended'") == 35 - 10 * cut_after
    assert await cancelling.go_on(core.pool) == 35 - 10 * cut_after
    assert await cancelling.go_on(core.pool) == 0
    view = await batches.find(core.pool, "key:a", UUID(batch.batch_id))
    assert (view.counts.cancelled, view.progress) == (35, 1)


async def test_a_batch_does_not_wait_for_a_job_that_a_report_has_locked(core: Core) -> None:
    batch = await submit(core, "http://a.test/", "http://b.test/")
    async with held(core.pool) as report:
        await report.execute("SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE", UUID(batch.jobs[0].job_id))
        async with asyncio.timeout(30):
            assert await cancelling.cancel_batch(core.pool, "key:a", UUID(batch.batch_id)) == 1
    assert await cancelling.go_on(core.pool) == 1


async def test_a_cancel_locks_lanes_in_the_order_that_everybody_keeps(core: Core) -> None:
    """Waiting for the first of them it holds no other: whoever has that one may go on to the rest."""
    hosts = [f"h{number:02}.test" for number in range(30)]
    batch = await submit(core, *(f"http://{host}/" for host in hosts))
    for host in reversed(hosts):  # another order on disk
        await core.pool.execute("UPDATE lanes SET next_at = next_at WHERE host = $1", host)
    async with held(core.pool) as other:
        await other.execute("SELECT 1 FROM lanes WHERE host = $1 FOR UPDATE", hosts[0])
        cancelled = asyncio.create_task(cancelling.cancel_batch(core.pool, "key:a", UUID(batch.batch_id)))
        await waits_for_a_lock(core.pool)
        await other.execute("SELECT 1 FROM lanes WHERE host = ANY($1) FOR UPDATE", hosts)
    assert await cancelled == 30


async def test_a_job_that_is_parked_while_another_of_its_host_is_cancelled_is_not_forgotten(core: Core) -> None:
    job_id = await core.submit("http://one.test/a")
    async with held(core.pool) as submission:
        await submission.execute("UPDATE lanes SET occupied = true WHERE host = 'one.test'")
        cancelled = asyncio.create_task(cancel(core, job_id))
        await waits_for_a_lock(core.pool)
        await submission.execute(
            """INSERT INTO jobs (owner, id, url, host, corpus_name, stage, placement, tag) VALUES
               ('key:b', gen_random_uuid(), 'http://one.test/b', 'one.test', 'default', 'scraping', 'parked', 7)"""
        )
        await submission.execute("INSERT INTO owners (owner, open_jobs) VALUES ('key:b', 1)")
    assert await cancelled
    assert [job.url for job in await core.claim(Stage.SCRAPING)] == ["http://one.test/b"]


async def test_cancels_reports_passes_and_submissions_at_once_never_deadlock_and_the_counts_agree(core: Core) -> None:
    made = [await submit(core, *pages(60), owner=f"key:{number % 2}") for number in range(4)]

    async def work() -> None:
        for _ in range(15):
            for job in await core.claim(Stage.SCRAPING):
                await core.started(job)
                await core.queued(job, queue_epoch="e", lease_seconds=900)
                await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")
            await asyncio.sleep(0)

    async def stop(number: int) -> None:
        await asyncio.sleep(0.02 * number)
        owner = f"key:{number % 2}"
        for job in made[number].jobs[:5]:
            with contextlib.suppress(AlreadyEndedError):
                await cancelling.cancel(core.pool, owner, UUID(job.job_id))
        await cancelling.cancel_batch(core.pool, owner, UUID(made[number].batch_id))

    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(
            *(work() for _ in range(3)),
            *(stop(number) for number in range(4)),
            *(submit(core, *pages(20), owner="key:0") for _ in range(3)),
            return_exceptions=True,
        )
    assert [one for one in outcomes if isinstance(one, asyncpg.PostgresError | Exception)] == []
    await cancelling.go_on(core.pool)
    counted = "SELECT owner, count(*) FILTER (WHERE placement <> 'ended') FROM jobs GROUP BY owner ORDER BY owner"
    assert [tuple(row) for row in await core.pool.fetch(counted)] == [
        tuple(row) for row in await core.pool.fetch("SELECT owner, open_jobs FROM owners ORDER BY owner")
    ]
    assert not await core.pool.fetchval(
        "SELECT count(*) FROM jobs WHERE batch_id = ANY($1) AND placement <> 'ended'",
        [UUID(one.batch_id) for one in made],
    )
