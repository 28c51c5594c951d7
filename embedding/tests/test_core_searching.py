"""Finding passages: by vector, by words, by both; only the owner's, only the model's."""

from datetime import UTC, datetime

import pytest

from app.core import ranking, searching
from app.core.errors import CorpusNotFoundError, DimensionMismatchError, EndpointUnavailableError, ModelNotPreparedError
from app.core.logic import execute_search
from app.core.service import Embedding
from app.core.storage import matching
from app.core.storage import search as storage
from app.core.storage.models import prepare_model, read_model
from ml_shared.contracts.embedding import SearchHit, SearchMode, SearchRequest
from ml_shared.testing.endpoint import DEFAULT_DIMENSIONS, EndpointMode, FakeEndpoint, vector_of
from tests.documents import OWNER, at, index, settle, settling_of


async def find(service: Embedding, query: str, *, owner: str = OWNER, **request: object) -> list[SearchHit]:
    """Search in `docs` unless told otherwise."""
    if "corpora" not in request:
        request.setdefault("corpus_name", "docs")
    return (await execute_search(service, owner, SearchRequest(query=query, **request))).results  # type: ignore[arg-type]


@pytest.fixture(params=["exact", "index"])
def path(request: pytest.FixtureRequest, service: Embedding) -> str:
    """Both ways to the nearest vectors: every row compared, and the vector index asked."""
    service.settings.EXACT_SEARCH_MAX_ROWS = 20_000 if request.param == "exact" else 0
    return str(request.param)


async def fill(service: Embedding, documents: int = 40) -> None:
    """Index documents of five chunks each, in two corpora of the owner and one of a stranger."""
    for number in range(documents):
        texts = [f"text {number} {part}" for part in range(5)]
        url = f"https://example.com/{'even' if number % 2 == 0 else 'odd'}/{number}"
        await index(service, *texts, url=url, language="en-IE", metadata={"number": number})
    await index(service, "text 3 3", "strange", url="https://stranger.example/", owner="key:stranger")
    await index(service, "text 5 0", url="https://example.com/other", corpus="other", language="de")
    if service.settings.EXACT_SEARCH_MAX_ROWS == 0:
        await settle(service)


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
async def test_the_passage_with_the_querys_vector_comes_first(service: Embedding, path: str, mode: str) -> None:
    await fill(service)
    hits = await find(service, "text 7 2", mode=mode, top_k=4)
    assert hits[0].text == "text 7 2"
    assert hits[0].url == "https://example.com/odd/7"
    assert hits[0].chunk_index == 2
    assert hits[0].score == pytest.approx(1.0, abs=2e-3) or mode == "hybrid"
    assert len(hits) == 4
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


async def test_the_vector_index_and_the_comparison_of_every_row_agree(service: Embedding) -> None:
    await fill(service)
    answers = []
    for limit in (20_000, 0):
        service.settings.EXACT_SEARCH_MAX_ROWS = limit
        await settle(service)
        answers.append([hit.text for hit in await find(service, "something", mode="vector", top_k=20)])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 20


async def test_the_index_finds_a_small_corpus_rows_among_a_large_ones(service: Embedding) -> None:
    service.settings.EXACT_SEARCH_MAX_ROWS = 0
    for number in range(20):
        await index(
            service, *(f"big {number} {p}" for p in range(50)), url=f"https://big.example/{number}", corpus="big"
        )
    await index(service, *(f"small {p}" for p in range(12)))
    await settle(service)
    hits = await find(service, "small", mode="vector", top_k=10, max_per_document=None)
    assert len(hits) == 10
    assert all(hit.text.startswith("small") for hit in hits)


