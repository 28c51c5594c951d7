"""What the orchestrator asks of the services that run its stages.

    ServiceError
    ├── StageUnavailableError   nothing was done, and nothing would be for any other job now
    ├── StageRejectedError      this request will never be taken
    └── StageUnansweredError    it was sent, and no answer tells what became of it

A request that may have arrived is not sent again: what is repeated is a connection that was refused and, of a call that
changes nothing, one that was lost.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from pydantic import BaseModel, SecretStr

from ml_shared.clients.peer import (
    PURE,
    REPORT_MAX_BYTES,
    UNSENT_ONLY,
    Call,
    ExchangeError,
    Loss,
    Peer,
    PeerAnswer,
    Timeouts,
    json_of,
    open_peer,
)
from ml_shared.contracts.chunking import ChunkRequest, ChunkResult
from ml_shared.contracts.embedding import EnqueueEmbed, EnqueueEmbeds
from ml_shared.contracts.queueing import EnqueueAnswer, EnqueueAnswers, Refusal
from ml_shared.contracts.scraping import EnqueueScrape, EnqueueScrapes
from ml_shared.errors import InvalidError, TooLargeError, UnavailableError, UpstreamError
from ml_shared.names import Service

ANSWER_TIMEOUT_SECONDS: Final = 20.0
MAX_CONNECTIONS: Final = 32
CHUNKS_MAX_BYTES: Final = 64 * 2**20
UNAVAILABLE_STATUSES: Final = frozenset({401, 403, 404, 408, 429})
# the service would refuse any request like this: it is set up wrongly, or busy
DETAIL_MAX_CHARACTERS: Final = 1_000
ONE_BY_ONE_STATUSES: Final = frozenset({404, 405})
# of a route that takes several jobs: the service may be of a version without it


class StageUnavailableError(UnavailableError):
    """Nothing was done, and nothing would be for any other job now: not reached, not admitted, busy or broken."""

    code = "stage_unavailable"


class StageRejectedError(InvalidError):
    """The service will never take this request. The code is the service's own."""

    code = "stage_rejected"


class StageUnansweredError(UpstreamError):
    """It was sent, and no answer tells what became of it: it may be under way."""

    code = "stage_unanswered"


StageError = StageUnavailableError | StageRejectedError | StageUnansweredError


@dataclass(frozen=True, slots=True)
class ChunkAnswer:
    """Chunks, and the answer as it came: a field of a later version is in `body`, to be passed on."""

    result: ChunkResult
    body: bytes


class _StageClient:
    """One service that runs a stage, called by the orchestrator."""

    service: ClassVar[Service]
    max_answer_bytes: int = REPORT_MAX_BYTES

    def __init__(self, peer: Peer, timeouts: Timeouts, max_answer_bytes: int | None = None) -> None:
        self._peer = peer
        self._timeouts = timeouts
        self.max_answer_bytes = max_answer_bytes or self.max_answer_bytes

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        key: SecretStr,
        *,
        timeout_seconds: float = ANSWER_TIMEOUT_SECONDS,
        max_connections: int = MAX_CONNECTIONS,
        max_answer_bytes: int | None = None,
    ) -> AsyncIterator[Self]:
        """Open a client of the service at `url`.

        Parameters
        ----------
        key
            The orchestrator's own: others may not send its fields.
        timeout_seconds
            From the request to the whole answer.
        max_answer_bytes
            The longest answer that is read; the class's own unless given.
        """
        timeouts = Timeouts(silence_seconds=timeout_seconds, whole_seconds=timeout_seconds)
        async with open_peer(url, key, max_connections=max_connections) as peer:
            yield cls(peer, timeouts, max_answer_bytes)

    async def _ask(self, path: str, request: BaseModel, *, pure: bool, one_by_one: Collection[int] = ()) -> PeerAnswer:
        """Return the answer to a request that was taken. A pure one changes nothing: its answer is all of it.

        Parameters
        ----------
        one_by_one
            Statuses that speak of this request where they would speak of the service otherwise.
        """
        call = Call(
            "POST",
            path,
            self._timeouts,
            PURE if pure else UNSENT_ONLY,
            content=json_of(request),
            headers={"Content-Type": "application/json"},
            max_answer_bytes=self.max_answer_bytes,
        )
        try:
            answer = await self._peer.exchange(call)
        except ExchangeError as error:
            if error.loss is Loss.UNREACHED:
                raise StageUnavailableError(f"{self.service} was not reached: {error}") from error
            if error.loss is Loss.TOO_LONG and pure:
                raise TooLargeError(f"{self.service} answered with more than {self.max_answer_bytes} bytes") from error
            raise StageUnansweredError(f"{self.service} gave no answer: {error}") from error
        if answer.is_success:
            return answer
        code, detail = answer.problem(otherwise=StageRejectedError.code)
        if answer.status == 504 and pure:
            raise StageUnansweredError(f"{self.service} ran out of time")  # of this request's, not of any
        if answer.status in one_by_one:
            raise StageRejectedError(detail[:DETAIL_MAX_CHARACTERS], code=code)
        raise self._refusal(answer.status, code, detail, answer.retry_after_seconds)

    def _refusal(self, status: int, code: str, detail: str, retry_after_seconds: float | None) -> "StageError":
        if status in UNAVAILABLE_STATUSES or not 400 <= status < 500:
            return StageUnavailableError(
                f"{self.service} answered {status} {code}", retry_after_seconds=retry_after_seconds
            )
        return StageRejectedError(detail[:DETAIL_MAX_CHARACTERS], code=code)

    async def _enqueue_several(self, request: BaseModel, count: int) -> "list[EnqueueAnswer | StageError] | None":
        """Hand out several jobs with one call; `None` if the service does not take several: an earlier version, or one is wrong."""
        try:
            answer = await self._ask("/enqueue/batch", request, pure=False, one_by_one=ONE_BY_ONE_STATUSES)
        except StageRejectedError:
            return None
        told = answer.parse(EnqueueAnswers)
        if told is None or len(told.answers) != count:
            raise StageUnansweredError(f"{self.service} answered {answer.status} with something else than its contract")
        return [each if isinstance(each, EnqueueAnswer) else self._refused(each) for each in told.answers]

    def _refused(self, refusal: Refusal) -> "StageError":
        return self._refusal(refusal.status, refusal.code, refusal.detail, refusal.retry_after_seconds)

    async def _enqueue(self, request: BaseModel) -> EnqueueAnswer:
        answer = await self._ask("/enqueue", request, pure=False)
        if (queued := answer.parse(EnqueueAnswer)) is None:
            raise StageUnansweredError(f"{self.service} answered {answer.status} with something else than its contract")
        return queued


