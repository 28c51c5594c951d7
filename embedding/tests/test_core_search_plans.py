"""How PostgreSQL goes about the statements of a search: by which index, and how much it reads."""

from typing import Any

import pytest
from pgvector import HalfVector

from app.config import Settings
from app.core import ranking, searching
from app.core.queries import parse_query
from app.core.ranking import Candidate
from app.core.service import Embedding, open_embedding
from app.core.storage import matching
from app.core.storage import search as storage
from app.core.storage.search import Left, Scope
from app.core.terms import SAMPLES, stem_term
from ml_shared.contracts.embedding import SearchFilters, SearchMode
from ml_shared.testing.endpoint import vector_of
from tests.conftest import empty
from tests.documents import OWNER, index, settle
from tests.test_core_searching import fill, find


@pytest.fixture
def database(database: str) -> str:
    """The same with tables as new: how PostgreSQL goes about a statement depends on how large their files are."""
    empty(database, most_bytes=0)
    return database


class Explaining:
    """A connection that notes how PostgreSQL goes about those statements that have something in them."""

    def __init__(self, connection: Any, having: str, *, analyze: bool = False) -> None:
        self.connection = connection
        self.having = having
        self.explain = "EXPLAIN ANALYZE" if analyze else "EXPLAIN"
        self.plans: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    async def fetch(self, statement: str, *parameters: object) -> Any:
        if self.having in statement:
            rows = await self.connection.fetch(f"{self.explain} {statement}", *parameters)
            self.plans.append("\n".join(row[0] for row in rows))
        return await self.connection.fetch(statement, *parameters)


@pytest.mark.parametrize("exact", [True, False])
async def test_each_path_uses_the_plan_that_it_is_named_for_each_time(service: Embedding, exact: bool) -> None:
    await fill(service, 10)
    await settle(service)
    await index(service, "came later", url="https://example.com/later")
    async with service.pool.acquire() as connection:
        explaining = Explaining(connection, "<=>")
        for _ in range(10):
            async with connection.transaction():
                await connection.execute(storage.PLANNING)
                await storage.nearest(
                    explaining,
                    Scope(OWNER, ["docs"], service.model),
                    HalfVector(vector_of("x")),
                    left=Left(50),
                    limit=10,
                    exact=exact,
                )
    assert len(explaining.plans) == 10
    for plan in explaining.plans:
        assert ("Scan using vectors_segment_" in plan) is not exact, plan
        assert ("Subquery Scan on scope" if exact else "vectors_by_id") in plan, plan
        assert "Seq Scan on vectors" not in plan, plan


async def test_every_search_of_a_connection_is_planned_for_what_it_asks(settings: Settings) -> None:
    """PostgreSQL's own choice, after five runs, is one plan for all: it reads everything that the owner has."""
    one = settings.model_copy(update={"DATABASE_POOL_SIZE": 1})
    async with open_embedding(one, command_timeout_seconds=20) as service:
        await fill(service, 8)
        for limit in (20_000, 0):
            service.settings.EXACT_SEARCH_MAX_ROWS = limit
            await settle(service)
            for mode in SearchMode:
                for _ in range(10):
                    await find(service, "text 3 3", mode=mode, filters={"language": "en"})
        plans = await service.pool.fetch(
            "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements "
            "WHERE statement ~ 'chunks|chunk_terms|vectors c'"
        )
    searched = [plan for plan in plans if plan["custom_plans"] >= 10]
    assert len(searched) >= 4
    assert [plan["statement"] for plan in searched if plan["generic_plans"]] == []


@pytest.mark.parametrize("filters", [None, SearchFilters(url_prefix="https://example.com/")])
async def test_the_words_index_is_asked_for_every_word_ten_times_on_one_connection(
    settings: Settings, filters: SearchFilters | None
) -> None:
    one = settings.model_copy(update={"DATABASE_POOL_SIZE": 1})
    async with open_embedding(one, command_timeout_seconds=20) as service:
        await fill(service, 30)
        await service.pool.execute("ANALYZE chunk_terms")  # which says that all of it is quickly read
        plans: list[str] = []
        for _ in range(10):
            async with storage.snapshot(service.pool) as connection:
                explaining = Explaining(connection, "chunk_terms")
                scope = Scope(OWNER, ["docs"], service.model, filters)
                found = await matching.matching(
                    explaining, scope, parse_query("text 3 -other"), ["en"], rows=150, limit=100
                )
                plans += explaining.plans
                assert found.candidates
        assert len(plans) >= 20
        for plan in plans:
            scans = [line for line in plan.splitlines() if " on chunk_terms" in line]
            assert scans
            assert "on chunks" not in plan, plan
            assert all("chunk_terms_numbers" in line or "Bitmap Heap Scan" in line for line in scans), plan
            assert "CTE best" not in plan or ("hashed SubPlan" in plan) == (filters is not None), plan