async def test_rows_behind_more_of_another_corpus_than_an_index_scan_passes_are_found_all_the_same(
    service: Embedding, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MAX_SCAN_TUPLES", 200)
    service.settings.EXACT_SEARCH_MAX_ROWS = 0
    near = vector_of("query")
    for number in range(16):
        texts = [f"near {number} {part}" for part in range(50)]
        for part, text in enumerate(texts):
            endpoint.pin(text, [component + 0.0001 * (50 * number + part) for component in near])
        await index(service, *texts, url=f"https://big.example/{number}", corpus="big")
    for part in range(12):
        endpoint.pin(f"far {part}", [-component - 0.001 * part for component in near])
    await index(service, *(f"far {part}" for part in range(12)))
    await settle(service)
    for per_document, top_k, found in [(None, 10, 10), (None, 100, 12), (3, 100, 3)]:
        hits = await find(service, "query", mode="vector", top_k=top_k, max_per_document=per_document)
        assert len(hits) == found


async def test_hybrid_finds_an_exact_rare_word_that_vectors_miss(
    service: Embedding, endpoint: FakeEndpoint, path: str
) -> None:
    query = "how to mend error zx4471q of the valve"
    near = vector_of(query)
    for number in range(60):
        text = f"How to mend the valve, part {number}: general words on valves"
        endpoint.pin(text, [component + 0.01 * number for component in near])
        await index(service, text, url=f"https://example.com/{number}")
    rare = "ZX4471Q means that a seal is worn"
    endpoint.pin(rare, [-component for component in near])
    await index(service, rare, url="https://example.com/rare")
    assert rare not in [hit.text for hit in await find(service, query, mode="vector", top_k=10)]
    assert rare in [hit.text for hit in await find(service, query, mode="hybrid", top_k=10)]
    hits = await find(service, query, mode="text", top_k=10)
    assert hits[0].text == rare


async def test_text_search_works_while_the_endpoint_is_down(service: Embedding, endpoint: FakeEndpoint) -> None:
    await index(service, "the quick brown fox", "a lazy dog")
    endpoint.behave(EndpointMode.BROKEN)
    [hit] = await find(service, "foxes", mode="text")
    assert hit.text == "the quick brown fox"
    assert hit.score == pytest.approx(1 / 2.2, abs=1e-3)  # of each word once
    with pytest.raises(EndpointUnavailableError):
        await find(service, "foxes", mode="hybrid")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("gather", "await asyncio.gather(first, second)"),
        ("join", "see os.path.join for paths"),
        ("nginx", "edit /etc/nginx/nginx.conf"),
        ("1.26.3", "since v1.26.3 of the server"),
        ("assertEqual", "calls self.assertEqual(a, b)"),
        ("equal", "calls self.assertEqual(a, b)"),
        ("snake_case", "a name in snake_case"),
        ("--long-option", "start it with --long-option=1"),
        ("HTTP_404", "it answers HTTP_404 then"),
        ("404", "it answers HTTP_404 then"),
        ("why do I get E0040 there", "error[E0040]: explicit use"),
        ("cafe", "un café à Paris"),
        ("café", "a cafe in town"),
        ("磁带", "光盘和磁带能保存多少年"),
    ],
)
async def test_a_word_within_a_name_is_found_and_leads(service: Embedding, query: str, text: str, path: str) -> None:
    await index(service, "something else entirely", text, "words about other things")
    assert [hit.text for hit in await find(service, query, mode="text")] == [text]
    assert (await find(service, query, mode="hybrid"))[0].text == text


async def test_the_title_and_the_headings_are_found_and_change_with_their_document(service: Embedding) -> None:
    await index(service, "some text", title="On halyards")
    assert len(await find(service, "halyard", mode="text")) == 1
    await index(service, "some text", title="On sheets", as_of=datetime.now(UTC))
    assert await find(service, "halyard", mode="text") == []
    assert len(await find(service, "sheets", mode="text")) == 1


async def test_words_are_stemmed_by_their_documents_language(service: Embedding) -> None:
    await index(service, "Die Häuser der Stadt", url="https://example.com/de", language="de")
    await index(service, "The houses of the town", url="https://example.com/en", language="en")
    assert [hit.text for hit in await find(service, "Haus Häusern", mode="text")] == ["Die Häuser der Stadt"]
    assert [hit.text for hit in await find(service, "housing", mode="text")] == ["The houses of the town"]


