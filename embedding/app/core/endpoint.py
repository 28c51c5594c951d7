"""Client of the OpenAI-compatible embedding endpoint: base64, over connections that are kept (a tenth of the openai package's CPU)."""

import asyncio
import logging
import math
import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import numpy as np
import orjson

from app.config import Settings
from app.core.batching import batches, estimated_tokens
from app.core.errors import (
    EndpointAnswerError,
    EndpointRateLimitedError,
    EndpointUnavailableError,
    InputTooLongError,
)
from app.core.metrics import (
    ENDPOINT_TEXTS,
    ENDPOINT_TOKENS,
    IN_FLIGHT,
    IN_FLIGHT_LIMIT,
    TRUNCATIONS,
    batch_counted,
)
from app.core.vectors import Vectors, parse_vectors
from ml_shared.names import Operation, RequestMode, Stage
from ml_shared.shares import Places
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span
from ml_shared.web.wire import ExchangeError, Reply, Timeouts, Wire

logger = logging.getLogger(__name__)

BATCH_SPAN = "embed.batch"
ATTEMPTS = 3
# a restart of one replica behind the endpoint's balancer is survived; more is the orchestrator's or the caller's to do
BACKOFF_SECONDS = 0.25
MAX_WAIT_SECONDS = 3.0
# a worker's slot does not sleep longer; a later Retry-After is passed on
CONNECT_TIMEOUT_SECONDS = 5.0
IDLE_SECONDS = 30.0
# how long a connection is kept that nothing goes over
ANSWER_MAX_BYTES_A_NUMBER = 32
ANSWER_SLACK_BYTES = 2**20
# of an answer: a vector's numbers as text are the longest form, and a refusal may quote what it was sent
REFUSAL_MAX_BYTES = 65_536
# of one that is read for its reason
REQUESTS_AT_ONCE = 8
# of one process that have all their calls in flight: a search's one text does not wait behind a document's batches
CALLERS_SHARE = 4
# One caller has at most a quarter of an API process' calls. A worker's child has calls of its own, for one task
MOST_WAITING = 256
# calls of one caller that wait for one of those
_ABOUT_LENGTH = re.compile(r"\btokens?\b|context length|too long|input length", re.IGNORECASE)
_ABOUT_CUTTING = re.compile(r"\b(was|were|been|inputs?) (truncated|cut)\b", re.IGNORECASE)
# what was done, not what could be asked for: vLLM's refusals name an option for it


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors in the order of the texts, and the tokens that the endpoint counted."""

    vectors: Vectors
    tokens: int


class EmbeddingEndpoint:
    """Turns texts into vectors. One a process; made by `open`."""

    def __init__(self, wire: Wire, settings: Settings, places: Places) -> None:
        self._wire = wire
        self._places = places
        self._model = settings.EMBEDDING_MODEL
        self._dimensions = settings.EMBEDDING_DIMENSIONS
        self._batch_size = settings.EMBEDDING_BATCH_SIZE
        self._batch_tokens = settings.EMBEDDING_BATCH_TOKENS
        self._concurrency = settings.EMBEDDING_CONCURRENCY
        self._timeouts = Timeouts(settings.EMBEDDING_TIMEOUT_SECONDS, math.inf, CONNECT_TIMEOUT_SECONDS)
        self._answer_max_bytes = ANSWER_SLACK_BYTES + self._batch_size * self._dimensions * ANSWER_MAX_BYTES_A_NUMBER

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, requests_at_once: int = REQUESTS_AT_ONCE) -> AsyncIterator[Self]:
        """Open a pooled client on the running loop.

        Parameters
        ----------
        requests_at_once
            How many requests, or documents, may have all their calls in flight; what is beyond waits.
        """
        slots = settings.EMBEDDING_CONCURRENCY * requests_at_once
        headers = {
            "Authorization": f"Bearer {settings.EMBEDDING_API_KEY.get_secret_value()}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        url = settings.EMBEDDING_API_BASE_URL
        async with Wire.open(url, headers, connections=slots, idle_seconds=IDLE_SECONDS) as wire:
            places = Places(
                "calls to the embedding endpoint",
                slots,
                share=slots // CALLERS_SHARE,
                waiting=MOST_WAITING,
                wait_seconds=settings.EMBEDDING_TIMEOUT_SECONDS,
                instead="send fewer at once, or use POST /enqueue",
            )
            IN_FLIGHT_LIMIT.inc(slots)
            try:
                async with places.opened():
                    yield cls(wire, settings, places)
            finally:
                IN_FLIGHT_LIMIT.dec(slots)

    async def embed(
        self, texts: Sequence[str], *, operation: Operation, token_counts: Sequence[int] | None = None
    ) -> Embedded:
        """Return a vector a text.

        Parameters
        ----------
        texts
            Sent as they are: nothing is truncated, here or there.
        operation
            `read` for a query, `write` for documents; on the span and the metrics.
        token_counts
            What the model's own tokenizer counted of each text, if that is known: an endpoint that counts fewer has cut.

        Raises
        ------
        InputTooLongError
            If the endpoint says that a text has too many tokens.
        EndpointRateLimitedError, EndpointUnavailableError
            If it still does not serve us after a few attempts.
        EndpointAnswerError, DimensionMismatchError, InvalidVectorError
            If its answer can't be used.
        """
        vectors: Vectors = np.empty((len(texts), self._dimensions), dtype=np.float32)
        tokens: list[int] = []
        lengths = estimated_tokens(texts) if token_counts is None else token_counts
        groups = batches(lengths, self._batch_size, self._batch_tokens)
        waiting = iter(groups)

        async def work(waiting: Iterator[list[int]]) -> None:
            for positions in waiting:
                counts = [token_counts[position] for position in positions] if token_counts is not None else []
                embedded = await self._batch([texts[position] for position in positions], counts, operation)
                vectors[positions] = embedded.vectors
                tokens.append(embedded.tokens)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(groups))):
                    group.create_task(work(waiting))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return Embedded(vectors, sum(tokens))

    async def _batch(self, texts: list[str], token_counts: Sequence[int], operation: Operation) -> Embedded:
        writes = operation is Operation.WRITE
        known: dict[str, Value] = {
            attributes.EMBEDDING_MODEL: self._model,
            attributes.EMBEDDING_BATCH_SIZE: len(texts),
            attributes.JOB_STAGE: attributes.JobStage.EMBED if writes else attributes.JobStage.READ,
            attributes.OPERATION: operation.value,
            attributes.REQUEST_MODE: RequestMode.ASYNC.value if writes else RequestMode.SYNC.value,
        }
        with (
            work_span(BATCH_SPAN, attributes=known, stage=Stage.EMBEDDING if writes else None) as span,
            batch_counted(operation, len(texts)),
        ):
            answer = await self._ask(orjson.dumps({"model": self._model, "input": texts, "encoding_format": "base64"}))
            vectors = parse_vectors(answer.get("data"), count=len(texts), dimensions=self._dimensions)
            tokens = _tokens(answer)
            span.set_attribute(attributes.EMBEDDING_TOKENS, tokens)
        ENDPOINT_TEXTS[operation].inc(len(texts))
        ENDPOINT_TOKENS[operation].inc(tokens)
        _count_cut(max(said_cut(answer["data"]), texts_cut(tokens, token_counts)), self._model)
        return Embedded(vectors, tokens)

    async def _ask(self, body: bytes) -> dict[str, Any]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._ask_once(body)
            except (EndpointRateLimitedError, EndpointUnavailableError) as error:
                wait = _wait_seconds(attempt, error.retry_after_seconds)
                if attempt == ATTEMPTS or wait > MAX_WAIT_SECONDS:
                    raise
                logger.warning("embedding_endpoint_retry", extra={"attempt": attempt, "error_code": error.code})
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _ask_once(self, body: bytes) -> dict[str, Any]:
        try:
            async with self._places.taken():
                with IN_FLIGHT.track_inprogress():
                    reply = await self._wire.exchange(
                        "POST", "/embeddings", self._timeouts, content=body, max_bytes=self._answer_max_bytes
                    )
        except ExchangeError as error:
            # the error's own text may name an internal address
            raise EndpointUnavailableError(f"the embedding endpoint did not answer ({error.loss})") from error
        if reply.status != HTTPStatus.OK:
            if _ABOUT_CUTTING.search(_text(reply)):
                _count_cut(1, self._model)
            raise _refusal(reply)
        try:
            answer = orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise EndpointAnswerError("the embedding endpoint's answer is not JSON") from error
        if not isinstance(answer, dict):
            raise EndpointAnswerError("the embedding endpoint's answer is not an object")
        return answer


def _refusal(
    reply: Reply,
) -> EndpointRateLimitedError | EndpointUnavailableError | InputTooLongError | EndpointAnswerError:
    status = reply.status
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return EndpointRateLimitedError(
            "the embedding endpoint is at its limit", retry_after_seconds=_retry_after(reply)
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return EndpointUnavailableError(
            f"the embedding endpoint answered {status}", retry_after_seconds=_retry_after(reply)
        )
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
        logger.error("embedding_endpoint_refuses_us", extra={"http_status": status})
        return EndpointUnavailableError(
            f"the embedding endpoint answered {status}: its address, key or model is not what is configured here"
        )
    if _ABOUT_LENGTH.search(_text(reply)) or _ABOUT_CUTTING.search(_text(reply)):
        return InputTooLongError("a text has more tokens than the model takes; split it with POST /chunk first")
    return EndpointAnswerError(f"the embedding endpoint refused the request with {status}", retryable=False)


def said_cut(items: Sequence[Any]) -> int:
    """Return of how many texts the endpoint itself says that it cut them, as some do beside the vector."""
    return sum(isinstance(item, dict) and item.get("truncated") is True for item in items)


def texts_cut(counted: int, token_counts: Sequence[int]) -> int:
    """Return how many texts have been cut by an endpoint that counted fewer tokens than they have.

    Parameters
    ----------
    counted
        What the endpoint counted of all of them; 0 if it counts nothing.
    token_counts
        What each has, none if that is not known.

    Returns
    -------
    int
        Exact if it cuts every text at the same length; at least 1 if anything is missing.
    """
    left = counted
    for index, tokens in enumerate(sorted(token_counts)) if counted > 0 else ():
        if tokens * (len(token_counts) - index) > left:
            return len(token_counts) - index  # the length at which they add up is less than what this one has
        left -= tokens
    return 0


def _count_cut(texts: int, model: str) -> None:
    if texts:
        TRUNCATIONS.inc(texts)
        logger.error("embedding_endpoint_truncates", extra={"texts": texts, "model": model})


def _text(reply: Reply) -> str:
    return reply.body[:REFUSAL_MAX_BYTES].decode(errors="replace")


def _retry_after(reply: Reply) -> float | None:
    value = reply.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _wait_seconds(attempt: int, retry_after_seconds: float | None) -> float:
    backoff: float = BACKOFF_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311  spreads retries
    return max(backoff, retry_after_seconds or 0.0)


def _tokens(answer: dict[str, Any]) -> int:
    usage = answer.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else 0
