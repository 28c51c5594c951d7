"""What becomes of the passages found: how many of a document, pages, reasons, facets, several queries, more like one."""

from typing import Any

import pytest

from app.core.answers import order
from app.core.answers.facets import MAX_VALUES, count_values
from app.core.errors import DocumentNotFoundError
from app.core.logic import execute_search
from app.core.ranking import DEPTH
from app.core.service import Embedding
from ml_shared.contracts.embedding import MAX_RESULTS, SearchMode, SearchRequest, SearchResult
from ml_shared.testing.endpoint import EndpointMode, FakeEndpoint, vector_of
from tests.documents import OWNER, index

QUERY = "words to find"


async def ask(service: Embedding, **request: Any) -> SearchResult:
    """Search for `QUERY` in `docs` unless told otherwise."""
    if not {"query", "queries", "like"} & request.keys():
        request["query"] = QUERY
    if "corpora" not in request:
        request.setdefault("corpus_name", "docs")
    return await execute_search(service, OWNER, SearchRequest.model_validate(request))


def texts_of(result: SearchResult) -> list[str]:
    return [hit.text for hit in result.results]


async def fill(service: Embedding, endpoint: FakeEndpoint, *, large: int, small: int) -> None:
    """Index one large document whose chunks are all nearer to `QUERY` than those of small ones, and say its words more."""
    near = vector_of(QUERY)

    def pinned(text: str, distance: float) -> str:
        endpoint.pin(text, [component + distance * (-1) ** at for at, component in enumerate(near)])
        return text

    chunks = [pinned(f"words to find, words to find: {number}", 0.0001 * number) for number in range(large)]
    await index(service, *chunks, url="https://example.com/large", metadata={"size": "large"})
    for number in range(small):
        text = pinned(
            f"words to find in a small document that says much besides, number {number}", 0.5 + 0.001 * number
        )
        await index(service, text, url=f"https://example.com/small/{number}", metadata={"size": "small", "n": number})


@pytest.fixture(params=["exact", "index"])
def path(request: pytest.FixtureRequest, service: Embedding) -> str:
    """Both ways to the nearest vectors: every row compared, and the vector index asked."""
    service.settings.EXACT_SEARCH_MAX_ROWS = 20_000 if request.param == "exact" else 0
    return str(request.param)


@pytest.mark.parametrize("mode", SearchMode)
async def test_a_large_document_has_three_places_and_the_others_are_filled_from_beyond_the_first_look(
    service: Embedding, endpoint: FakeEndpoint, path: str, mode: SearchMode
) -> None:
    await fill(service, endpoint, large=DEPTH + 20, small=12)
    hits = (await ask(service, mode=mode, top_k=10)).results
    assert [hit.metadata["size"] for hit in hits] == ["large"] * 3 + ["small"] * 7
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    one_each = (await ask(service, mode=mode, top_k=50, max_per_document=1)).results
    assert len(one_each) == len({hit.document_id for hit in one_each}) == 13
    unbounded = (await ask(service, mode=mode, top_k=10, max_per_document=None)).results
    assert {hit.metadata["size"] for hit in unbounded} == {"large"}
    assert len(unbounded) == 10


@pytest.mark.parametrize("mode", SearchMode)
async def test_a_filter_never_finds_fewer_than_there_are(
    service: Embedding, endpoint: FakeEndpoint, path: str, mode: SearchMode
) -> None:
    await fill(service, endpoint, large=DEPTH + 20, small=9)
    filters = {"metadata": {"size": "small"}}
    assert len((await ask(service, mode=mode, top_k=50, filters=filters)).results) == 9
    filters = {"url_prefix": "https://example.com/"}
    assert len((await ask(service, mode=mode, top_k=50, filters=filters)).results) == 3 + 9