@pytest.mark.parametrize("mode", ["text", "hybrid"])
async def test_a_phrase_is_found_as_it_stands(service: Embedding, mode: str, path: str) -> None:
    wanted = "It **Failed\nto connect** over there"
    await index(
        service, "it fails to connect", "to connect failed", wanted, "failed to connecting", "connect to failed"
    )
    assert [hit.text for hit in await find(service, '"failed to connect"', mode=mode)] == [wanted]
    # which nobody says: words alone find nothing then, and both together what comes near
    assert bool(await find(service, '"failed to be"', mode=mode)) is (mode == "hybrid")


@pytest.mark.parametrize("mode", ["text", "hybrid"])
async def test_a_phrase_with_a_minus_is_in_no_passage_and_the_answer_says_so(
    service: Embedding, mode: str, path: str
) -> None:
    kept = ["python says hello to the world", "python and docker", "hello python"]
    await index(service, *kept, "python: Hello,\nworld!", "python with docker-compose up")
    if path == "index":
        await settle(service)
    request = SearchRequest(query='python -"hello world" -docker-compose', corpus_name="docs", mode=SearchMode(mode))
    result = await execute_search(service, OWNER, request)
    assert sorted(hit.text for hit in result.results) == sorted(kept)
    [warning] = result.warnings
    assert warning.code == "words_excluded"
    assert '"docker-compose", "hello world"' in warning.message
    both = [hit.text for hit in await find(service, '"python" -"hello world"', mode=mode, max_per_document=None)]
    assert sorted(both) == sorted([*kept, "python with docker-compose up"])


@pytest.mark.parametrize("mode", ["text", "hybrid"])
async def test_an_answer_to_a_phrase_has_no_more_than_what_has_it_however_far_it_is_looked(
    service: Embedding, mode: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "DEPTH", 5)
    monkeypatch.setattr(searching, "DEPTH", 5)
    for number in range(8):
        texts = [f"failed attempts to connect {number} {part}" for part in range(3)]
        await index(service, *texts, f"it failed to connect {number}", url=f"https://example.com/{number}")
    if path == "index":
        await settle(service)
    asked = {"mode": mode, "top_k": 20, "max_per_document": None}
    found = [hit.text for hit in await find(service, '"failed to connect"', **asked)]
    assert sorted(found) == [f"it failed to connect {number}" for number in range(8)]
    assert len(await find(service, '"connect attempts"', **asked)) == (20 if mode == "hybrid" else 0)


@pytest.mark.parametrize("mode", ["text", "hybrid"])
async def test_a_phrase_of_common_words_is_looked_for_in_all_that_have_them_or_a_warning_comes(
    service: Embedding, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "MAX_CANDIDATES", 5)
    for number in range(8):
        await index(
            service, *(f"out of reach, memory of {part}" for part in range(5)), url=f"https://example.com/{number}"
        )
    await index(service, "it ran out of memory", url="https://example.com/last")
    request = SearchRequest(query='"out of memory"', corpus_name="docs", mode=SearchMode(mode))
    result = await execute_search(service, OWNER, request)
    assert ([hit.text for hit in result.results], result.warnings) == (["it ran out of memory"], [])
    monkeypatch.setattr(matching, "MAX_PHRASED", 20)
    result = await execute_search(service, OWNER, request)
    assert bool(result.results) is (mode == "hybrid"), "which then takes it for words"
    [warning] = result.warnings
    assert warning.code == "results_incomplete"
    assert "phrase" in warning.message


async def test_an_errors_text_is_found_by_what_stands_at_its_end(service: Embedding) -> None:
    frames = " ".join(f"frame{'x' * number} in module{'y' * number}" for number in range(60))
    await index(service, "something else", f"{frames.split()[0]} and others", "when E0040 comes, clean the cache")
    hits = await find(service, f"{frames} ZX81FooError: E0040", mode="text")
    assert "when E0040 comes, clean the cache" in [hit.text for hit in hits]


@pytest.mark.parametrize("mode", ["text", "hybrid"])
async def test_what_is_left_out_is_not_found(service: Embedding, mode: str, path: str) -> None:
    await index(service, "a jaguar in the woods", "a jaguar is a car", "the cars, jaguar and all")
    for query in ("jaguar -car", "-car, jaguar"):
        assert [hit.text for hit in await find(service, query, mode=mode)] == ["a jaguar in the woods"]
    await index(service, "关于数据的书", "数据与根据库存", "数据库手册", url="https://example.com/zh", language="zh")
    found = [hit.text for hit in await find(service, "数据 -数据库", mode=mode)]
    assert "关于数据的书" in found
    assert "数据库手册" not in found