class ScraperClient(_StageClient):
    """The scraper, as the orchestrator calls it. Make it with `open`."""

    service = Service.SCRAPER

    async def enqueue_several(self, request: EnqueueScrapes) -> list[EnqueueAnswer | StageError] | None:
        """Hand out several jobs with one call.

        Returns
        -------
        list or None
            Of each what became of it; `None` if none was taken because they have to be handed out one by one.

        Raises
        ------
        StageUnavailableError, StageUnansweredError
            See the module.
        """
        return await self._enqueue_several(request, len(request.hand_outs))

    async def enqueue(self, request: EnqueueScrape) -> EnqueueAnswer:
        """Queue a fetch.

        Raises
        ------
        StageUnavailableError, StageRejectedError, StageUnansweredError
            See the module.
        """
        return await self._enqueue(request)


class EmbeddingClient(_StageClient):
    """The embedding service, as the orchestrator calls it. Make it with `open`."""

    service = Service.EMBEDDING

    async def enqueue_several(self, request: EnqueueEmbeds) -> list[EnqueueAnswer | StageError] | None:
        """Hand out several jobs with one call.

        Returns
        -------
        list or None
            Of each what became of it; `None` if none was taken because they have to be handed out one by one.

        Raises
        ------
        StageUnavailableError, StageUnansweredError
            See the module.
        """
        return await self._enqueue_several(request, len(request.hand_outs))

    async def enqueue(self, request: EnqueueEmbed) -> EnqueueAnswer:
        """Queue the embedding of a document.

        Raises
        ------
        StageUnavailableError, StageRejectedError, StageUnansweredError
            See the module.
        """
        return await self._enqueue(request)


class ChunkingClient(_StageClient):
    """Chunking, as the orchestrator calls it. Make it with `open`."""

    service = Service.CHUNKING
    max_answer_bytes = CHUNKS_MAX_BYTES

    async def chunk(self, request: ChunkRequest) -> ChunkAnswer:
        """Cut a text, here and now.

        Raises
        ------
        TooLargeError
            If the chunks are longer than is read.
        StageUnavailableError, StageRejectedError, StageUnansweredError
            See the module.
        """
        answer = await self._ask("/chunk", request, pure=True)
        if (result := answer.parse(ChunkResult)) is None:
            raise StageUnansweredError(f"{self.service} answered {answer.status} with something else than its contract")
        return ChunkAnswer(result, answer.body)


__all__ = [
    "ChunkAnswer",
    "ChunkingClient",
    "EmbeddingClient",
    "ScraperClient",
    "StageError",
    "StageRejectedError",
    "StageUnansweredError",
    "StageUnavailableError",
]
