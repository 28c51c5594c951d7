"""The order of an answer: what the legs find, at most so many of a document, as far as somebody reads.

It is made from its beginning, as long as it takes to fill what is asked, and nothing in it depends on how much that is. So a page is
where it would be in a longer answer, and pages follow one another as long as nobody writes.

A look finds as many chunks as the legs go deep. Where that is too little, because it was one large document's or pages go further,
the next look passes over documents that have all their places, and chunks that were seen.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from app.core.answers.look import Look
from app.core.answers.several import Ranked, Said, together
from app.core.ranking import DEPTH, Candidate, Leg
from app.core.searching import Query, candidates
from app.core.storage.search import Passed, Scope

MAX_LOOKS: Final = 12
# each is a search of its own


@dataclass
class Order:
    """An answer's order, made while it is read.

    Parameters
    ----------
    rows
        How many chunks the corpora hold, all in all.
    per_document
        Most chunks of one document; `None` for any number.
    min_score
        What a chunk needs in a query's own order.
    seconds
        Where the steps' times are added up.

    Attributes
    ----------
    first
        What the first look found.
    incomplete
        Whether it ended although there may be more.
    bounded
        Whether more passages have the words of a phrase than were looked at.
    """

    scope: Scope
    queries: Sequence[Query]
    rows: int
    exact_max_rows: int
    per_document: int | None
    min_score: float | None
    seconds: dict[str, float]
    first: list[Ranked] = field(default_factory=list)
    incomplete: bool = False
    bounded: bool = False
    _whole: bool = False
    _lowest: float | None = None
    _taken: Counter[UUID] = field(default_factory=Counter)
    _seen: dict[int, UUID] = field(default_factory=dict)

    async def begin(self, connection: Any) -> None:
        """Look for the first time."""
        self.first = await self._look(connection, 0)

    def put_first(self, best: Sequence[Ranked]) -> None:
        """Have these come first, in this order."""
        ids = {ranked.candidate.id for ranked in best}
        self.first = [*best, *(ranked for ranked in self.first if ranked.candidate.id not in ids)]

    async def read(self, connection: Any, count: int) -> list[Ranked]:
        """Return the first so many, fewer only if there are no more."""
        read: list[Ranked] = []
        async with aclosing(self._all(connection)) as order:
            async for ranked in order:
                read.append(ranked)
                if len(read) == count:
                    break
        return read

    async def _all(self, connection: Any) -> AsyncGenerator[Ranked, None]:
        found = self.first
        for number in range(1, MAX_LOOKS + 1):
            for ranked in found:
                document = ranked.candidate.document_id
                if self.per_document is None or self._taken[document] < self.per_document:
                    self._taken[document] += 1
                    yield ranked
            if self._whole:
                return
            if number < MAX_LOOKS:
                found = await self._look(connection, number)
        self.incomplete = True

    async def _look(self, connection: Any, number: int) -> list[Ranked]:
        scope = replace(self.scope, passed=self._passed())
        found: list[list[Candidate]] = []
        queries: list[Query] = []
        whole = True
        for query in self.queries:
            look = Look(seconds=self.seconds)
            by_query = await candidates(
                connection, scope, query, look, rows=self.rows, exact_max_rows=self.exact_max_rows
            )
            queries.append(query.after(look))
            self.bounded = self.bounded or look.bounded
            enough = [one for one in by_query if self.min_score is None or one.score >= self.min_score]
            found.append(enough)
            # what comes after too little has even less
            whole = whole and (look.whole or len(enough) < len(by_query))
            self._seen.update((candidate.id, candidate.document_id) for candidate in look.seen.values())
        self.queries = queries
        self._whole = whole
        return [self._behind(ranked, number) for ranked in together(found)]

    def _passed(self) -> Passed:
        given = self.scope.passed
        full = {document for document, taken in self._taken.items() if taken == self.per_document}
        seen = {chunk for chunk, document in self._seen.items() if document not in full}
        return Passed(given.documents | full, given.chunks | seen)

    def _behind(self, ranked: Ranked, number: int) -> Ranked:
        """Return a chunk of a further look with a score and ranks that are not above what came before."""
        if not number:
            self._lowest = ranked.score
            return ranked
        score = ranked.score if self._lowest is None else min(ranked.score, self._lowest)
        self._lowest = score
        said = tuple(_later(one, number) for one in ranked.said)
        return Ranked(said[0].candidate._replace(score=score), said)


def _later(said: Said, looks: int) -> Said:
    past = looks * DEPTH
    vector, text = (
        None if place is None else Leg(place.rank + past, place.score)
        for place in (said.candidate.vector, said.candidate.text)
    )
    return Said(said.query, said.rank + past, said.candidate._replace(vector=vector, text=text))
