"""While corpora answer from two models: what is deleted, what is like a chunk, and what is asked to see how long a search takes."""

from typing import Any

import pytest

from app.core import reembedding
from app.core.errors import ChangeUnderWayError, ModelStillAnswersError
from app.core.logic import execute_search
from app.core.service import Embedding
from app.core.storage import reembedding as storage
from app.core.storage.pool import alone
from ml_shared.contracts.embedding import SearchRequest
from ml_shared.testing.endpoint import DEFAULT_MODEL
from tests.documents import OWNER, index
from tests.test_core_reembedding import (  # noqa: F401 - fixtures
    NEW,
    _new_endpoint,
    both,
    change,
    fill,
    models,
    new_endpoint,
    vectors,
)
from tests.test_core_searching import find


async def test_what_a_corpus_answers_from_outlives_a_deletion_that_it_came_during(
    both: Embedding,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill(both)
    assert await change(both).run()
    answering = storage.answering

    async def none_yet(pool: Any, model: Any) -> int:
        """Nobody, and then somebody makes a corpus, which gets the model that the settings name."""
        found = await answering(pool, model)
        if found == 0:
            await index(both, "a page of somebody", corpus="theirs")
        return found

    monkeypatch.setattr(storage, "answering", none_yet)
    with pytest.raises(ModelStillAnswersError, match="1 corpora came meanwhile"):
        await change(both, DEFAULT_MODEL).drop()
    assert await models(both) == {"docs": NEW, "theirs": DEFAULT_MODEL}
    assert (await find(both, "a page of somebody", mode="vector", corpora=["theirs"]))[0].text == "a page of somebody"
    assert await vectors(both) == {DEFAULT_MODEL: 1, NEW: 20}


async def test_nothing_is_dropped_while_corpora_change(both: Embedding) -> None:  # noqa: F811
    await fill(both)
    assert await change(both).run()
    async with alone(both.settings.DATABASE_URL, storage.CHANGING, {}) as held:
        assert held is not None
        with pytest.raises(ChangeUnderWayError):
            await change(both, DEFAULT_MODEL).drop()
    assert await vectors(both) == {DEFAULT_MODEL: 20, NEW: 20}


async def test_how_long_a_search_takes_is_asked_without_the_reranker(
    both: Embedding,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool | None] = []

    async def search(service: Embedding, owner: str, request: Any) -> None:
        asked.append(request.rerank)

    monkeypatch.setattr(reembedding, "execute_search", search)
    await fill(both, documents=1)
    assert await change(both).run()
    assert asked
    assert set(asked) == {False}


async def test_what_is_like_a_chunk_is_looked_for_with_its_own_corpus_model(both: Embedding) -> None:  # noqa: F811
    for corpus in ("docs", "docs2", "other"):
        await fill(both, corpus, documents=2)
    assert await change(both, corpus="other").run()
    assert await models(both) == {"docs": DEFAULT_MODEL, "docs2": DEFAULT_MODEL, "other": NEW}
    (chunk, *_) = await find(both, "other 1 1", corpora=["other"], mode="vector")
    like = {"document_id": chunk.document_id, "chunk_index": chunk.chunk_index}
    for named in ({}, {"corpus_name": "other"}):
        request = SearchRequest.model_validate({"like": like | named, "corpora": ["docs", "docs2", "other"]})
        answer = await execute_search(both, OWNER, request)
        assert {hit.corpus_name for hit in answer.results} == {"other"}, named
