"""How often a host is asked."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import ROUNDING_SECONDS, WAIT_SECONDS, Surroundings, left_of, scraper_with
from redis.asyncio import Redis
from sites import Site

from app.core.errors import HostBusyError, HttpStatusError
from app.core.fetching.pacing import MAX_HOLD_SECONDS, PATIENCE_SECONDS, Errand, Pacer
from app.core.fetching.visiting import Visit
from ml_shared.storage.redis_client import open_redis


def pacer(redis: Redis, delay: float = 0.5, most: float = 30) -> Pacer:
    return Pacer(redis, host_delay_seconds=delay, max_delay_seconds=most)


def keeps_pace(began: float, times: list[float], gap_seconds: float) -> bool:
    """Whether that many turns took as long as their gaps.

    From a moment before the first of them was granted: how late a busy machine sees each blurs all that is between them.
    """
    return max(times) - began > (len(times) - 1) * gap_seconds - ROUNDING_SECONDS


async def test_turns_are_a_gap_apart_and_a_far_one_is_not_given(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.fetching.pacing.PATIENCE_SECONDS", 20)
    one, began = pacer(redis, 9), time.monotonic()
    for turns_before in range(3):
        assert (await one.turn("h")).wait_seconds == left_of(turns_before * 9, began)
    with pytest.raises(HostBusyError) as caught:
        await one.turn("h")
    assert (caught.value.code, caught.value.retryable, caught.value.status) == ("host_busy", True, 429)
    assert caught.value.retry_after_seconds == left_of(27, began)
    assert (await one.turn("another")).wait_seconds == 0


async def test_a_refused_turn_takes_none(redis: Redis) -> None:
    one, began = pacer(redis, 20), time.monotonic()
    await one.turn("h")
    for _ in range(5):
        with pytest.raises(HostBusyError) as caught:
            await one.turn("h")
        assert caught.value.retry_after_seconds == left_of(20, began)


async def test_a_site_can_ask_for_more_time_but_not_for_any(redis: Redis) -> None:
    one = pacer(redis, 1, most=10)
    assert (await one.turn("slow", delay_seconds=8)).next_seconds == 8
    assert (await one.turn("quick", delay_seconds=0.1)).next_seconds == 1
    assert (await one.turn("endless", delay_seconds=86_400)).next_seconds == 10


async def test_a_longer_gap_counts_from_the_request_before(redis: Redis) -> None:
    one, began = pacer(redis, 1), time.monotonic()
    await one.turn("h")
    with pytest.raises(HostBusyError) as caught:
        await one.turn("h", delay_seconds=10)
    assert caught.value.retry_after_seconds == left_of(10, began)


async def test_a_turn_within_a_visit_is_soon_whatever_the_gap(redis: Redis) -> None:
    one = pacer(redis, 1)
    await one.turn("h", delay_seconds=20)
    asked = time.monotonic()
    assert (await one.turn("h", delay_seconds=20, insist=True)).wait_seconds == left_of(PATIENCE_SECONDS, asked)


async def test_a_host_that_asks_for_quiet_gets_it_from_everybody(redis: Redis) -> None:
    one, another = pacer(redis), pacer(redis)
    await one.turn("h")
    began = time.monotonic()
    for seconds in (60, 5):
        assert await one.hold("h", seconds) == left_of(60, began)
    with pytest.raises(HostBusyError) as caught:
        await another.turn("h")
    assert caught.value.retry_after_seconds == left_of(60, began)
    assert await one.hold("h", 10**6) == left_of(MAX_HOLD_SECONDS, began)


async def test_what_is_kept_of_a_host_expires(redis: Redis) -> None:
    one, began = pacer(redis, 1, most=500), time.monotonic()
    await one.turn("h")
    assert await redis.pttl("scraper:pace:h") / 1000 == left_of(500, began)
    began = time.monotonic()
    await one.hold("h", 2_000)
    assert await redis.pttl("scraper:pace:h") / 1000 == left_of(2_500, began)


async def test_a_turn_is_one_round_trip(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pacer(redis, 0)
    await one.turn("h")
    sent: list[str] = []
    send = redis.execute_command

    async def noted(*words: Any, **options: Any) -> Any:
        sent.append(words[0])
        return await send(*words, **options)

    monkeypatch.setattr(redis, "execute_command", noted)
    await one.turn("h")
    assert sent == ["EVALSHA"]


async def test_two_processes_together_keep_to_the_pace_of_a_host(surroundings: Surroundings) -> None:
    code = """
