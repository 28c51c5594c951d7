"""Calling a stage, and what its answer means for the job and for the stage."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr, ValidationError

from app.core.dispatch.hand_outs import HandOut, Page
from app.core.dispatch.pipeline import StageDefinition
from ml_shared.clients.stages import (
    ChunkAnswer,
    ChunkingClient,
    EmbeddingClient,
    ScraperClient,
    StageError,
    StageRejectedError,
    StageUnansweredError,
    StageUnavailableError,
)
from ml_shared.contracts.queueing import EnqueueAnswer
from ml_shared.names import Service


@dataclass(frozen=True, slots=True)
class Accepted:
    """`202`: the job waits in the stage's queue."""

    queue_epoch: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    """`200` of a stage whose answer is its result."""

    body: bytes
    stats: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nothing was done, and nothing would be for any other job now."""

    reason: str
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The stage will never take this job."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was sent, and no answer came: it may or may not be under way, so its lease decides."""

    reason: str


Outcome = Accepted | Answered | Unavailable | Rejected | Unknown


StageCall = Callable[[Any], Awaitable[EnqueueAnswer | ChunkAnswer]]
SeveralCall = Callable[[Any], Awaitable[list[EnqueueAnswer | StageError] | None]]


class StageClient:
    """Hands jobs to the stages, and says of each what became of it.

    Parameters
    ----------
    calls
        How each stage's service is asked.
    several
        How a service is asked that takes several jobs at once.
    """

    def __init__(
        self, calls: Mapping[Service, StageCall], several: Mapping[Service, SeveralCall] | None = None
    ) -> None:
        self._calls = calls
        self._several = several or {}

    async def hand_out_several(
        self, definition: StageDefinition, handed: Sequence[tuple[HandOut, str | None]]
    ) -> list[Outcome] | None:
        """Send jobs to their stage's queue with one call, each with what its trace goes on from.

        Returns
        -------
        list or None
            Of each what became of it; `None` if none was sent, since these have to be sent one by one.
        """
        call = self._several.get(definition.service)
        if call is None or definition.several is None:
            return None
        try:
            request = definition.several(handed)
        except ValidationError:
            return None
        try:
            answers = await call(request)
        except (StageUnavailableError, StageUnansweredError) as error:
            return [_outcome_of(error)] * len(handed)
        if answers is None:
            return None
        return [
            Accepted(each.queue_epoch) if isinstance(each, EnqueueAnswer) else _outcome_of(each) for each in answers
        ]

    async def hand_out(self, definition: StageDefinition, job: HandOut, page: Page | None = None) -> Outcome:
        """Send a job to its stage.

        Parameters
        ----------
        page
            The content that the stage before kept, for a stage whose answer is its result.

        Raises
        ------
        ml_shared.errors.TooLargeError
            If the stage's answer is longer than what is kept.
        """
        page = page or Page()
        try:
            request = definition.request(job, page)
        except ValidationError:
            return Rejected("content_corrupt", "what was kept of the page does not fit the next stage's contract")
        try:
            answer = await self._calls[definition.service](request)
        except (StageUnavailableError, StageRejectedError, StageUnansweredError) as error:
            return _outcome_of(error)
        if isinstance(answer, EnqueueAnswer):
            return Accepted(answer.queue_epoch)
        stats = definition.read_answer(answer.result, page) if definition.read_answer is not None else {}
        return Answered(answer.body, stats)


def _outcome_of(error: StageError) -> Outcome:
    match error:
        case StageUnavailableError():
            return Unavailable(error.detail, error.retry_after_seconds)
        case StageRejectedError():
            return Rejected(error.code, error.detail)
        case StageUnansweredError():
            return Unknown(error.detail)


@asynccontextmanager
async def open_stages(
    addresses: Mapping[Service, str], key: SecretStr, *, timeout_seconds: float, max_answer_bytes: int
) -> AsyncIterator[StageClient]:
    """Open a client of every stage's service.

    Parameters
    ----------
    addresses
        Base URL of each: the services' own, not the gateway's.
    timeout_seconds
        For a whole answer.
    max_answer_bytes
        Longest result of a stage that answers at once.
    """
    async with AsyncExitStack() as stack:
        scraper = await stack.enter_async_context(
            ScraperClient.open(addresses[Service.SCRAPER], key, timeout_seconds=timeout_seconds)
        )
        chunking = await stack.enter_async_context(
            ChunkingClient.open(
                addresses[Service.CHUNKING], key, timeout_seconds=timeout_seconds, max_answer_bytes=max_answer_bytes
            )
        )
        embedding = await stack.enter_async_context(
            EmbeddingClient.open(addresses[Service.EMBEDDING], key, timeout_seconds=timeout_seconds)
        )
        yield StageClient(
            {
                Service.SCRAPER: scraper.enqueue,
                Service.CHUNKING: chunking.chunk,
                Service.EMBEDDING: embedding.enqueue,
            },
            {Service.SCRAPER: scraper.enqueue_several, Service.EMBEDDING: embedding.enqueue_several},
        )
