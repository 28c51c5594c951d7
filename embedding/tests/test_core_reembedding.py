"""Changing a corpus to another model: no search is without an answer, and whatever ends it, it goes on."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from pydantic import SecretStr

from app import reembed
from app.config import Settings
from app.core import reembedding
from app.core.errors import EndpointUnavailableError, ModelNotServedError, ModelStillAnswersError
from app.core.logic import Order, execute_index, execute_search
from app.core.reembedding import LONGEST_REST_SECONDS, PROBES, Change, Pacer
from app.core.service import Embedding, open_embedding
from app.core.settling import Settling
from app.core.storage import reembedding as storage
from app.core.storage.models import prepare_model
from ml_shared.contracts.embedding import ChunkIn, Document, SearchRequest
from ml_shared.testing.endpoint import DEFAULT_MODEL, EndpointMode, FakeEndpoint, vector_of
from tests.documents import OWNER, at, chunks_of, index, locks_let_go, settle
from tests.holding import holding_answers
from tests.test_core_searching import find

FOLDER = Path(__file__).parent.parent
NEW, NEW_DIMENSIONS, NEW_KEY = "new-model", 24, "key-of-the-new-model"


@pytest.fixture(scope="module")
def _new_endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint(model=NEW, dimensions=NEW_DIMENSIONS, key=NEW_KEY) as endpoint:
        yield endpoint


@pytest.fixture
def new_endpoint(_new_endpoint: FakeEndpoint) -> FakeEndpoint:
    _new_endpoint.reset()
    return _new_endpoint


@pytest.fixture
async def both(settings: Settings, new_endpoint: FakeEndpoint) -> AsyncIterator[Embedding]:
    """The service with a second model."""
    changed = settings.model_copy(
        update={
            "EMBEDDING_NEXT_MODEL": NEW,
            "EMBEDDING_NEXT_API_BASE_URL": new_endpoint.base_url,
            "EMBEDDING_NEXT_API_KEY": SecretStr(NEW_KEY),
            "EMBEDDING_NEXT_DIMENSIONS": NEW_DIMENSIONS,
        }
    )
    connection = await asyncpg.connect(changed.DATABASE_URL)
    await prepare_model(connection, NEW, NEW_DIMENSIONS)
    await connection.close()
    async with open_embedding(changed, command_timeout_seconds=20) as opened:
        yield opened


async def no_rest(_: float) -> None:
    await asyncio.sleep(0)


def change(service: Embedding, model: str = NEW, **options: Any) -> Change:
    return Change.to(service, model, sleep=no_rest, tell=lambda _: None, **options)


async def fill(service: Embedding, corpus: str = "docs", documents: int = 4, chunks: int = 5) -> None:
    for number in range(documents):
        texts = [f"{corpus} {number} {part}" for part in range(chunks)]
        await index(service, *texts, url=f"https://example.com/{number}", corpus=corpus)


async def models(service: Embedding) -> dict[str, str]:
    rows = await service.pool.fetch(
        "SELECT corpora.name, models.name AS model FROM corpora JOIN models ON models.id = model_id ORDER BY corpora.name"
    )
    return {row["name"]: row["model"] for row in rows}


async def vectors(service: Embedding) -> dict[str, int]:
    rows = await service.pool.fetch(
        "SELECT name, count(*) AS vectors FROM vectors JOIN models ON models.id = model_id GROUP BY name"
    )
    return {row["name"]: row["vectors"] for row in rows}


async def answered(service: Embedding, corpora: list[str], text: str) -> bool:
    hits = await find(service, text, corpora=corpora, mode="vector", top_k=3)
    return [hit.text for hit in hits][:1] == [text]


async def test_a_change_embeds_each_text_once_and_searches_are_answered_all_the_while(
    both: Embedding, new_endpoint: FakeEndpoint
) -> None:
    await fill(both)
    await fill(both, "other")
    assert await models(both) == {"docs": DEFAULT_MODEL, "other": DEFAULT_MODEL}
    changing = asyncio.create_task(change(both).run())
    searches = 0
    while not changing.done():
        assert await answered(both, ["docs"], "docs 2 3")
        assert await answered(both, ["docs", "other"], "docs 2 3")
        assert await answered(both, ["other"], "other 1 1")
        searches += 1
    assert await changing
    assert searches
    assert await models(both) == {"docs": NEW, "other": NEW}
    assert await vectors(both) == {DEFAULT_MODEL: 40, NEW: 40}
    embedded = [text for texts in new_endpoint.inputs for text in texts if text[-1].isdigit()]
    assert {embedded.count(f"docs 0 {part}") for part in range(5)} == {1}
    assert (await find(both, "docs 2 3", mode="vector"))[0].text == "docs 2 3"
    assert await both.pool.fetch("SELECT 1 FROM documents WHERE model_id <> $1", both.next.model.id) == []  # type: ignore[union-attr]


async def test_each_model_reads_passages_behind_its_own_prefix(
    both: Embedding, endpoint: FakeEndpoint, new_endpoint: FakeEndpoint
) -> None:
    assert both.next is not None
    both.next.settings.EMBEDDING_PASSAGE_PREFIX = "passage: "
    await fill(both, documents=1, chunks=2)
    await change(both).run()
    await index(both, "docs 0 0", "a later one", url="https://example.com/0", as_of=at(1))
    read = {text for texts in new_endpoint.inputs for text in texts}
    assert {"passage: docs 0 0", "passage: docs 0 1", "passage: a later one"} <= read
    assert not any("passage: " in text for texts in endpoint.inputs for text in texts)


async def test_a_dry_run_counts_and_does_nothing(both: Embedding, new_endpoint: FakeEndpoint) -> None:
    await fill(both)
    [planned] = await change(both).plan()
    assert (planned.corpus.name, planned.chunks, planned.tokens, planned.too_long) == ("docs", 20, 60, 0)
    assert (await vectors(both), new_endpoint.inputs) == ({DEFAULT_MODEL: 20}, [])


async def test_a_change_that_is_ended_goes_on_where_it_was(
    both: Embedding, new_endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.reembedding.TEXTS_AT_ONCE", 4)
    await fill(both)
    steps = 0
    ended = asyncio.Event()

    async def rest(self: Pacer) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            ended.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(Pacer, "rest", rest)
    changing = asyncio.create_task(change(both).run())
    await ended.wait()
    changing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await changing
    assert (await vectors(both), await models(both)) == ({DEFAULT_MODEL: 20, NEW: 12}, {"docs": DEFAULT_MODEL})
    assert await answered(both, ["docs"], "docs 1 1")
    new_endpoint.reset()
    assert await change(both).run()
    assert sum(map(len, new_endpoint.inputs)) == 8
    assert await models(both) == {"docs": NEW}


async def test_an_endpoint_that_stays_away_ends_it_with_what_is_done_kept(
    both: Embedding, new_endpoint: FakeEndpoint
) -> None:
    await fill(both)
    new_endpoint.behave(EndpointMode.BROKEN)
    with pytest.raises(EndpointUnavailableError):
        await change(both).run()
    assert await models(both) == {"docs": DEFAULT_MODEL}
    new_endpoint.behave(EndpointMode.SERVE)
    assert await change(both).run()


async def test_a_search_that_would_find_too_little_keeps_a_corpus_as_it_is(
    both: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.settings.EXACT_SEARCH_MAX_ROWS = 0
    await fill(both)
    nearest_in = reembedding.nearest_in

    async def half(*arguments: Any, exact_max_rows: int, **named: Any) -> Any:
        found = await nearest_in(*arguments, exact_max_rows=exact_max_rows, **named)
        return found[::2] if exact_max_rows == 0 else found

    with monkeypatch.context() as patched:
        patched.setattr(reembedding, "nearest_in", half)
        told: list[str] = []
        changing = Change.to(both, NEW, sleep=no_rest, tell=told.append)
        assert await changing.run() is False
    assert any("0.5" in line and "0.95" in line for line in told), told
    assert await models(both) == {"docs": DEFAULT_MODEL}
    assert await change(both).run()
    assert await models(both) == {"docs": NEW}


async def test_a_large_owners_index_is_there_before_its_corpora_change(
    both: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "Settling", partial(Settling, tail_rows=1))
    both.settings.EXACT_SEARCH_MAX_ROWS = 10
    await fill(both)
    seen: list[int] = []
    switch = storage.switch

    async def looked(*arguments: Any, **named: Any) -> bool:
        seen.append(
            await both.pool.fetchval(
                "SELECT coalesce(sum(built), 0)::int FROM vector_segments WHERE state = 'ready' AND model_id = $1",
                both.next.model.id,  # type: ignore[union-attr]
            )
        )
        return await switch(*arguments, **named)

    monkeypatch.setattr(storage, "switch", looked)
    assert await change(both).run()
    assert seen == [20]


async def test_what_is_written_while_a_corpus_changes_has_vectors_of_the_model_that_answers(
    both: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(both)
    switch = storage.switch
    tries = 0

    async def after_a_write(*arguments: Any, **named: Any) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            await index(both, "written meanwhile", url="https://example.com/meanwhile")
        return await switch(*arguments, **named)

    monkeypatch.setattr(storage, "switch", after_a_write)
    assert await change(both).run()
    assert tries == 1, "the last texts are embedded while writers wait"
    assert (await find(both, "written meanwhile", mode="vector"))[0].text == "written meanwhile"
    await index(both, "written after", url="https://example.com/after")
    assert (await find(both, "written after", mode="vector"))[0].text == "written after"
    assert await vectors(both) == {DEFAULT_MODEL: 21, NEW: 22}


async def test_a_write_that_was_embedded_before_the_change_is_embedded_anew(both: Embedding) -> None:
    await fill(both)
    changes = 0

    async def before_write() -> None:
        nonlocal changes
        changes += 1
        if changes == 1:
            assert await change(both).run()

    now = datetime.now(UTC)
    order = Order(OWNER, "docs", Document(url="https://example.com/late"), now, now)
    result = await execute_index(both, order, chunks_of("late"), before_write=before_write)
    assert (changes, result.model, result.superseded) == (2, NEW, False)
    assert (await find(both, "late", mode="vector"))[0].text == "late"
    assert await vectors(both) == {DEFAULT_MODEL: 20, NEW: 21}


async def test_writes_and_searches_go_on_while_a_corpus_changes_back_and_forth(both: Embedding) -> None:
    await fill(both)
    done = asyncio.Event()

    async def write() -> int:
        number = 0
        while not done.is_set():
            await index(
                both, f"written {number}", url=f"https://example.com/written/{number % 5}", as_of=datetime.now(UTC)
            )
            number += 1
        return number

    writing = [asyncio.create_task(write()) for _ in range(3)]
    for model in (NEW, DEFAULT_MODEL, NEW):
        assert await change(both, model).run()
        assert await models(both) == {"docs": model}
        assert await answered(both, ["docs"], "docs 2 2")
    done.set()
    assert all(await asyncio.gather(*writing))
    lacking = (
        "SELECT count(*) FROM chunks c WHERE NOT EXISTS (SELECT FROM vectors v WHERE v.id = c.id AND v.model_id = $1)"
    )
    assert await both.pool.fetchval(lacking, both.next.model.id) == 0  # type: ignore[union-attr]


async def test_the_way_back_needs_only_what_was_written_since_until_the_old_vectors_are_dropped(
    both: Embedding, endpoint: FakeEndpoint
) -> None:
    await fill(both)
    assert await change(both).run()
    await index(both, "written since", url="https://example.com/since")
    endpoint.reset()
    assert await change(both, DEFAULT_MODEL).run()
    assert [
        text for texts in endpoint.inputs for text in texts if text == "written since" or text.startswith("docs")
    ] == ["written since"]
    assert await models(both) == {"docs": DEFAULT_MODEL}
    assert (await find(both, "written since", mode="vector"))[0].text == "written since"


async def test_vectors_are_dropped_when_no_corpus_answers_from_them(both: Embedding) -> None:
    await fill(both)
    both.settings.EXACT_SEARCH_MAX_ROWS = 0
    await settle(both)
    with pytest.raises(ModelStillAnswersError, match="1 corpora"):
        await change(both, DEFAULT_MODEL).drop()
    assert await change(both).run()
    assert await change(both, DEFAULT_MODEL).drop() == 20
    assert await vectors(both) == {NEW: 20}
    assert await both.pool.fetchval("SELECT count(*) FROM vector_segments WHERE model_id = $1", both.model.id) == 0
    assert await answered(both, ["docs"], "docs 1 1")


async def test_a_text_that_the_new_model_does_not_take_keeps_its_corpus_as_it_is(both: Embedding) -> None:
    await fill(both, "short")
    await index(both, "a text of many words", url="https://example.com/long", corpus="long")
    both.next.settings.EMBEDDING_MAX_TOKENS = 4  # type: ignore[union-attr]
    assert await change(both).run() is False
    assert await models(both) == {"long": DEFAULT_MODEL, "short": NEW}


async def test_one_change_at_a_time(both: Embedding, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(both)
    held = asyncio.Event()
    go_on = asyncio.Event()

    async def rest(self: Pacer) -> None:
        held.set()
        await go_on.wait()

    monkeypatch.setattr(Pacer, "rest", rest)
    first = asyncio.create_task(change(both).run())
    await held.wait()
    assert await change(both).run() is False
    go_on.set()
    assert await first


async def test_only_what_was_asked_for_changes(both: Embedding) -> None:
    await fill(both)
    await fill(both, "other")
    assert await change(both, corpus="other").run()
    assert await models(both) == {"docs": DEFAULT_MODEL, "other": NEW}
    assert await change(both, owner="key:nobody").run()
    assert await models(both) == {"docs": DEFAULT_MODEL, "other": NEW}


async def test_a_chunk_is_like_others_of_its_own_models_corpora(both: Embedding) -> None:
    await fill(both)
    await fill(both, "other")
    assert await change(both, corpus="other").run()
    hits = await find(both, "other 1 1", corpora=["other"], mode="vector")
    like = {"document_id": hits[0].document_id, "chunk_index": hits[0].chunk_index}
    request = SearchRequest.model_validate({"like": like, "corpora": ["docs", "other"]})
    found = (await execute_search(both, OWNER, request)).results
    assert {hit.corpus_name for hit in found} == {"other"}


def test_a_model_that_is_not_served_is_refused(both: Embedding) -> None:
    with pytest.raises(ModelNotServedError, match="EMBEDDING_NEXT_MODEL"):
        change(both, "unheard-of")


async def test_the_pace_follows_how_long_searches_take() -> None:
    seconds = 0.02
    rests: list[float] = []

    async def probe() -> float:
        return seconds

    async def sleep(rest: float) -> None:
        rests.append(rest)

    pacer = Pacer(probe, sleep)
    await pacer.begin()
    for _ in range(5):
        await pacer.rest()
    assert rests == [], "searches are as fast as before"
    seconds = 0.029
    await pacer.rest()
    assert rests == [], "less than half slower"
    seconds = 0.031
    for _ in range(PROBES):
        await pacer.rest()
    assert rests[0] > 0
    assert rests == sorted(rests)
    assert rests[-1] == LONGEST_REST_SECONDS
    seconds = 0.02
    for _ in range(PROBES):
        await pacer.rest()
    assert pacer.rest_seconds < 0.1


async def test_the_command_is_killed_and_run_again(both: Embedding, new_endpoint: FakeEndpoint) -> None:
    await fill(both, documents=60, chunks=10)
    values = both.settings.model_dump(mode="json", exclude={"EMBEDDING_API_KEY", "EMBEDDING_NEXT_API_KEY"})
    environment = {
        **os.environ,
        **{name: str(values[name]) for name in values if name.startswith(("DATABASE_", "EMBEDDING_")) and values[name]},
        "EMBEDDING_API_KEY": both.settings.EMBEDDING_API_KEY.get_secret_value(),
        "EMBEDDING_NEXT_API_KEY": NEW_KEY,
    }

    async def run(*arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.reembed", "--model", *arguments),
            cwd=FOLDER,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    # it gets no further than to some of its 150 calls
    with holding_answers(new_endpoint, after=100):
        killed = await run(NEW)
        while NEW not in await vectors(both):
            assert killed.returncode is None
            await asyncio.sleep(0.01)
        killed.kill()
        await killed.communicate()
    await locks_let_go(both)
    assert await models(both) == {"docs": DEFAULT_MODEL}, "it was killed before its end"
    done = await run(NEW)
    told, errors = await done.communicate()
    assert done.returncode == 0, errors
    assert b"docs: answers from new-model" in told
    assert await models(both) == {"docs": NEW}
    assert await vectors(both) == {DEFAULT_MODEL: 600, NEW: 600}


async def test_the_command_says_what_there_is_to_do_and_refuses_what_it_does_not_know(
    both: Embedding, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reembed, "settings", both.settings)
    monkeypatch.setattr(reembed, "start_logging", lambda: None)
    await fill(both)

    async def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["app.reembed", "--model", *arguments])
        status = await asyncio.to_thread(reembed.main)
        return (status, *capsys.readouterr())

    status, told, _ = await run(NEW, "--dry-run")
    assert (status, told.splitlines()[-1]) == (0, "1 corpora to change, 20 chunks and 60 tokens to embed")
    assert await vectors(both) == {DEFAULT_MODEL: 20}
    status, _, errors = await run("unheard-of")
    assert (status, "EMBEDDING_NEXT_MODEL" in errors) == (1, True)


def test_vectors_of_the_tests_models_differ() -> None:
    assert len(vector_of("text", NEW_DIMENSIONS)) != len(vector_of("text"))


async def test_a_worker_that_knows_only_the_model_before_does_not_write_a_corpus_back(
    both: Embedding, settings: Settings
) -> None:
    await fill(both, documents=1)
    await change(both).run()
    async with open_embedding(settings, command_timeout_seconds=20) as older:
        with pytest.raises(EndpointUnavailableError, match=r"new-model.*EMBEDDING_NEXT_MODEL"):
            await index(older, "a new page", url="https://example.com/new")
        assert await models(both) == {"docs": NEW}
        await change(both, DEFAULT_MODEL).run()
        await change(both).drop()
        assert (await index(older, "a new page", url="https://example.com/new")).chunks == 1


async def test_headings_are_part_of_a_passages_vector_with_either_model(
    both: Embedding, endpoint: FakeEndpoint, new_endpoint: FakeEndpoint
) -> None:
    def order(minutes: float) -> Order:
        return Order(OWNER, "docs", Document(url="https://example.com/page"), at(minutes), at(minutes))

    def below(*headings: str) -> list[ChunkIn]:
        return [one.model_copy(update={"heading_path": list(headings)}) for one in chunks_of("one text", "another")]

    assert (await execute_index(both, order(0), below("Guide", "Install"))).embedded == 2
    assert sorted(text for texts in endpoint.inputs for text in texts) == ["Guide > Install", "another", "one text"]
    stored = await both.pool.fetchval("SELECT embedding FROM vectors JOIN chunks USING (id) WHERE text = 'another'")
    own, above = (np.array(vector_of(text)) for text in ("another", "Guide > Install"))
    wanted = own / np.linalg.norm(own) + 0.2 * above / np.linalg.norm(above)
    assert np.allclose(stored.to_numpy(), wanted, atol=1e-3)
    # what stands below other headings has another vector; what has none is as it was
    assert (await execute_index(both, order(1), below("Guide", "Set up"))).embedded == 2
    assert (await execute_index(both, order(2), below("Guide", "Set up"))).embedded == 0
    await change(both).run()
    assert "Guide > Set up" in [text for texts in new_endpoint.inputs for text in texts]
