"""Who is handed out, when, and in which order."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Core

from app.core.dispatch import claims
from app.core.dispatch.hand_outs import KNOWN_KINDS, HandOut
from app.core.jobs.filters import JobFilter
from app.core.jobs.reading import find, find_page
from ml_shared.contracts.jobs import CallbackStatus, JobKind, JobStatus, WaitingReason
from ml_shared.names import Stage


async def test_passes_at_once_hand_out_each_job_once_and_never_more_than_the_limit(core: Core) -> None:
    for number in range(20):
        await core.submit(f"http://host{number}.test/")
    passes = await asyncio.gather(*(core.claim(Stage.SCRAPING) for _ in range(6)))
    claimed = [job.job_id for one in passes for job in one]
    assert len(claimed) == len(set(claimed)) == core.in_flight


async def test_a_pass_leaves_kinds_that_its_version_does_not_know_to_others(core: Core) -> None:
    """While a fleet is upgraded, workers of two versions make passes beside each other."""
    novel, known = await core.submit("http://a.test/"), await core.submit("http://b.test/")
    await core.pool.execute("UPDATE jobs SET kind = 'of a version to come' WHERE id = $1", UUID(novel))
    assert [str(job.job_id) for job in await core.claim(Stage.SCRAPING)] == [known]
    row = await core.row(novel)
    assert (row["placement"], row["attempt_id"]) == ("ready", None), "untouched, and first of its host"


@pytest.mark.parametrize(
    ("more", "taken"),
    [((), {"page"}), ((None,), {"page"}), ((None, False), {"page", "touch", "remove"})],
    ids=["0004", "0005", "0011"],
)
async def test_versions_before_get_what_they_know(core: Core, more: tuple[Any, ...], taken: set[str]) -> None:
    jobs = {kind: await core.submit(f"http://{kind}.test/") for kind in ("page", "touch", "remove")}
    await core.pool.execute(
        """UPDATE jobs SET stage = 'embedding', placement = 'ready', unchanged = id = $1,
               kind = CASE WHEN id = $2 THEN 'remove' ELSE 'page' END""",
        *(UUID(jobs["touch"]), UUID(jobs["remove"])),
    )
    arguments = ("embedding", "embedding", False, "embedding", [], 100, 8, 30.0, 100, 100, *more)
    places = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
    claimed = await core.pool.fetch(f"SELECT id FROM claim_jobs({places})", *arguments)
    assert {kind for kind, job in jobs.items() if UUID(job) in {row["id"] for row in claimed}} == taken


def test_this_version_knows_all_kinds_that_there_are() -> None:
    assert {*JobKind, "touch"} == set(KNOWN_KINDS)


async def test_a_host_has_one_hand_out_at_a_time(core: Core) -> None:
    for number in range(5):
        await core.submit(f"http://one.test/{number}")
    await core.submit("http://other.test/")
    first = await core.claim(Stage.SCRAPING)
    assert sorted(job.host for job in first) == ["one.test", "other.test"]
    assert await core.claim(Stage.SCRAPING) == []
    view = (await find_page(core.pool, "key:a", JobFilter(status=JobStatus.QUEUED), limit=10, cursor=None)).items[0]
    assert view.waiting is not None
    assert view.waiting.reason is WaitingReason.HOST_DELAY
    (on_one,) = [job for job in first if job.host == "one.test"]
    await core.complete(on_one, content_ref="page")
    assert [job.host for job in await core.claim(Stage.SCRAPING)] == ["one.test"]


async def test_a_failed_page_frees_its_host(core: Core) -> None:
    await core.submit("http://one.test/1")
    await core.submit("http://one.test/2")
    job = await core.claim_one(Stage.SCRAPING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")
    assert (await core.claim_one(Stage.SCRAPING)).url == "http://one.test/2"


async def test_a_busy_host_waits_once_and_its_jobs_with_it(core: Core) -> None:
    for number in range(3):
        await core.submit(f"http://one.test/{number}")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.defer(job, "host_busy", retry_after_seconds=30)
    assert await core.claim(Stage.SCRAPING) == []
    view = await find(core.pool, "key:a", job.job_id)
    assert view.waiting is not None
    assert view.waiting.reason is WaitingReason.HOST_DELAY
    await core.time_has_come()
    assert (await core.claim_one(Stage.SCRAPING)).job_id == job.job_id, "the first one is still first"


async def test_one_url_of_another_owner_does_not_wait_for_a_backlog(core: Core) -> None:
    core.in_flight = 2
    for number in range(30):
        await core.submit(f"http://big{number}.test/", owner="key:big")
    for job in await core.claim(Stage.SCRAPING):
        await core.complete(job, content_ref="page")
    await core.submit("http://small.test/", owner="key:small")
    owners = [job.owner for job in await core.claim(Stage.SCRAPING)]
    assert "key:small" in owners


async def test_a_stage_gets_nothing_new_while_too_much_is_behind_it(core: Core) -> None:
    for number in range(3):
        await core.submit(f"http://host{number}.test/")
    for job in await core.claim(Stage.SCRAPING):
        await core.complete(job, content_ref="page")
    await core.submit("http://late.test/")
    assert await core.claim(Stage.SCRAPING, high_water=3) == []
    assert len(await core.claim(Stage.SCRAPING, high_water=4)) == 1


async def test_an_outage_gives_the_job_back_uncounted_and_pauses_the_stage(core: Core) -> None:
    await core.submit("http://a.test/")
    await core.submit("http://b.test/")
    first, second = await core.claim(Stage.SCRAPING)
    pause = {"reason": "not reached", "base_seconds": 100, "most_seconds": 1_000}
    seconds = await claims.give_back(core.pool, first, **pause)
    assert seconds is not None
    assert 70 < seconds < 130
    assert await claims.give_back(core.pool, second, **pause) is None
    assert await core.claim(Stage.SCRAPING) == [], "the stage pauses: no other job is tried meanwhile"
    view = await find(core.pool, "key:a", first.job_id)
    assert view.waiting is not None
    assert view.waiting.reason is WaitingReason.UPSTREAM
    await core.pool.execute("UPDATE stages SET paused_until = now()")
    assert len(await core.claim(Stage.SCRAPING)) == 2
    assert await core.pool.fetchval("SELECT coalesce(max(attempts), 0) FROM job_stages") == 0


async def test_a_pause_grows_and_an_answer_ends_it(core: Core) -> None:
    await core.submit("http://a.test/")
    pauses = []
    for _ in range(4):
        job = await core.claim_one(Stage.SCRAPING)
        pauses.append(await claims.give_back(core.pool, job, reason="x", base_seconds=1, most_seconds=60))
        await core.pool.execute("UPDATE stages SET paused_until = now()")
    assert all(later > earlier for earlier, later in itertools.pairwise(pauses) if earlier and later)
    await core.queued(await core.claim_one(Stage.SCRAPING), queue_epoch="e", lease_seconds=900)
    assert await core.pool.fetchval("SELECT pauses FROM stages WHERE stage = 'scraping'") == 0


async def test_a_new_queue_epoch_releases_what_the_wiped_queue_held(core: Core) -> None:
    await core.submit("http://a.test/")
    await core.submit("http://b.test/")
    core.in_flight = 1
    lost = await core.claim_one(Stage.SCRAPING)
    await core.queued(lost, queue_epoch="before", lease_seconds=900)
    core.in_flight = 2
    other = await core.claim_one(Stage.SCRAPING)
    assert await core.queued(other, queue_epoch="after", lease_seconds=900) == 1
    assert (await core.claim_one(Stage.SCRAPING)).job_id == lost.job_id


async def queued_since(core: Core, seconds: int, *hosts: str) -> list[HandOut]:
    """Hand out a page of each host; all of them have waited in the queue for so long."""
    for host in hosts:
        await core.submit(f"http://{host}/")
    jobs = await core.claim(Stage.SCRAPING)
    for job in jobs:
        await core.queued(job, queue_epoch="before", lease_seconds=900 - seconds)
    return jobs


async def test_a_queue_that_was_wiped_while_nothing_ran_is_found_out_within_a_minute(core: Core) -> None:
    lost = await queued_since(core, 40, "a.test", "b.test", "c.test")
    released, _ = await core.recover()
    assert [job["id"] for job in released] == [lost[0].job_id], "one is handed out again to see"
    probe = await core.claim_one(Stage.SCRAPING)
    assert await core.queued(probe, queue_epoch="after", lease_seconds=900) == 2
    assert {job.job_id for job in await core.claim(Stage.SCRAPING)} == {job.job_id for job in lost[1:]}


async def test_a_queue_that_merely_waits_is_asked_once_a_minute(core: Core) -> None:
    await queued_since(core, 40, "a.test", "b.test")
    assert len((await core.recover())[0]) == 1
    probe = await core.claim_one(Stage.SCRAPING)
    assert await core.queued(probe, queue_epoch="before", lease_seconds=900) == 0
    assert (await core.recover())[0] == []


async def test_a_queue_that_moves_is_left_alone(core: Core) -> None:
    running, *_ = await queued_since(core, 40, "a.test", "b.test")
    await core.started(running)
    assert (await core.recover())[0] == []


async def test_a_queue_that_has_not_waited_long_is_left_alone(core: Core) -> None:
    await queued_since(core, 10, "a.test", "b.test")
    assert (await core.recover())[0] == []


async def test_a_rejected_job_fails_with_the_stages_reason(core: Core) -> None:
    await core.submit("http://a.test/")
    job = await core.claim_one(Stage.SCRAPING)
    assert await claims.reject(core.pool, job, code="invalid_url", message="no")
    row = await core.row(job.job_id)
    assert (row["status"], row["error_code"], row["failed_stage"]) == ("failed", "invalid_url", "scraping")
    assert not await claims.reject(core.pool, job, code="other", message="twice")


async def test_the_recovery_frees_a_lane_that_nobody_holds(core: Core) -> None:
    await core.submit("http://one.test/")
    await core.pool.execute("UPDATE lanes SET holder = gen_random_uuid()")
    assert await core.claim(Stage.SCRAPING) == []
    await core.recover()
    assert len(await core.claim(Stage.SCRAPING)) == 1


async def test_one_url_of_another_owner_does_not_wait_for_a_backlog_of_many_pages_a_host(core: Core) -> None:
    core.in_flight = 4
    for host in range(10):
        for page in range(6):
            await core.submit(f"http://big{host}.test/{page}", owner="key:big")
    later = datetime.now(UTC) + timedelta(hours=1)
    for _ in range(3):  # each host has been asked once, and wants to be left alone for now
        for job in await core.claim(Stage.SCRAPING):
            await core.complete(job, content_ref="page", host_next_at=later)
    assert await core.claim(Stage.SCRAPING) == []
    await core.submit("http://small.test/", owner="key:small")
    await core.time_has_come()
    assert "key:small" in [job.owner for job in await core.claim(Stage.SCRAPING)]


async def test_owners_with_work_share_the_slots_whatever_their_backlogs(core: Core) -> None:
    core.in_flight = 6
    for owner, hosts in (("key:big", 30), ("key:small", 12)):
        for host in range(hosts):
            await core.submit(f"http://{owner[4:]}{host}.test/", owner=owner)
    for _ in range(3):
        claimed = await core.claim(Stage.SCRAPING, high_water=10_000)
        assert sorted(job.owner for job in claimed) == ["key:big"] * 3 + ["key:small"] * 3
        for job in claimed:
            await core.complete(job, content_ref="page")


async def test_an_owner_of_twice_the_weight_gets_twice_the_slots(core: Core) -> None:
    core.in_flight = 6
    for owner in ("key:one", "key:two"):
        for host in range(20):
            await core.submit(f"http://{owner[4:]}{host}.test/", owner=owner)
    await core.pool.execute("UPDATE owners SET weight = 2 WHERE owner = 'key:two'")
    owners = []
    for _ in range(3):
        for job in await core.claim(Stage.SCRAPING, high_water=10_000):
            owners.append(job.owner)
            await core.complete(job, content_ref="page")
    assert abs(owners.count("key:two") - 2 * owners.count("key:one")) <= 2
