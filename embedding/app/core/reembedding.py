"""Changing corpora to another model while they answer: vectors beside the old ones, then one by one the change.

What is done is in the database and nowhere else: a pass embeds the chunks that have no vector of the model, so one that was ended
goes on where it was. A corpus answers from its old vectors until it has all the new ones, their index is built and its search finds
what a comparison of every row finds; then one row changes. The old vectors stay until they are dropped, so the way back is the same.
"""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from pgvector import HalfVector

from app.core.errors import (
    ChangeUnderWayError,
    EndpointRateLimitedError,
    EndpointUnavailableError,
    ModelNotServedError,
    ModelStillAnswersError,
    PoorRecallError,
)
from app.core.logic import execute_search
from app.core.meaning import passage_vectors, path_of
from app.core.ranking import DEPTH
from app.core.searching import nearest_in
from app.core.service import Embedding, Served
from app.core.settling import Settling
from app.core.storage import reembedding as storage
from app.core.storage.pool import alone
from app.core.storage.reembedding import Changing, Text
from app.core.storage.search import Scope, snapshot
from app.core.storage.segments import moving
from ml_shared.contracts.embedding import SearchMode, SearchRequest

TEXTS_AT_ONCE: Final = 256
# of which nothing is kept when the pass ends meanwhile; about four calls to the endpoint
LAST_TEXTS: Final = 64
LAST_SECONDS: Final = 5.0
# what a corpus' writers may have to wait for
MIN_RECALL: Final = 0.95
SAMPLED: Final = 50
COMPARED: Final = 10
# of each sampled vector's nearest, how many both find
PROBES: Final = 20
SLOWER: Final = 1.5
# a search's p95 beside this, as a multiple of what it was before
FASTEST_SECONDS: Final = 0.01
# below this a search is not slow, whatever it was before
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 0.1, 10.0
EVERY_ROW: Final = 10**9


@dataclass
class Pacer:
    """Rests between two steps for so long that searches meanwhile are not much slower than before.

    Parameters
    ----------
    probe
        A search, which returns the seconds that it took.
    sleep
        As `asyncio.sleep`.
    """

    probe: Callable[[], Awaitable[float]]
    sleep: Callable[[float], Awaitable[None]]
    rest_seconds: float = 0.0
    _allowed_seconds: float = 0.0
    _taken: deque[float] = field(default_factory=lambda: deque(maxlen=PROBES))

    async def begin(self) -> None:
        """Look how long a search takes while nothing is done."""
        before = [await self.probe() for _ in range(PROBES)]
        self._allowed_seconds = SLOWER * max(p95(before), FASTEST_SECONDS)

    async def rest(self) -> None:
        """Rest, longer if searches have become slow and shorter if not."""
        self._taken.append(await self.probe())
        if p95(self._taken) > self._allowed_seconds:
            self.rest_seconds = min(max(2 * self.rest_seconds, FIRST_REST_SECONDS), LONGEST_REST_SECONDS)
            self._taken.clear()  # what was before this rest says nothing of it
        else:
            self.rest_seconds /= 2
        if self.rest_seconds > FIRST_REST_SECONDS / 10:
            await self.sleep(self.rest_seconds)


def p95(times: Sequence[float] | deque[float]) -> float:
    """Return what nineteen of twenty times are not above; of few times, the longest."""
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]