@pytest.mark.parametrize("mode", list(SearchMode))
async def test_the_order_does_not_change_with_how_many_are_asked_for(
    service: Embedding, mode: SearchMode, path: str
) -> None:
    await fill(service)
    most = [hit.text for hit in await find(service, "text 7 of 3", mode=mode, top_k=100)]
    for few in (1, 5, 17, 60):
        assert [hit.text for hit in await find(service, "text 7 of 3", mode=mode, top_k=few)] == most[:few]


async def test_rarer_words_said_more_often_in_shorter_passages_come_first(service: Embedding) -> None:
    filler = "words that every passage has " * 8
    texts = {
        "rare": f"{filler} halyard",
        "often": f"{filler} halyard halyard halyard",
        "common": f"{filler} words words",
        "short": "halyard halyard halyard",
    }
    await index(service, *texts.values())
    found = [hit.text for hit in await find(service, "halyard words", mode="text", max_per_document=None)]
    assert [found.index(texts[name]) for name in ("often", "rare", "common")] == [0, 1, 3]
    assert found[2] == texts["short"]


async def test_common_words_are_found_by_what_has_most_of_them(
    service: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "MAX_CANDIDATES", 10)
    monkeypatch.setattr(ranking, "DEPTH", 5)
    monkeypatch.setattr(searching, "DEPTH", 5)
    for number in range(8):
        await index(
            service,
            *(f"alpha beta {number} {part}" for part in range(5)),
            *(f"alpha gamma {number} {part}" for part in range(5)),
            *(f"beta gamma {number} {part}" for part in range(5)),
            f"alpha beta gamma {number}",
            url=f"https://example.com/{number}",
        )
    hits = await find(service, "alpha beta gamma", mode="text", top_k=5)
    assert len(hits) == 5
    assert all(hit.text.startswith("alpha beta gamma") for hit in hits)
    assert len(await find(service, "alpha", mode="text", top_k=5)) == 5


@pytest.mark.parametrize(
    "query",
    [
        "the of and",
        "'",
        "\\",
        "a & | ! ( ) :*",
        "\0",
        "it's \\'quoted\\'",
        "🦊",
    ],
)
@pytest.mark.parametrize("mode", ["text", "hybrid"])
async def test_no_query_breaks_the_search(service: Embedding, query: str, mode: str) -> None:
    await index(service, "it's quoted", "ordinary")
    assert len(await find(service, query, mode=mode)) <= 2


@pytest.mark.parametrize("query", [f'"{"Ab " * 2_600}"', "x." * 3_999, '"it" ' * 1_500, "ab " * 2_600, "-abc " * 1_500])
async def test_a_long_query_is_taken_by_its_beginning(service: Embedding, query: str) -> None:
    await index(service, "ab " * 30, "ordinary")
    assert len(await find(service, query, mode="text")) <= 1


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"url_prefix": "https://example.com/odd"}, {"odd"}),
        ({"url_prefix": "HTTPS://Example.com/odd"}, {"odd"}),
        ({"url_prefix": "https://faß.example/"}, {"even"}),
        ({"url_prefix": "https://fass.example/"}, set()),
        ({"language": "EN"}, {"odd", "even"}),
        ({"language": "e"}, set()),
        ({"metadata": {"kind": "even"}}, {"even"}),
        ({"metadata": {"nested": {"a": [1]}}}, {"odd"}),
        ({"fetched_after": at(10)}, {"even"}),
        ({"fetched_before": at(10)}, {"odd"}),
        ({"url_prefix": "https://example.com/", "metadata": {"kind": "odd"}, "language": "en-ie"}, {"odd"}),
        ({"url_prefix": "'; DROP TABLE chunks; --"}, set()),
        ({}, {"odd", "even"}),
    ],
)
@pytest.mark.parametrize("mode", list(SearchMode))
async def test_filters_leave_only_the_documents_that_meet_all_of_them(
    service: Embedding, path: str, mode: SearchMode, filters: dict[str, object], expected: set[str]
) -> None:
    odd = {"kind": "odd", "nested": {"a": [1, 2]}}
    await index(service, "word odd", url="https://example.com/odd", language="en-IE", metadata=odd, fetched_at=at(0))
    even = {"kind": "even"}
    await index(service, "word even", url="https://faß.example/even", language="en", metadata=even, fetched_at=at(20))
    hits = await find(service, "word", mode=mode, filters=filters)
    assert {str(hit.metadata["kind"]) for hit in hits} == expected