@pytest.mark.parametrize("mode", SearchMode)
@pytest.mark.parametrize("per_document", [None, 3])
async def test_pages_follow_one_another_without_a_gap_or_a_repeat(
    service: Embedding, endpoint: FakeEndpoint, path: str, mode: SearchMode, per_document: int | None
) -> None:
    await fill(service, endpoint, large=DEPTH + 30, small=25)
    asked = {"mode": mode, "max_per_document": per_document}
    paged: list[str] = []
    scores: list[float] = []
    offset: int | None = 0
    while offset is not None:
        page = await ask(service, top_k=30, offset=offset, **asked)
        paged += texts_of(page)
        scores += [hit.score for hit in page.results]
        offset = page.next_offset
    assert scores == sorted(scores, reverse=True)
    assert len(paged) == len(set(paged)) == (DEPTH + 30 + 25 if per_document is None else 3 + 25)
    first = texts_of(await ask(service, top_k=100, **asked))
    assert first == paged[: len(first)]
    again = texts_of(await ask(service, top_k=7, offset=11, **asked))
    assert again == paged[11:18]


@pytest.mark.parametrize("top_k", [30, 100])
async def test_pages_end_with_the_last_result_that_they_reach_and_lead_nowhere_that_is_refused(
    service: Embedding, endpoint: FakeEndpoint, top_k: int
) -> None:
    await fill(service, endpoint, large=MAX_RESULTS + 1, small=0)
    pages = [await ask(service, top_k=top_k, offset=MAX_RESULTS - 50, max_per_document=None)]
    while pages[-1].next_offset is not None:
        pages.append(await ask(service, top_k=top_k, offset=pages[-1].next_offset, max_per_document=None))
    assert [len(page.results) for page in pages] == ([30, 20] if top_k == 30 else [50])


async def test_what_no_look_can_fill_is_told(
    service: Embedding, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "MAX_LOOKS", 1)
    await fill(service, endpoint, large=DEPTH + 1, small=3)
    result = await ask(service, mode="vector")
    assert len(result.results) == 3
    assert [warning.code for warning in result.warnings] == ["results_incomplete"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": MAX_RESULTS, "top_k": 1},
        {"offset": -1},
        {"context": 6},
        {"context": 1, "top_k": 51},
        {"max_per_document": 0},
        {"queries": []},
        {"queries": ["a"] * 9},
        {"queries": ["a", " "]},
        {"query": "a", "queries": ["b"]},
        {"facets": []},
        {"facets": ["a"] * 6},
        {"min_score": float("nan")},
        {"like": {"document_id": "no", "chunk_index": 0}},
        {"like": {"document_id": "00000000-0000-4000-8000-000000000000", "chunk_index": 0}, "mode": "text"},
        {"like": {"document_id": "00000000-0000-4000-8000-000000000000", "chunk_index": 0}, "rerank": True},
    ],
)
def test_what_can_not_be_answered_is_refused(wrong: dict[str, Any]) -> None:
    asked = wrong if {"query", "queries", "like"} & wrong.keys() else {"query": "a", **wrong}
    with pytest.raises(ValueError, match="validation error"):
        SearchRequest.model_validate(asked)
    assert SearchRequest.model_validate({"query": "a", "offset": MAX_RESULTS - 1, "top_k": 100})


async def test_why_says_each_legs_rank_and_score(service: Embedding, endpoint: FakeEndpoint) -> None:
    await index(service, QUERY, "nothing of it", "words")
    hits = {hit.text: hit for hit in (await ask(service, explain=True)).results}
    best, other = hits[QUERY].why, hits["nothing of it"].why
    assert best is not None
    assert other is not None
    assert best.vector is not None
    assert best.text is not None
    assert (best.vector.rank, best.text.rank) == (1, 1)
    assert best.vector.score == pytest.approx(1.0, abs=2e-3)
    assert 0 < best.text.score <= 1
    assert other.text is None
    assert all(hit.why is None for hit in (await ask(service)).results)
    [only] = (await ask(service, query="nothing", mode="text", explain=True)).results
    assert only.why is not None
    assert only.why.vector is None


