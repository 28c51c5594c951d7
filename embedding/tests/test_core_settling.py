"""Moving fresh vectors into indexes: when, in what steps, and that nobody notices."""

import asyncio
from collections.abc import Sequence

import asyncpg
import httpx
import pytest

from app.core.errors import StoreUnavailableError
from app.core.service import Embedding
from app.core.settling import DEAD_SHARE, Settling, Step, next_step, settling
from app.core.storage.models import Model
from app.core.storage.segments import Holder, Segment, moving
from tests.documents import OWNER, index, locks_let_go, settle, settling_of
from tests.test_core_searching import find

MODEL = Model(1, "model", 8)


def holder(*sizes: int, tail: int, dead: Sequence[int] = ()) -> Holder:
    """Return an owner with segments of these sizes, one id a vector, half and more of those in `dead` gone."""
    segments, end = [], 0
    for number, size in enumerate(sizes):
        left = int(size * DEAD_SHARE) - 1 if number in dead else size
        segments.append(Segment(number, end, end + size, size, left))
        end += size
    return Holder(OWNER, MODEL, sum(one.rows for one in segments) + tail, segments, tail, end + tail)


def step_of(*sizes: int, tail: int, dead: Sequence[int] = ()) -> Step | None:
    return next_step(holder(*sizes, tail=tail, dead=dead), tail_rows=10, most_rows=1_000)


def test_a_tail_becomes_a_segment_when_it_is_long() -> None:
    assert step_of(100, tail=9) is None
    assert step_of(100, tail=10) == Step(100, 110, 10)


def test_segments_of_like_size_become_one_and_much_larger_ones_stay() -> None:
    step = step_of(400, 30, 10, tail=10)
    assert step is not None
    assert (step.after, step.up_to, step.rows) == (400, 450, 50)
    assert [one.built for one in step.instead_of] == [30, 10]


def test_an_owner_that_grows_has_few_segments_each_much_larger_than_the_next() -> None:
    sizes: list[int] = []
    for _ in range(90):
        step = step_of(*sizes, tail=10)
        assert step is not None
        sizes = [*sizes[: len(sizes) - len(step.instead_of)], step.rows]
        assert len(sizes) <= 4
    assert sum(sizes) == 900
    assert sizes == sorted(sizes, reverse=True)


def test_no_segment_outgrows_the_memory_that_it_is_built_in() -> None:
    assert step_of(900, tail=400) == Step(900, 1300, 400)
    assert step_of(tail=2_500) == Step(0, None, 1_000)


def test_a_segment_of_which_half_is_gone_is_built_anew() -> None:
    step = step_of(400, 100, tail=0, dead=[0])
    assert step is not None
    assert (step.after, step.up_to, step.rows) == (0, 400, 199)
    assert len(step.instead_of) == 1


async def segments(service: Embedding) -> list[tuple[int, str]]:
    rows = await service.pool.fetch("SELECT built, state FROM vector_segments ORDER BY id")
    return [(row["built"], row["state"]) for row in rows]


async def indexes(service: Embedding) -> int:
    count: int = await service.pool.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '^vectors_segment_'")
    return count


async def fill(service: Embedding, documents: range, owner: str = OWNER) -> None:
    for number in documents:
        texts = [f"text {number} {part}" for part in range(10)]
        await index(service, *texts, url=f"https://example.com/{number}", owner=owner)


async def test_what_is_written_is_found_before_while_and_after_it_is_moved(service: Embedding) -> None:
    service.settings.EXACT_SEARCH_MAX_ROWS = 0

    async def found(number: int) -> str:
        return (await find(service, f"text {number} 7", mode="vector", top_k=1))[0].text

    for number in range(12):
        await fill(service, range(number, number + 1))
        assert await found(number) == f"text {number} 7", "in the tail"
        moving_it = asyncio.create_task(settle(service))
        while not moving_it.done():
            assert await found(number) == f"text {number} 7"
        await moving_it
    for number in range(12):
        assert await found(number) == f"text {number} 7", "in an index"
    ready = [built for built, state in await segments(service) if state == "ready"]
    assert sum(ready) == 120
    assert len(ready) <= 3


async def test_an_owner_that_is_searched_row_by_row_has_no_index(service: Embedding) -> None:
    await fill(service, range(2))
    mover = settling_of(service, more_than=20)
    assert await mover.look() is False
    await fill(service, range(2, 3))
    assert await mover.look() is True
    assert await segments(service) == [(30, "ready")]
    await fill(service, range(1), owner="key:another")
    assert await mover.look() is False


async def test_an_owner_that_has_become_small_keeps_no_index(service: Embedding) -> None:
    await fill(service, range(4))
    mover = settling_of(service, more_than=25)
    assert await mover.look() is True
    for number in range(3):
        await service.pool.execute("DELETE FROM chunks WHERE text LIKE $1", f"text {number} %")
    await service.pool.execute("UPDATE corpora SET chunk_count = 10")
    while await mover.look():
        pass
    await mover.look()
    assert (await segments(service), await indexes(service)) == ([], 0)