@dataclass(frozen=True, slots=True)
class Planned:
    """What changing a corpus takes."""

    corpus: Changing
    chunks: int
    tokens: int
    too_long: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of corpora to a model that is served."""

    service: Embedding
    served: Served
    owner: str | None = None
    corpus: str | None = None
    min_recall: float = MIN_RECALL
    switch: bool = True
    sleep: Callable[[float], Awaitable[None]] | None = None
    tell: Callable[[str], None] = print

    @classmethod
    def to(cls, service: Embedding, model: str, **options: object) -> "Change":
        """Return the change to a model.

        Raises
        ------
        ModelNotServedError
            If the settings name no such model.
        """
        served = service.serving(model)
        if served.model.name != model:
            raise ModelNotServedError(
                f"the settings name no model {model!r}: set EMBEDDING_NEXT_MODEL, and its address, on the API and the worker"
            )
        return cls(service, served, **options)  # type: ignore[arg-type]

    async def plan(self) -> list[Planned]:
        """Return what there is to do; nothing is done."""
        planned = []
        for corpus in await self._corpora():
            lacking = await storage.count_lacking(
                self.service.pool, corpus, self.served.model, self.served.settings.EMBEDDING_MAX_TOKENS
            )
            planned.append(Planned(corpus, lacking.chunks, lacking.tokens, lacking.too_long))
        return planned

    async def run(self) -> bool:
        """Change the corpora, an owner's after another's; return whether all could be.

        Raises
        ------
        EndpointUnavailableError
            If the model's endpoint stays away: what is done stays done.
        """
        async with alone(self.service.settings.DATABASE_URL, storage.CHANGING, {}) as held:
            if held is None:
                self.tell("another process is at it")
                return False
            return await self.carry_out()

    async def carry_out(self) -> bool:
        """As `run`, for whoever holds the lock."""
        left: set[tuple[str, str]] = set()
        made: set[tuple[str, str]] = set()
        # a corpus may have come since, and one that was not ready is looked at again
        while corpora := [one for one in await self._corpora() if (one.owner, one.name) not in left | made]:
            for owner, theirs in groupby(corpora, key=lambda corpus: corpus.owner):
                left |= await self._owner(owner, list(theirs))
                made |= set() if self.switch else {(one.owner, one.name) for one in corpora if one.owner == owner}
        return not left

    async def drop(self) -> int:
        """Delete what the model made, with its indexes, and return how many vectors that were.

        Raises
        ------
        ChangeUnderWayError
            If another process changes corpora, which may be to this very model.
        ModelStillAnswersError
            If a corpus answers from it, or one came meanwhile that does: that one's vectors stay.
        """
        async with alone(self.service.settings.DATABASE_URL, storage.CHANGING, {}) as held:
            if held is None:
                raise ChangeUnderWayError("another process changes corpora to a model; wait for it")
            return await self._drop()

    async def _drop(self) -> int:
        pool, model = self.service.pool, self.served.model
        if count := await storage.answering(pool, model):
            raise ModelStillAnswersError(f"{count} corpora answer from {model.name}; change them first")
        await storage.retire_indexes(pool, model)
        async with moving(self.service.settings.DATABASE_URL, workers=0) as mover:
            if mover is not None:  # else whoever is at it drops the indexes
                await mover.clear_up()
        dropped = 0
        while some := await storage.drop_some(pool, model):
            dropped += some
        if count := await storage.answering(pool, model):
            raise ModelStillAnswersError(
                f"{count} corpora came meanwhile that answer from {model.name}; their vectors are kept"
            )
        await storage.forget_switches(pool)
        return dropped

    async def forget(self) -> bool:
        """As `drop`, for whoever holds the lock, and tell how many."""
        self.tell(f"{await self._drop()} vectors of {self.served.model.name} deleted")
        return True

    async def _corpora(self) -> list[Changing]:
        return await storage.changing(self.service.pool, self.served.model, self.owner, self.corpus)

    async def _owner(self, owner: str, corpora: list[Changing]) -> set[tuple[str, str]]:
        """Change an owner's corpora, and return those that could not be."""
        pool, model = self.service.pool, self.served.model
        pacer = await self._pacer(corpora[0])
        ready, left = [], set()
        for corpus in corpora:
            lacking = await storage.count_lacking(pool, corpus, model, self.served.settings.EMBEDDING_MAX_TOKENS)
            if lacking.too_long:
                self._say(corpus, f"left: {lacking.too_long} chunks have more tokens than {model.name} takes")
                left.add((owner, corpus.name))
                continue
            await self._embed(corpus, pacer)
            ready.append(corpus)
        # the index is built once, over all that came
        settings = self.service.settings
        if ready and await storage.count_vectors(pool, owner, [one.name for one in ready], model):
            mover = Settling(settings.DATABASE_URL, pool, settings.EXACT_SEARCH_MAX_ROWS, settings.VECTOR_INDEX_WORKERS)
            await mover.settle(owner, model)
        for corpus in ready:
            try:
                await self._check_recall(corpus)
            except PoorRecallError as error:
                self._say(corpus, f"left: {error.detail}")
                left.add((owner, corpus.name))
                continue
            if not self.switch:
                self._say(corpus, f"has its vectors of {model.name}")
                continue
            while not await self._switch(corpus):
                await self._embed(corpus, pacer)  # what was written meanwhile
            self._say(corpus, f"answers from {model.name}")
        return left

    async def _embed(self, corpus: Changing, pacer: Pacer) -> None:
        pool, model = self.service.pool, self.served.model
        after = storage.FIRST
        embedded = 0
        began = time.monotonic()
        while texts := await storage.next_lacking(pool, corpus, model, after, TEXTS_AT_ONCE):
            vectors = await self._vectors(texts, pacer)
            await storage.add_vectors(pool, corpus, model, texts, vectors)
            after = (texts[-1].document_id, texts[-1].id)
            embedded += len(texts)
            await pacer.rest()
        if embedded:
            self._say(corpus, f"{embedded} chunks embedded in {time.monotonic() - began:.0f} s")

    async def _vectors(self, texts: Sequence[Text], pacer: Pacer) -> list[HalfVector]:
        for rest_seconds in (1.0, LONGEST_REST_SECONDS, None):
            try:
                return await self._made(texts)
            except (EndpointRateLimitedError, EndpointUnavailableError):
                if rest_seconds is None:
                    raise
                await pacer.sleep(rest_seconds)
        raise AssertionError

    async def _made(self, texts: Sequence[Text]) -> list[HalfVector]:
        return await passage_vectors(
            self.served.endpoint,
            self.served.settings.EMBEDDING_PASSAGE_PREFIX,
            [text.text for text in texts],
            [path_of(text.heading_path, text.context) for text in texts],
        )

    async def _switch(self, corpus: Changing) -> bool:
        async def embed(texts: Sequence[Text]) -> list[HalfVector]:
            try:
                async with asyncio.timeout(LAST_SECONDS):
                    return await self._made(texts)
            except TimeoutError as error:
                raise EndpointUnavailableError(f"no answer within {LAST_SECONDS} s") from error

        try:
            return await storage.switch(
                self.service.pool,
                corpus,
                self.served.model,
                embed,
                LAST_TEXTS,
                prefix=self.served.settings.EMBEDDING_PASSAGE_PREFIX,
            )
        except (EndpointRateLimitedError, EndpointUnavailableError):
            return False

    async def _check_recall(self, corpus: Changing) -> None:
        """Compare what a search will find with what is nearest of all.

        Raises
        ------
        PoorRecallError
            If it finds too little of it.
        """
        pool, model = self.service.pool, self.served.model
        scope = Scope(corpus.owner, [corpus.name], model)
        shares = []
        for vector in await storage.sample(pool, corpus, model, SAMPLED):
            found = []
            for exact_max_rows in (self.service.settings.EXACT_SEARCH_MAX_ROWS, EVERY_ROW):
                async with snapshot(pool) as connection:
                    nearest = await nearest_in(
                        connection, scope, vector, rows=corpus.chunks, exact_max_rows=exact_max_rows
                    )
                found.append([one.id for one in nearest[: min(COMPARED, DEPTH)]])
            shares.append(len(set(found[0]) & set(found[1])) / len(found[1]))
        recall = statistics.mean(shares) if shares else 1.0
        if recall < self.min_recall:
            raise PoorRecallError(
                f"a search would find {recall:.3f} of what is nearest, and {self.min_recall} is asked for"
            )
        self._say(corpus, f"recall@{COMPARED} {recall:.3f}")

    async def _pacer(self, corpus: Changing) -> Pacer:
        async def probe() -> float:
            request = SearchRequest(
                query="how long does this take", corpus_name=corpus.name, mode=SearchMode.VECTOR, rerank=False
            )
            began = time.monotonic()
            await execute_search(self.service, corpus.owner, request)
            return time.monotonic() - began

        pacer = Pacer(probe, self.sleep or asyncio.sleep)
        await pacer.begin()
        return pacer

    def _say(self, corpus: Changing, what: str) -> None:
        self.tell(f"{corpus.owner} {corpus.name}: {what}")