async def test_several_queries_make_one_order_in_which_what_all_find_comes_first(
    service: Embedding, endpoint: FakeEndpoint
) -> None:
    await index(service, "apples and pears", url="https://example.com/both")
    await index(service, "apples alone, and much of them", url="https://example.com/apples")
    await index(service, "pears alone, and much of them", url="https://example.com/pears")
    await index(service, "neither", url="https://example.com/neither")
    result = await ask(service, queries=["apples", "pears"], mode="text", explain=True)
    assert texts_of(result)[0] == "apples and pears"
    assert len(result.results) == 3
    why = result.results[0].why
    assert why is not None
    assert why.queries is not None
    assert [said.query for said in why.queries] == [0, 1]
    assert all(said.text is not None and said.vector is None for said in why.queries)
    endpoint.bodies.clear()
    both = await ask(service, queries=["apples", "pears"])
    assert len(endpoint.bodies) == 1, "all queries go to the endpoint in one call"
    assert both.results[0].score <= 1
    one, alone = await ask(service, queries=["apples"]), await ask(service, query="apples")
    assert [(hit.text, hit.score) for hit in one.results] == [(hit.text, hit.score) for hit in alone.results]


async def test_min_score_is_compared_with_each_querys_own_score(service: Embedding) -> None:
    await index(service, "apples", url="https://example.com/apples")
    await index(service, "pears", url="https://example.com/pears")
    found = await ask(service, queries=["apples", "pears", "plums"], mode="vector", min_score=0.99)
    assert sorted(texts_of(found)) == ["apples", "pears"]
    assert max(hit.score for hit in found.results) < 0.99


async def test_more_like_a_chunk_needs_no_endpoint_and_leaves_the_chunk_out(
    service: Embedding, endpoint: FakeEndpoint
) -> None:
    await fill(service, endpoint, large=4, small=3)
    await index(service, "elsewhere", corpus="other")
    [chunk] = (await ask(service, mode="vector", top_k=1)).results
    endpoint.behave(EndpointMode.BROKEN)
    like = {"document_id": chunk.document_id, "chunk_index": chunk.chunk_index}
    result = await ask(service, like=like)
    assert result.mode is SearchMode.VECTOR
    assert chunk.text not in texts_of(result)
    assert [hit.metadata["size"] for hit in result.results] == ["large"] * 3 + ["small"] * 3
    for missing in ({**like, "chunk_index": 99}, {**like, "corpus_name": "another"}):
        with pytest.raises(DocumentNotFoundError):
            await ask(service, like=missing)
    assert texts_of(await ask(service, like={**like, "corpus_name": "docs"}, corpora=["other"])) == ["elsewhere"]


async def test_facets_count_the_documents_found_by_their_values(service: Embedding, endpoint: FakeEndpoint) -> None:
    await fill(service, endpoint, large=10, small=4)
    await index(
        service, QUERY, url="https://example.com/l", metadata={"size": ["large", "odd", "large"], "n": {"a": 1}}
    )
    result = await ask(service, facets=["size", "n", "nothing"], top_k=1)
    assert result.facets is not None
    sizes = [(value.value, value.count) for value in result.facets["size"].values]
    assert sizes == [("small", 4), ("large", 2), ("odd", 1)]
    assert [(value.value, value.count) for value in result.facets["n"].values] == [(n, 1) for n in range(4)]
    assert result.facets["nothing"].values == []
    assert (await ask(service)).facets is None


def test_a_facet_lists_a_bounded_number_of_values_and_says_that_there_are_more() -> None:
    facet = count_values(["k"], [[number] for number in range(MAX_VALUES + 1)])["k"]
    assert len(facet.values) == MAX_VALUES
    assert facet.more
    assert [value.value for value in count_values(["k"], [[1], [True], [1.5], [None]])["k"].values] == [1, 1.5, True]