async def test_another_owners_passages_are_never_found(service: Embedding, path: str) -> None:
    await fill(service, 5)
    for mode in SearchMode:
        hits = await find(service, "text 3 3 strange", mode=mode, owner="key:stranger")
        assert {hit.url for hit in hits} == {"https://stranger.example/"}
        hits = await find(service, "text 3 3 strange", mode=mode, top_k=100)
        assert "https://stranger.example/" not in {hit.url for hit in hits}


async def test_several_corpora_are_searched_together(service: Embedding, path: str) -> None:
    await fill(service, 6)
    hits = await find(service, "text 5 0", corpora=["docs", "other", "docs"], top_k=2, mode="vector")
    assert {hit.corpus_name for hit in hits} == {"docs", "other"}


async def test_a_corpus_that_is_not_there_is_named(service: Embedding) -> None:
    await index(service, "words")
    with pytest.raises(CorpusNotFoundError, match="'nowhere'"):
        await find(service, "words", corpora=["docs", "nowhere"])
    with pytest.raises(CorpusNotFoundError):
        await find(service, "words", owner="key:stranger")


async def test_min_score_cuts_what_is_below_it(service: Embedding) -> None:
    await index(service, "exactly this", "something else")
    assert [hit.text for hit in await find(service, "exactly this", mode="vector", min_score=0.99)] == ["exactly this"]
    assert await find(service, "exactly this", mode="vector", min_score=1.1) == []


async def test_only_the_current_models_vectors_answer(service: Embedding) -> None:
    await index(service, "old words")
    async with service.pool.acquire() as connection:
        other = await prepare_model(connection, "another-model", DEFAULT_DIMENSIONS)
    await service.pool.execute("UPDATE vectors SET model_id = $1", other.id)
    await service.pool.execute("UPDATE corpora SET model_id = $1", other.id)
    assert await find(service, "old words", mode="vector") == []
    assert len(await find(service, "old words", mode="text")) == 1
    again = await index(service, "old words", as_of=datetime.now(UTC))
    assert (again.embedded, again.reused) == (1, 0)
    assert len(await find(service, "old words", mode="vector")) == 1
    assert await service.pool.fetch("SELECT model_id FROM vectors") == [(service.model.id,)]


async def test_a_models_dimensions_never_change_under_its_name(service: Embedding) -> None:
    async with service.pool.acquire() as connection:
        with pytest.raises(DimensionMismatchError, match="EMBEDDING_DIMENSIONS is 8"):
            await prepare_model(connection, service.model.name, 8)
    with pytest.raises(DimensionMismatchError):
        await read_model(service.pool, service.model.name, 8)
    with pytest.raises(ModelNotPreparedError, match=r"python -m app\.migrate"):
        await read_model(service.pool, "unknown", 8)


async def test_models_of_other_dimensions_live_side_by_side(service: Embedding) -> None:
    await index(service, "words")
    async with service.pool.acquire() as connection:
        model = await prepare_model(connection, "long-model", 1024)
        assert await prepare_model(connection, "long-model", 1024) == model
        await connection.execute(
            "INSERT INTO vectors SELECT owner, corpus, document_id, id, $1, array_fill(0.1, ARRAY[1024])::vector::halfvec "
            "FROM vectors",
            model.id,
        )
    mover = settling_of(service)
    for one in (model, service.model):
        await mover.settle(OWNER, one)
    rows = await service.pool.fetch("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'vectors_segment_%'")
    assert sorted(f"halfvec({one.dimensions})" in row[0] for row in rows for one in (model, service.model)) == [
        *(False, False, True, True)
    ]
    assert len(await find(service, "words", mode="vector")) == 1
