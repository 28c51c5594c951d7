"""The reranker: each of the four servers' shapes, and what a search does with one that misbehaves."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from app.config import Settings
from app.core.answers import reranker
from app.core.answers.reranker import Reranker, scores_of
from app.core.errors import RerankError
from app.core.logic import execute_search
from app.core.service import Embedding
from ml_shared.contracts.embedding import SearchRequest, SearchResult
from ml_shared.testing.endpoint import FakeEndpoint, vector_of
from ml_shared.testing.reranker import DEFAULT_KEY, DEFAULT_MODEL, FakeReranker, RerankMode, RerankShape, relevance
from tests.documents import OWNER, add, index

QUERY = "how to change a tyre"
NEAREST_FIRST = ["a story of a bicycle", "how a tyre is made", "how to change a tyre yourself"]


@pytest.fixture
def server() -> Iterator[FakeReranker]:
    with FakeReranker() as fake:
        yield fake


@pytest.fixture
def reranking(settings: Settings, server: FakeReranker) -> Settings:
    return settings.model_copy(
        update={
            "RERANK_API_BASE_URL": server.url,
            "RERANK_MODEL": DEFAULT_MODEL,
            "RERANK_API_KEY": SecretStr(DEFAULT_KEY),
            "RERANK_TIMEOUT_SECONDS": 60.0,
            "RERANK_BATCH_SIZE": 2,
        }
    )


@pytest.fixture
async def searching(service: Embedding, reranking: Settings, endpoint: FakeEndpoint) -> AsyncIterator[Embedding]:
    """A service with a reranker, and three passages whose vectors say the opposite of their words."""
    near = vector_of(QUERY)
    for place, text in enumerate(NEAREST_FIRST):
        endpoint.pin(text, [component + 0.2 * place * (-1) ** at for at, component in enumerate(near)])
        await index(service, text, url=f"https://example.com/{place}")
    async with Reranker.open(reranking) as opened:
        yield replace(service, reranker=opened)


async def ask(service: Embedding, **request: object) -> SearchResult:
    asked = {"query": QUERY, "corpus_name": "docs", "mode": "vector", **request}
    return await execute_search(service, OWNER, SearchRequest.model_validate(asked))


def texts_of(result: SearchResult) -> list[str]:
    return [hit.text for hit in result.results]


@pytest.mark.parametrize("shape", RerankShape)
async def test_the_reranker_orders_whatever_servers_shape_it_has(
    searching: Embedding, server: FakeReranker, shape: RerankShape
) -> None:
    server.state.shape = shape
    result = await ask(searching, explain=True)
    assert texts_of(result) == sorted(NEAREST_FIRST, key=lambda text: -relevance(QUERY, text))
    assert texts_of(result) == NEAREST_FIRST[::-1]
    assert [hit.rerank_score for hit in result.results] == [relevance(QUERY, hit.text) for hit in result.results]
    assert result.results[0].why is not None
    assert result.results[0].why.rerank is not None
    assert result.results[0].why.rerank.rank == 1
    assert result.results[0].score < result.results[-1].score, "a score stays what it is without a reranker"
    assert result.took is not None
    assert result.took.rerank > 0
    assert set(server.state.keys) == {f"Bearer {DEFAULT_KEY}"}
    assert all(len(texts) <= 2 for texts in server.state.texts)


async def test_what_the_server_lacks_is_asked_for_once(searching: Embedding, server: FakeReranker) -> None:
    server.state.shape = RerankShape.TEI
    await ask(searching)
    await ask(searching)
    assert sum("documents" in body for body in server.state.bodies) == 1


@pytest.mark.parametrize("asked", [{"rerank": False}, {"offset": 50}])
async def test_no_reranker_is_asked_where_it_would_change_nothing(
    searching: Embedding, server: FakeReranker, asked: dict[str, object]
) -> None:
    result = await ask(searching, **asked)
    assert texts_of(result) == ([] if "offset" in asked else NEAREST_FIRST)
    assert server.state.bodies == []


async def test_only_the_best_are_reranked_and_the_others_follow(searching: Embedding, server: FakeReranker) -> None:
    searching.settings.RERANK_TOP = 2
    try:
        assert texts_of(await ask(searching)) == [NEAREST_FIRST[1], NEAREST_FIRST[0], NEAREST_FIRST[2]]
    finally:
        searching.settings.RERANK_TOP = 50
    assert [len(texts) for texts in server.state.texts] == [2]


async def test_pages_of_a_reranked_order_follow_one_another(searching: Embedding) -> None:
    whole = texts_of(await ask(searching))
    assert [text for at in range(3) for text in texts_of(await ask(searching, top_k=1, offset=at))] == whole


@pytest.mark.parametrize("mode", [mode for mode in RerankMode if mode not in (RerankMode.SERVE, RerankMode.HANG)])
@pytest.mark.parametrize("shape", [RerankShape.JINA, RerankShape.TEI])
async def test_a_reranker_that_answers_wrongly_changes_nothing_but_a_warning(
    searching: Embedding, server: FakeReranker, mode: RerankMode, shape: RerankShape
) -> None:
    server.state.shape, server.state.mode = shape, mode
    result = await ask(searching)
    assert texts_of(result) == NEAREST_FIRST
    assert [warning.code for warning in result.warnings] == ["rerank_failed"]
    assert "10.1.2.3" not in result.warnings[0].message
    assert [hit.rerank_score for hit in result.results] == [None] * 3


async def test_one_that_hangs_is_waited_for_once_and_left_alone_for_a_while(
    service: Embedding, reranking: Settings, server: FakeReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.state.mode = RerankMode.HANG
    monkeypatch.setattr(reranker, "REST_SECONDS", 600.0)
    impatient = reranking.model_copy(update={"RERANK_TIMEOUT_SECONDS": 0.3})
    await index(service, *NEAREST_FIRST)
    async with Reranker.open(impatient) as opened:
        searching = replace(service, reranker=opened)
        first, second = await ask(searching), await ask(searching)
        assert "0.3 s" in first.warnings[0].message
        assert "a moment ago" in second.warnings[0].message
        assert len(server.state.bodies) <= 1, "it may be about to read the first"
        server.state.mode = RerankMode.SERVE
        monkeypatch.setattr(opened, "_seconds", 60.0)
        monkeypatch.setattr(opened, "_rests_until", 0.0)
        assert (await ask(searching)).warnings == []


async def test_one_that_is_not_there_changes_nothing_but_a_warning(service: Embedding, reranking: Settings) -> None:
    await index(service, *NEAREST_FIRST)
    nowhere = reranking.model_copy(update={"RERANK_API_BASE_URL": "http://127.0.0.1:9"})
    async with Reranker.open(nowhere) as opened:
        result = await ask(replace(service, reranker=opened))
    assert len(result.results) == 3
    assert [warning.code for warning in result.warnings] == ["rerank_failed"]


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"[]", b"{}", b'{"results": 1}', b'[{"index": 0}]', b'[{"index": true, "score": 1}]',
        b'[{"index": 0, "score": true}]', b'[{"index": -1, "score": 1}]', b'[{"index": 0, "score": 1e999}]', b"[1]",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(RerankError):
        scores_of(answer, 1)


async def test_asking_for_a_reranker_that_is_not_configured_is_refused(client: httpx.AsyncClient) -> None:
    await add(client, "words")
    body = {"query": "words", "corpus_name": "docs"}
    answer = await client.post("/search", json=body | {"rerank": True})
    assert (answer.status_code, answer.json()["code"]) == (422, "no_reranker")
    assert (await client.post("/search", json=body)).json()["warnings"] == []
