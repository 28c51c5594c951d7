"""Client of a reranker: any server with a `/rerank` route as Jina, Cohere and vLLM have it, or text-embeddings-inference.

The first three take `documents` and answer `{"results": [{"index", "relevance_score"}]}`; the last takes `texts` and answers a bare
list of `{"index", "score"}`. Which one it is, its first refusal tells: it names the field that it lacks.

References: jina.ai/reranker, docs.cohere.com/reference/rerank, docs.vllm.ai (Re-rank API),
huggingface.github.io/text-embeddings-inference.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, Self

import orjson

from app.config import Settings
from app.core.errors import RerankError
from app.core.metrics import FAILED, RERANK_SECONDS, RERANKS, SUCCESS
from ml_shared.errors import ServiceError
from ml_shared.names import Operation, RequestMode
from ml_shared.shares import Places
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span
from ml_shared.web.wire import ExchangeError, Reply, Timeouts, Wire

logger = logging.getLogger(__name__)

RERANK_SPAN: Final = "search.rerank"
PATH: Final = "/rerank"
CONNECTIONS: Final = 16
CALLERS_SHARE: Final = 4
# one caller has at most a quarter of them
MOST_WAITING: Final = 64
IDLE_SECONDS: Final = 30.0
ANSWER_MAX_BYTES: Final = 2**20
# some servers repeat the texts, which are not asked for
REST_SECONDS: Final = 5.0
# after a failure nothing is asked for so long: searches would else each wait for a server that hangs
_REFUSED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})


class Reranker:
    """Scores passages by a query. One a process; made by `open`."""

    def __init__(self, wire: Wire, settings: Settings, places: Places) -> None:
        self._wire = wire
        self._places = places
        self._model = settings.RERANK_MODEL
        self._batch_size = settings.RERANK_BATCH_SIZE
        self._seconds = settings.RERANK_TIMEOUT_SECONDS
        self._takes_texts = False
        self._rests_until = 0.0

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self | None]:
        """Open a pooled client on the running loop; `None` if no reranker is configured."""
        if not settings.RERANK_API_BASE_URL:
            yield None
            return
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        key = settings.RERANK_API_KEY.get_secret_value() if settings.RERANK_API_KEY is not None else ""
        if key:
            headers["Authorization"] = f"Bearer {key}"
        places = Places(
            "calls to the reranker",
            CONNECTIONS,
            share=CONNECTIONS // CALLERS_SHARE,
            waiting=MOST_WAITING,
            wait_seconds=settings.RERANK_TIMEOUT_SECONDS,
        )
        async with (
            Wire.open(
                settings.RERANK_API_BASE_URL, headers, connections=CONNECTIONS, idle_seconds=IDLE_SECONDS
            ) as wire,
            places.opened(),
        ):
            yield cls(wire, settings, places)

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers a query, by the server's own scale.

        Raises
        ------
        RerankError
            If there is no usable answer in time.
        """
        known: dict[str, Value] = {
            attributes.JOB_STAGE: attributes.JobStage.READ,
            attributes.OPERATION: Operation.READ.value,
            attributes.REQUEST_MODE: RequestMode.SYNC.value,
        }
        outcome = FAILED
        try:
            with work_span(RERANK_SPAN, attributes=known), RERANK_SECONDS.time():
                scores = await self._in_time(query, texts)
            outcome = SUCCESS
            return scores
        finally:
            RERANKS[outcome].inc()

    async def _in_time(self, query: str, texts: Sequence[str]) -> list[float]:
        if time.monotonic() < self._rests_until:
            raise RerankError("the reranker failed a moment ago and is left alone for some seconds")
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return await self._all(query, texts)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise self._failed(f"did not answer within {self._seconds:g} s") from error
        except ExchangeError as error:
            raise self._failed(f"did not answer ({error.loss})") from error
        except RerankError:
            self._rest()
            raise
        except ServiceError as error:  # no place among the calls: the server is not to blame
            raise RerankError(error.detail) from error

    async def _all(self, query: str, texts: Sequence[str]) -> list[float]:
        first, *others = [texts[start : start + self._batch_size] for start in range(0, len(texts), self._batch_size)]
        scores = [await self._batch(query, first)]  # by itself: it tells which shape the server takes
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._batch(query, batch)) for batch in others]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [score for part in (*scores, *(task.result() for task in tasks)) for score in part]

    async def _batch(self, query: str, texts: Sequence[str]) -> list[float]:
        reply = await self._ask(query, texts, as_texts=self._takes_texts)
        if reply.status in _REFUSED and not self._takes_texts and b"texts" in reply.body:
            reply = await self._ask(query, texts, as_texts=True)
            self._takes_texts = reply.status == HTTPStatus.OK
        if reply.status != HTTPStatus.OK:
            raise RerankError(f"the reranker answered {reply.status}")
        return scores_of(reply.body, len(texts))

    async def _ask(self, query: str, texts: Sequence[str], *, as_texts: bool) -> Reply:
        body: dict[str, Any]
        if as_texts:
            body = {"query": query, "texts": texts, "raw_scores": False, "return_text": False, "truncate": True}
        else:
            body = {"model": self._model, "query": query, "documents": texts, "top_n": len(texts)}
        async with self._places.taken():
            return await self._wire.exchange(
                "POST",
                PATH,
                Timeouts(self._seconds, math.inf),
                content=orjson.dumps(body),
                max_bytes=ANSWER_MAX_BYTES,
            )

    def _failed(self, how: str) -> RerankError:
        self._rest()
        return RerankError(f"the reranker {how}")

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + REST_SECONDS
        logger.warning("rerank_failed", extra={"rests_seconds": REST_SECONDS})


def scores_of(answer: bytes, count: int) -> list[float]:
    """Return an answer's scores in the order of the texts.

    Raises
    ------
    RerankError
        If there is not one finite score for each.
    """
    try:
        items = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise RerankError("the reranker's answer is not JSON") from error
    if isinstance(items, dict):
        items = items.get("results")
    scores: dict[int, float] = {}
    for item in items if isinstance(items, list) else ():
        index, score = _scored(item)
        if not 0 <= index < count or index in scores or not math.isfinite(score):
            raise RerankError("the reranker's answer has a score that is of no text, or is no number")
        scores[index] = score
    if len(scores) != count:
        raise RerankError(f"the reranker's answer has {len(scores)} scores for {count} texts")
    return [scores[index] for index in range(count)]


def _scored(item: Any) -> tuple[int, float]:
    if isinstance(item, dict):
        index, score = item.get("index"), item.get("relevance_score", item.get("score"))
        if type(index) is int and isinstance(score, int | float) and not isinstance(score, bool):
            return index, float(score)
    return -1, math.nan