async def test_a_load_is_moved_once_it_ends_or_has_become_long(service: Embedding) -> None:
    mover = settling_of(service, tail_rows=10, loaded_rows=60)
    for number in range(5):
        await fill(service, range(number, number + 1))
        assert await mover.look() is False, "it goes on"
    assert await mover.look() is True, "it has ended"
    assert await segments(service) == [(50, "ready")]
    await fill(service, range(5, 12))
    assert await mover.look() is True, "it is long"


async def test_there_is_one_mover_at_a_time(service: Embedding) -> None:
    await fill(service, range(2))
    async with moving(service.settings.DATABASE_URL, workers=0) as first:
        assert first is not None
        async with moving(service.settings.DATABASE_URL, workers=0) as second:
            assert second is None
        assert await settling_of(service).look() is False
        waiting = asyncio.create_task(settling_of(service).settle(OWNER, service.model))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    await waiting
    assert await segments(service) == [(20, "ready")]


async def test_a_mover_that_is_ended_while_it_builds_leaves_nothing_and_another_goes_on(
    service: Embedding, database: str
) -> None:
    await settle(service)  # another test's indexes are gone before anything waits
    await fill(service, range(3))
    blocker = await asyncpg.connect(database)
    transaction = blocker.transaction(isolation="repeatable_read")
    await transaction.start()
    await blocker.execute("SELECT count(*) FROM documents; DELETE FROM vectors WHERE id < 0")
    # an index that is built concurrently waits for such a transaction
    building = asyncio.create_task(settling_of(service).look())
    ended: list[bool] = []
    while not any(ended):
        assert not building.done(), building.result()
        await asyncio.sleep(0.02)
        ended = [
            row[0]
            for row in await service.pool.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'CREATE INDEX%'"
            )
        ]
    with pytest.raises(Exception, match="did not answer"):
        await building
    await transaction.rollback()
    await blocker.close()
    await locks_let_go(service)
    assert [state for _, state in await segments(service)] == ["building"]
    assert len(await find(service, "text 1 1", mode="vector", max_per_document=None)) == 10
    assert await settling_of(service).look() is True
    assert await segments(service) == [(30, "ready")]
    assert await indexes(service) == 1


async def test_a_vector_whose_id_lies_within_a_segment_is_found_by_its_index(service: Embedding) -> None:
    """Ids are handed out before they are written: a slow transaction's may come when a segment has been built over them."""
    service.settings.EXACT_SEARCH_MAX_ROWS = 0
    await fill(service, range(1))
    await index(service, "late", url="https://example.com/late")
    late = await service.pool.fetchrow(
        "DELETE FROM vectors WHERE id IN (SELECT id FROM chunks WHERE text = 'late') RETURNING *"
    )
    await fill(service, range(1, 2))
    await settle(service)
    await service.pool.execute("INSERT INTO vectors VALUES ($1, $2, $3, $4, $5, $6)", *late.values())
    assert (await find(service, "late", mode="vector", top_k=1))[0].text == "late"
    assert len(await find(service, "late", mode="vector", top_k=50, max_per_document=None)) == 21


async def test_a_service_that_stops_while_an_index_is_built_does_not_wait_for_it(
    service: Embedding, database: str
) -> None:
    await settle(service)
    await fill(service, range(3))
    blocker = await asyncpg.connect(database)
    transaction = blocker.transaction(isolation="repeatable_read")
    await transaction.start()
    await blocker.execute("SELECT count(*) FROM documents; DELETE FROM vectors WHERE id < 0")
    building = asyncio.create_task(settling_of(service).look())
    running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX%'"
    while not await service.pool.fetchval(running):
        assert not building.done()
        await asyncio.sleep(0.02)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(building, 60)
    await transaction.rollback()
    await blocker.close()
    assert await settling_of(service).look() is True
    assert (await segments(service), await indexes(service)) == ([(30, "ready")], 1)


async def test_a_database_that_is_away_for_a_while_does_not_end_the_looking(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    enough = asyncio.Event()

    async def look(self: Settling) -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            enough.set()
        raise StoreUnavailableError("away")

    monkeypatch.setattr(Settling, "look", look)
    monkeypatch.setattr("app.core.settling.LOOK_SECONDS", 0.01)
    from app.main import app

    async with settling(app.state.settings, app.state.embedding.pool):
        await asyncio.wait_for(enough.wait(), 60)


async def test_the_service_looks_by_itself(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = asyncio.Event()

    async def look(self: Settling) -> bool:
        looks.set()
        return False

    monkeypatch.setattr(Settling, "look", look)
    monkeypatch.setattr("app.core.settling.LOOK_SECONDS", 0.01)
    from app.main import app

    async with settling(app.state.settings, app.state.embedding.pool):
        await asyncio.wait_for(looks.wait(), 60)