import asyncio, sys, time
from app.core.fetching.pacing import Pacer
from app.core.errors import HostBusyError
from ml_shared.storage.redis_client import open_redis

async def main():
    async with open_redis(sys.argv[1]) as redis:
        pacer = Pacer(redis, host_delay_seconds=0.2, max_delay_seconds=5)
        granted = 0
        print(time.monotonic(), flush=True)
        while granted < 5:
            try:
                turn = await pacer.turn("h")
            except HostBusyError as busy:
                await asyncio.sleep(busy.retry_after_seconds)
                continue
            await asyncio.sleep(turn.wait_seconds)
            granted += 1
            print(time.monotonic(), flush=True)

asyncio.run(main())
"""
    command = [sys.executable, "-c", code, surroundings.redis.url]
    processes = [
        subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=WAIT_SECONDS)[0] for process in processes]
    # the clock is the machine's, and the same in both
    told = [[float(line) for line in output.split()] for output in outputs]
    times = [at for _, *turns in told for at in turns]
    assert len(times) == 10
    assert keeps_pace(min(began for began, *_ in told), times, 0.2)


async def test_redirects_and_pages_count_and_the_first_page_follows_its_robots_txt_at_once(
    settings: Any, redis: Redis, site: Site
) -> None:
    site.redirect("/page", "/moved")
    site.html("/moved")
    async with scraper_with(settings, redis, HOST_DELAY_SECONDS=0.3) as scraper:
        await scraper.visitor.read(Visit(site.url("/page")))
        await scraper.visitor.read(Visit(site.url("/moved")))
    assert site.paths == ["/robots.txt", "/page", "/moved", "/moved"]
    robots, *pages = [hit.at for hit in site.hits]
    assert keeps_pace(robots, pages, 0.3)


async def test_two_first_pages_of_a_host_share_its_robots_txt_and_keep_their_distance(
    settings: Any, redis: Redis, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.robots.store._PATIENCE_SECONDS", WAIT_SECONDS)  # of the one that waits for the other
    async with scraper_with(settings, redis, HOST_DELAY_SECONDS=0.5) as scraper:
        await asyncio.gather(*(scraper.visitor.read(Visit(site.html(path))) for path in ("/one", "/two")))
    assert site.paths[0] == "/robots.txt"
    assert sorted(site.paths[1:]) == ["/one", "/two"]
    robots, *pages = [hit.at for hit in site.hits]
    assert keeps_pace(robots, pages, 0.5)


async def test_a_robots_txt_keeps_its_distance_from_what_was_asked_before_it(redis: Redis) -> None:
    one, began = pacer(redis, 10), time.monotonic()
    assert (await one.turn("h", errand=Errand.ROBOTS)).wait_seconds == 0
    with pytest.raises(
        HostBusyError
    ) as caught:  # where it could not be read, the next try is as far away as a page would be
        await one.turn("h", errand=Errand.ROBOTS)
    assert caught.value.retry_after_seconds == left_of(10, began)
    began = time.monotonic()
    assert (await one.turn("h", delay_seconds=20)).wait_seconds == 0
    with pytest.raises(HostBusyError) as caught:
        await one.turn("h", errand=Errand.ROBOTS)
    assert caught.value.retry_after_seconds == left_of(20, began)


async def test_a_robots_txt_waits_while_its_host_wants_quiet(redis: Redis) -> None:
    one = pacer(redis)
    await one.hold("h", 60)
    with pytest.raises(HostBusyError):
        await one.turn("h", errand=Errand.ROBOTS)


async def test_a_robots_txt_that_moved_within_its_host_is_followed_at_once(
    settings: Any, redis: Redis, site: Site
) -> None:
    site.redirect("/robots.txt", site.page("/rules", "User-agent: *", content_type="text/plain"))
    async with scraper_with(settings, redis, HOST_DELAY_SECONDS=20) as scraper:
        await scraper.visitor.read(Visit(site.html("/page")))
    assert site.paths == ["/robots.txt", "/rules", "/page"]


async def test_many_visits_at_once_keep_to_the_pace(settings: Any, surroundings: Surroundings, site: Site) -> None:
    urls = [site.html(f"/{number}") for number in range(6)]
    async with open_redis(surroundings.redis.url) as one, open_redis(surroundings.redis.url) as two:
        async with (
            scraper_with(settings, one, HOST_DELAY_SECONDS=0.25) as first,
            scraper_with(settings, two, HOST_DELAY_SECONDS=0.25) as second,
        ):
            await first.visitor.read(Visit(site.html("/first")))
            visits = [(first, second)[number % 2].visitor.read(Visit(url)) for number, url in enumerate(urls)]
            await asyncio.gather(*visits)
    assert len(site.hits) == 8
    robots, *pages = [hit.at for hit in site.hits]
    assert keeps_pace(robots, pages, 0.25)


async def test_a_crawl_delay_puts_the_second_page_off_and_says_until_when(
    settings: Any, redis: Redis, site: Site
) -> None:
    site.robots("User-agent: *\nCrawl-delay: 20")
    first, second = Visit(site.html("/first")), Visit(site.html("/page"))
    began = time.monotonic()
    async with scraper_with(settings, redis) as scraper:
        await scraper.visitor.read(first)
        with pytest.raises(HostBusyError) as caught:
            await scraper.visitor.read(second)
    assert caught.value.retry_after_seconds == left_of(20, began)
    for visit in (first, second):
        assert (visit.host_next_at - datetime.now(UTC)).total_seconds() == left_of(20, began)
    assert site.paths == ["/robots.txt", "/first"]


async def test_a_redirect_within_a_slow_host_is_followed_in_the_same_visit(
    settings: Any, redis: Redis, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put off for the whole delay, it would be put off again after the next try."""
    monkeypatch.setattr("app.core.fetching.pacing.PATIENCE_SECONDS", 0.3)
    site.robots("User-agent: *\nCrawl-delay: 20")
    site.redirect("/page", "/moved")
    site.html("/moved")
    async with scraper_with(settings, redis) as scraper:
        await scraper.visitor.read(Visit(site.url("/page")))
    robots, _, moved = [hit.at for hit in site.hits]
    assert 0.25 < moved - robots < 15


