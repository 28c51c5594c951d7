"""A search's answer: one page of its order, with what was asked of each passage."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from app.core.answers.facets import count_values
from app.core.answers.highlights import Highlighter
from app.core.answers.look import Look
from app.core.answers.order import Order
from app.core.answers.questions import Questions
from app.core.answers.reranker import Reranker
from app.core.answers.several import Ranked
from app.core.answers.surroundings import Shown, around
from app.core.errors import RerankError
from app.core.metrics import SEARCH_SECONDS
from app.core.ranking import Candidate
from app.core.ranking import Leg as Place
from app.core.storage import search as storage
from app.core.storage.matching import MAX_PHRASED
from app.core.storage.reading import read_metadata
from ml_shared.contracts.answers import Facet, Leg, QueryWhy, SearchWarning, Surroundings, Why
from ml_shared.contracts.embedding import MAX_RESULTS, SearchHit, SearchRequest
from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span

SEARCH_SPAN: Final = "search.query"
DATABASE: Final = "database"
# the step that all others but the reranker's and the endpoint's are part of


@dataclass
class Answer:
    """A page of results."""

    results: list[SearchHit]
    next_offset: int | None
    facets: dict[str, Facet] | None


@dataclass
class Answering:
    """Answers one request.

    Parameters
    ----------
    rows
        How many chunks the corpora hold, all in all.
    languages
        Theirs.
    exact_max_rows
        Up to this many chunks, after the filters, are compared one by one.
    seconds
        Where the steps' times are added up.
    reranker
        Which is to order the best; `None` for none.
    """

    pool: asyncpg.Pool
    request: SearchRequest
    questions: Questions
    rows: int
    languages: Sequence[str]
    exact_max_rows: int
    seconds: dict[str, float]
    reranker: Reranker | None
    rerank_top: int

    async def answer(self) -> Answer:
        """Return the page that was asked for."""
        request, scope = self.request, self.questions.scope
        order = Order(
            scope,
            self.questions.queries,
            self.rows,
            self.exact_max_rows,
            request.max_per_document,
            request.min_score,
            self.seconds,
        )
        known: dict[str, Value] = {
            attributes.JOB_STAGE: attributes.JobStage.READ,
            attributes.OPERATION: Operation.READ.value,
            attributes.REQUEST_MODE: RequestMode.SYNC.value,
            attributes.CORPUS_NAME: ",".join(scope.corpora),
            attributes.EMBEDDING_MODEL: scope.model.name,
            attributes.SEARCH_TOP_K: request.top_k,
            attributes.SEARCH_MODE: self.questions.mode.value,
        }
        # no more than so many are reordered, so a later page is the same without
        reranked = self.reranker is not None and request.offset < self.rerank_top
        with work_span(SEARCH_SPAN, attributes=known):
            try:
                async with self._looking() as connection:
                    await order.begin(connection)
                    if not reranked or not order.first:
                        return await self._page(connection, order)
                    best = order.first[: self.rerank_top]
                    shown = await storage.passages(connection, scope, [one.candidate for one in best])
                # no connection is held while somebody else computes
                order.put_first(await self._reranked(best, shown))
                async with self._looking() as connection:
                    return await self._page(connection, order)
            finally:
                SEARCH_SECONDS[self.questions.mode].observe(self.seconds.pop(DATABASE, 0))

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[Any]:
        with Look(self.seconds).timed(DATABASE):
            async with storage.snapshot(self.pool) as connection:
                yield connection

    async def _reranked(self, best: Sequence[Ranked], shown: dict[int, dict[str, Any]]) -> list[Ranked]:
        there = [one for one in best if one.candidate.id in shown]
        assert self.reranker is not None  # noqa: S101 - else nobody asks
        try:
            with Look(self.seconds).timed("rerank"):
                scores = await self.reranker.scores(
                    "\n".join(self.questions.texts), [shown[one.candidate.id]["text"] for one in there]
                )
        except RerankError as error:
            self.questions.warnings.append(
                SearchWarning(code=error.code, message=f"{error.detail}; the order is that without it")
            )
            return list(best)
        by_score = sorted(zip(scores, there, strict=True), key=lambda pair: -pair[0])
        return [one._replace(rerank=Place(rank, score)) for rank, (score, one) in enumerate(by_score, start=1)]

    async def _page(self, connection: Any, order: Order) -> Answer:
        request, scope = self.request, self.questions.scope
        wanted = min(request.offset + request.top_k, MAX_RESULTS)
        read = await order.read(connection, wanted + 1)
        if order.incomplete:
            self.questions.warnings.append(
                SearchWarning(
                    code="results_incomplete",
                    message="the passages found are nearly all of few documents; raise max_per_document, or narrow the search",
                )
            )
        if order.bounded:
            self.questions.warnings.append(
                SearchWarning(
                    code="results_incomplete",
                    message=f"over {MAX_PHRASED:,} passages have all words of the phrase, and it was not looked for in the others; "
                    "add a rarer word to it, or narrow the search",
                )
            )
        page = read[request.offset : wanted]
        shown = await storage.passages(connection, scope, [one.candidate for one in page]) if page else {}
        page = [one for one in page if one.candidate.id in shown]
        passages = [shown[one.candidate.id] for one in page]
        surroundings: Sequence[Shown | None] = [None] * len(page)
        if request.context and page:
            places = [(passage["document_id"], passage["chunk_index"]) for passage in passages]
            surroundings = await around(connection, scope, places, request.context)
        highlighter = Highlighter(self.questions.parsed, self.languages) if request.highlights else None
        results = []
        for one, passage, surrounding in zip(page, passages, surroundings, strict=True):
            results.append(self._hit(one, passage, surrounding, highlighter))
            if highlighter is not None:  # some milliseconds for a long text, and there may be a hundred
                await asyncio.sleep(0)
        following = wanted if len(read) > wanted and wanted < MAX_RESULTS else None
        return Answer(results, following, await self._facets(connection, order))

    async def _facets(self, connection: Any, order: Order) -> dict[str, Facet] | None:
        keys = list(dict.fromkeys(self.request.facets or ()))
        if not keys:
            return None
        documents = {ranked.candidate.document_id for ranked in order.first}
        return count_values(keys, await read_metadata(connection, self.questions.scope, documents, keys))

    def _hit(
        self, ranked: Ranked, passage: dict[str, Any], shown: Shown | None, highlighter: Highlighter | None
    ) -> SearchHit:
        asked: dict[str, Any] = {}
        if passage["context"] is not None:
            asked["table_header"] = passage["context"]
        if ranked.rerank is not None:
            asked["rerank_score"] = ranked.rerank.score
        if highlighter is not None:
            asked["highlights"] = highlighter.places(passage["text"])
        if shown is not None and shown.around is not None:
            asked["context"] = _surroundings(shown, highlighter)
        elif shown is not None:
            asked["context_of"] = shown.by
        if self.request.explain:
            asked["why"] = _why(ranked, several=len(self.questions.queries) > 1)
        return SearchHit(
            score=round(ranked.score, 6),
            text=passage["text"],
            url=passage["url"],
            title=passage["title"],
            heading_path=passage["heading_path"],
            start=passage["start_offset"],
            end=passage["end_offset"],
            document_id=str(passage["document_id"]),
            chunk_index=passage["chunk_index"],
            corpus_name=passage["corpus"],
            trace_id=passage["trace_id"],
            metadata=passage["metadata"],
            **asked,
        )


def _surroundings(shown: Shown, highlighter: Highlighter | None) -> Surroundings | None:
    text = shown.around
    if text is None:
        return None
    told = {} if highlighter is None else {"highlights": highlighter.places(text.text)}
    return Surroundings(
        text=text.text,
        start=text.start,
        end=text.end,
        first_chunk=text.first,
        last_chunk=text.last,
        cut=text.cut,
        **told,
    )


def _why(ranked: Ranked, *, several: bool) -> Why:
    told: dict[str, Any] = {}
    if ranked.rerank is not None:
        told["rerank"] = Leg(rank=ranked.rerank.rank, score=ranked.rerank.score)
    if several:
        told["queries"] = [
            QueryWhy(query=said.query, rank=said.rank, score=said.candidate.score, **_legs(said.candidate))
            for said in ranked.said
        ]
        return Why(**told)
    return Why(**told, **_legs(ranked.candidate))


def _legs(candidate: Candidate) -> dict[str, Leg]:
    places = {"vector": candidate.vector, "text": candidate.text}
    return {leg: Leg(rank=place.rank, score=place.score) for leg, place in places.items() if place is not None}