async def test_what_is_shown_is_read_by_each_passages_own_key(service: Embedding) -> None:
    """Lists of documents and of ids side by side are asked for in every pairing: 16 of each in 12 corpora, 3,072 times."""
    corpora = [f"corpus-{number}" for number in range(12)]
    for corpus in corpora:
        await index(service, corpus, f"more of {corpus}", url=f"https://{corpus}.example/", corpus=corpus)
    rows = await service.pool.fetch("SELECT id, document_id FROM chunks ORDER BY id LIMIT 16")
    candidates = [Candidate(row["id"], row["document_id"], 1.0) for row in rows]
    documents, ids = [row["document_id"] for row in rows], [row["id"] for row in rows]
    async with storage.snapshot(service.pool) as connection:
        assert set(await storage.passages(connection, Scope(OWNER, corpora, service.model), candidates)) == set(ids)
        among = matching.AMONG.format(condition="c.numbers && $5::bigint[]")
        for statement, more in ((storage.PASSAGES, ()), (among, ([1],))):
            rows = await connection.fetch(f"EXPLAIN {statement}", OWNER, corpora, documents, ids, *more)
            plan = "\n".join(row[0] for row in rows)
            [condition] = [line for line in plan.splitlines() if "Index Cond" in line and "found.id" in line]
            assert "document_id = found.document_id" in condition, plan