async def test_a_redirect_to_another_host_counts_for_that_host_too(
    settings: Any, redis: Redis, site: Site, other: Site
) -> None:
    site.redirect("/page", other.html("/there"))
    async with scraper_with(settings, redis, HOST_DELAY_SECONDS=60) as scraper:
        await scraper.visitor.read(Visit(site.url("/page")))
        for url in (site.html("/another"), other.html("/another")):
            with pytest.raises(HostBusyError):
                await scraper.visitor.read(Visit(url))
    assert (site.paths, other.paths) == (["/robots.txt", "/page"], ["/robots.txt", "/there"])


@pytest.mark.parametrize(
    ("status", "headers", "held"), [(429, {"retry-after": "90"}, 90), (503, {"retry-after": "60"}, 60), (429, {}, 30)]
)
async def test_a_host_that_says_wait_is_waited_for(
    settings: Any, redis: Redis, site: Site, status: int, headers: dict[str, str], held: float
) -> None:
    site.page("/page", status=status, headers=headers)
    visit, began = Visit(site.url("/page")), time.monotonic()
    async with scraper_with(settings, redis) as scraper:
        with pytest.raises(HttpStatusError) as caught:
            await scraper.visitor.read(visit)
        assert caught.value.retryable
        assert (visit.host_next_at - datetime.now(UTC)).total_seconds() == left_of(held, began)
        with pytest.raises(HostBusyError):
            await scraper.visitor.read(Visit(site.html("/another")))
