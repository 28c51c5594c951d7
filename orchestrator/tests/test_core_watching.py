"""Standing watch: passes that are asked for, that nobody asked for, and that go wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from conftest import Core, Fleet
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from app.core.content.store import PostgresContentStore
from app.core.dispatch import recovery
from app.core.dispatch.dispatching import Dispatcher, Policy
from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.stage_calls import StageClient, open_stages
from app.core.dispatch.watching import Watch
from ml_shared.names import Stage

NEVER = 3_600.0
PATIENCE_SECONDS = 20.0


@pytest.fixture
async def stages(fleet: Fleet) -> AsyncIterator[StageClient]:
    async with open_stages(
        fleet.addresses, SecretStr("own-key"), timeout_seconds=20, max_answer_bytes=1_000_000
    ) as opened:
        yield opened


@pytest.fixture
def dispatcher(core: Core, stages: StageClient) -> Dispatcher:
    content = PostgresContentStore(core.content_pool, max_bytes=1_000_000)
    policy = Policy(dict.fromkeys(Stage, 4), 1000, 10**9, 30, 900)
    return Dispatcher(core.pool, content, stages, policy, core.limits)


@asynccontextmanager
async def standing(core: Core, dispatcher: Dispatcher, interval_seconds: float = NEVER) -> AsyncIterator[Watch]:
    watch = Watch(dispatcher, lambda: recovery.seconds_to_next_lane(core.pool), interval_seconds=interval_seconds)
    task = asyncio.create_task(watch.stand())
    yield watch
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():
            await asyncio.sleep(0.01)


def called(fleet: Fleet, count: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return len(fleet.scraper.calls) >= count

    return holds


async def test_what_waits_when_the_watch_begins_is_handed_out(core: Core, dispatcher: Dispatcher, fleet: Fleet) -> None:
    await core.submit("http://site.test/a")
    async with standing(core, dispatcher):
        await until(called(fleet, 1))


async def test_a_job_is_handed_out_when_a_pass_is_asked_for(core: Core, dispatcher: Dispatcher, fleet: Fleet) -> None:
    async with standing(core, dispatcher) as watch:
        for number in range(3):
            await core.submit(f"http://host{number}.test/")
            watch.ask(Stage.SCRAPING)
            await until(called(fleet, number + 1))


async def test_a_word_that_was_lost_costs_no_more_than_the_interval(
    core: Core, dispatcher: Dispatcher, fleet: Fleet
) -> None:
    async with standing(core, dispatcher, interval_seconds=0.1):
        await asyncio.sleep(0.05)
        await core.submit("http://site.test/a")
        await until(called(fleet, 1))


async def test_many_words_while_a_pass_claims_are_one_more_pass(
    core: Core, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    may_go_on = asyncio.Event()

    async def claim(stage: Stage) -> list[HandOut]:
        passes.append(stage)
        await may_go_on.wait()
        return []

    monkeypatch.setattr(dispatcher, "claim", claim)
    async with standing(core, dispatcher) as watch:

        async def all_claim() -> bool:
            return len(passes) == len(Stage)

        async def another() -> bool:
            return passes.count(Stage.EMBEDDING) == 2

        await until(all_claim)
        for _ in range(50):
            watch.ask(Stage.EMBEDDING)
        may_go_on.set()
        await until(another)
        await asyncio.sleep(0.1)  # a third would have come by now
    assert passes.count(Stage.EMBEDDING) == 2
    assert passes.count(Stage.CHUNKING) == 1


async def test_a_host_is_asked_again_when_its_time_has_come(core: Core, dispatcher: Dispatcher, fleet: Fleet) -> None:
    await core.submit("http://site.test/a")
    await core.pool.execute("UPDATE lanes SET next_at = now() + interval '0.3 seconds'")
    async with standing(core, dispatcher):
        await until(called(fleet, 1))


async def test_what_a_hand_out_made_possible_is_done_at_once(core: Core, dispatcher: Dispatcher, fleet: Fleet) -> None:
    """The page is gone: the job goes back from chunking to scraping, in the watch itself."""
    await core.submit("http://site.test/a")
    await core.complete(await core.claim_one(Stage.SCRAPING), content_ref="gone")
    async with standing(core, dispatcher):
        await until(called(fleet, 1))


async def test_a_slow_hand_out_keeps_no_other_waiting(core: Core, dispatcher: Dispatcher, fleet: Fleet) -> None:
    begun, held, hand_out = asyncio.Event(), asyncio.Event(), dispatcher.hand_out

    async def slow(jobs: Sequence[HandOut]) -> frozenset[Stage]:
        if jobs[0].host == "slow.test":
            begun.set()
            await held.wait()
        return await hand_out(jobs)

    dispatcher.hand_out = slow  # type: ignore[method-assign, assignment]
    await core.submit("http://slow.test/")
    async with standing(core, dispatcher) as watch:
        await begun.wait()  # else one pass might claim both, and hand them out together
        await core.submit("http://fast.test/")
        watch.ask(Stage.SCRAPING)
        await until(called(fleet, 1))
        assert fleet.scraper.calls[0].body["url"] == "http://fast.test/"
        held.set()
        await until(called(fleet, 2))


async def test_a_watch_that_ends_hands_out_what_it_has_claimed(
    core: Core, dispatcher: Dispatcher, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, claimed = dispatcher.claim, asyncio.Event()

    async def slow(stage: Stage) -> list[HandOut]:
        jobs = await claim(stage)
        if jobs:
            claimed.set()
            await asyncio.sleep(0.1)  # the statement is done, and its answer on its way
        return jobs

    monkeypatch.setattr(dispatcher, "claim", slow)
    await core.submit("http://site.test/a")
    async with standing(core, dispatcher):
        await claimed.wait()
    assert len(fleet.scraper.calls) == 1
    assert await core.pool.fetchval("SELECT phase FROM leases") == "queue"


async def test_a_database_that_is_away_for_a_while_ends_no_watch(
    core: Core, dispatcher: Dispatcher, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, failures = dispatcher.claim, iter([OSError("refused"), TimeoutError()])

    async def failing(stage: Stage) -> list[HandOut]:
        if stage is Stage.SCRAPING and (failure := next(failures, None)):
            raise failure
        return await claim(stage)

    monkeypatch.setattr(dispatcher, "claim", failing)
    await core.submit("http://site.test/a")
    async with standing(core, dispatcher, interval_seconds=0.05):
        await until(called(fleet, 1))


async def test_passes_leave_no_span_but_those_of_what_they_hand_out(
    core: Core, dispatcher: Dispatcher, fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    job_id = await core.submit("http://site.test/a", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    spans.clear()
    async with standing(core, dispatcher):
        await until(called(fleet, 1))
    found = spans.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in found if span.context} == {"a" * 32}
    (hand_out,) = [span for span in found if span.name == "dispatch.job"]
    assert dict(hand_out.attributes or {})["job.id"] == job_id