async def test_an_index_is_read_no_further_than_a_scopes_share_of_it_asks_for(service: Embedding) -> None:
    """A segment that has nothing of a corpus would else be read as far as any may be."""
    await fill(service, 10)
    await settle(service)
    said: list[str] = []

    class Noting:
        def __init__(self, connection: Any) -> None:
            self.connection = connection
            self.fetch = connection.fetch

        async def execute(self, statement: str) -> None:
            said.append(statement)
            await self.connection.execute(statement)

    scope, vector = Scope(OWNER, ["docs"], service.model), HalfVector(vector_of("x"))
    async with storage.snapshot(service.pool) as connection:
        for rows in (51, 5, 0):
            found = await storage.nearest(Noting(connection), scope, vector, left=Left(rows), limit=1_000, exact=False)
            assert len(found) == 50
    bounds = [int(statement.rpartition("= ")[2]) for statement in said if "max_scan_tuples" in statement]
    assert bounds == [4 * 1_000, 4 * 1_000 * 51 // 5, storage.MAX_SCAN_TUPLES]


def plans_looked_by(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let words that ten passages have be common, a leg have five passages, and return the plans by which it looks from now on."""
    monkeypatch.setattr(matching, "MAX_CANDIDATES", 10)
    monkeypatch.setattr(ranking, "DEPTH", 5)
    monkeypatch.setattr(searching, "DEPTH", 5)
    plans: list[Any] = []
    asked = matching._Asking.found

    async def found(asking: Any, plan: Any) -> Any:
        plans.append(plan)
        return await asked(asking, plan)

    monkeypatch.setattr(matching._Asking, "found", found)
    return plans


async def test_a_rare_word_beside_common_ones_reads_no_common_ones_matches(
    service: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plans_looked_by(monkeypatch)
    for number in range(8):
        await index(
            service,
            *(f"alpha {number} {part}" for part in range(5)),
            *(f"beta {number} {part}" for part in range(5)),
            f"alpha beta {number}",
            *(["halyard beta"] if number < 2 else []),
            url=f"https://example.com/{number}",
        )
    hits = [hit.text for hit in await find(service, "alpha halyard beta", mode="text", top_k=5, max_per_document=None)]
    assert hits[:2] == ["halyard beta", "halyard beta"]
    assert len(hits) == 5
    assert all(text.startswith("alpha beta") for text in hits[2:]), "then what has both of the others"
    rare, together, *_ = [plan.required for plan in plans]
    assert len(rare) == 1
    assert len(together) == 2
    assert not set(rare[0]) & {number for numbers in together for number in numbers}


async def test_of_many_passages_with_the_same_common_words_a_sample_is_asked_first(
    service: Embedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plans_looked_by(monkeypatch)
    monkeypatch.setattr(matching, "MAX_READ", 2)
    for number in range(8):
        texts = [f"alpha beta {number} {part}" for part in range(40)]
        await index(service, *texts, url=f"https://example.com/{number}", metadata={"half": number % 2})
    keys = [matching.corpus_key(OWNER, "docs")]
    terms = [stem_term("alpha", ["en"]), stem_term("beta", ["en"])]
    whole = {number for term in terms for number in term.numbers(keys)}
    sampled = {number for term in terms for number in term.sampled(keys, SAMPLES[0])}
    for filters, passages in ((None, 320), (SearchFilters(metadata={"half": 1}), 160)):
        scope = Scope(OWNER, ["docs"], service.model, filters)
        for limit, looks in ((2, [sampled]), (100, [sampled, whole])):
            plans.clear()
            async with storage.snapshot(service.pool) as connection:
                query = parse_query("alpha beta")
                found = await matching.matching(connection, scope, query, ["en"], rows=320, limit=limit)
            said = [{number for numbers in plan.required for number in numbers} for plan in plans]
            assert said[: len(looks)] == looks, (
                "an answer needs no more than a sample has, and what is lacking comes from all"
            )
            assert len(found.candidates) == min(limit, passages)


@pytest.mark.parametrize("excluded", ["", " -gamma"])
async def test_a_common_word_alone_reads_first_what_says_it_most_often_and_no_more_than_it_takes(
    service: Embedding, monkeypatch: pytest.MonkeyPatch, excluded: str
) -> None:
    plans_looked_by(monkeypatch)
    often = [f"{'alpha ' * 9}{number}" for number in range(8)]
    sometimes = [f"{'alpha ' * 5}{number}" for number in range(8)]
    await index(service, f"{'alpha ' * 9} gamma", *often, *sometimes, *(f"alpha {number}" for number in range(40)))
    scope = Scope(OWNER, ["docs"], service.model)
    async with storage.snapshot(service.pool) as connection:
        explaining = Explaining(connection, "WITH", analyze=True)
        query = parse_query(f"alpha{excluded}")
        found = await matching.matching(explaining, scope, query, ["en"], rows=57, limit=3)
        shown = await storage.passages(connection, scope, found.candidates)
    texts = [shown[one.id]["text"] for one in found.candidates]
    assert [text.count("alpha") for text in texts] == [9, 9, 9]
    assert any("gamma" in text for text in texts) is not bool(excluded)
    [plan] = explaining.plans
    scans = [line for line in plan.splitlines() if "Bitmap Heap Scan on chunk_terms" in line]
    assert ["never executed" in line for line in scans] == [False, False, True, True, True], plan


@pytest.mark.parametrize("narrow", [True, False])
async def test_what_an_index_hands_out_is_filtered_by_what_is_less_to_do(service: Embedding, narrow: bool) -> None:
    await fill(service, 30)
    await settle(service)
    filters = SearchFilters(metadata={"number": 7}) if narrow else SearchFilters(language="en")
    scope, vector = Scope(OWNER, ["docs"], service.model, filters), HalfVector(vector_of("text 7 2"))
    async with storage.snapshot(service.pool) as connection:
        left = await storage.count_left(connection, scope, 151)
        assert left == ((5, 1) if narrow else (150, 30))
        explaining = Explaining(connection, "<=>")
        found = await storage.nearest(explaining, scope, vector, left=left, limit=5, exact=False)
        shown = await storage.passages(connection, scope, found)
    assert len(found) == 5
    assert shown[found[0].id]["text"] == "text 7 2"
    [plan] = explaining.plans
    assert ("SubPlan" in plan) is narrow, plan


async def test_a_phrase_that_is_left_out_is_looked_for_in_the_texts_of_what_has_its_words(service: Embedding) -> None:
    """Else an owner's every text may be read, since that is one scan for all."""
    await fill(service, 30)
    await service.pool.execute("ANALYZE chunks, chunk_terms")
    async with storage.snapshot(service.pool) as connection:
        explaining = Explaining(connection, "chunk_terms")
        query = parse_query('text 3 -"text 3 4"')
        scope = Scope(OWNER, ["docs"], service.model)
        found = await matching.matching(explaining, scope, query, ["en"], rows=150, limit=100)
        assert found.candidates
    plans = [plan for plan in explaining.plans if "CTE best" in plan]
    assert plans
    for plan in plans:
        assert "hashed SubPlan" not in plan, plan
        assert "Seq Scan on chunks" not in plan, plan
        assert "chunks.id = c.id" in plan or "id = c.id" in plan, plan
