"""The pipeline: which stages there are, in which order, and how each is reached. Nothing else knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core.dispatch.hand_outs import (
    HandOut,
    Page,
    StageRequest,
    chunk_request,
    chunk_stats,
    embed_request,
    embed_requests,
    scrape_request,
    scrape_requests,
)
from ml_shared.contracts.chunking import ChunkResult
from ml_shared.contracts.embedding import EnqueueEmbeds
from ml_shared.contracts.jobs import JobStatus
from ml_shared.contracts.scraping import EnqueueScrapes
from ml_shared.names import Service, Stage


@dataclass(frozen=True, slots=True)
class StageDefinition:
    """One stage.

    Attributes
    ----------
    stage
        Its name, which is also the status of a job in it.
    service
        Who runs it, and alone may report of it.
    request
        Makes what the service is asked, of a hand-out and (in a synchronous stage) of the content before it.
    several
        Makes what a service with a queue is asked, of several hand-outs, each with what its trace goes on from.
    by_host
        Whether its jobs wait in lanes, one hand-out a host at a time.
    read_answer
        Set where the answer itself is the result and no worker calls back: makes the job's stats of the answer and the
        content before it.
    """

    stage: Stage
    service: Service
    request: Callable[[HandOut, Page], StageRequest]
    several: Callable[[Sequence[tuple[HandOut, str | None]]], EnqueueScrapes | EnqueueEmbeds] | None = None
    by_host: bool = False
    read_answer: Callable[[ChunkResult, Page], dict[str, Any]] | None = None

    @property
    def status(self) -> JobStatus:
        """The status of a job that is in this stage."""
        return JobStatus(self.stage.value)


PIPELINE: Final = (
    StageDefinition(Stage.SCRAPING, Service.SCRAPER, scrape_request, scrape_requests, by_host=True),
    StageDefinition(Stage.CHUNKING, Service.CHUNKING, chunk_request, read_answer=chunk_stats),
    StageDefinition(Stage.EMBEDDING, Service.EMBEDDING, embed_request, embed_requests),
)
FIRST: Final = PIPELINE[0]
LAST: Final = PIPELINE[-1]
_BY_STAGE: Final = {definition.stage: definition for definition in PIPELINE}


def definition_of(stage: Stage) -> StageDefinition:
    """Return the definition of a stage."""
    return _BY_STAGE[stage]


def after(stage: Stage) -> StageDefinition | None:
    """Return the stage that follows, or `None` after the last."""
    position = PIPELINE.index(_BY_STAGE[stage])
    return PIPELINE[position + 1] if position + 1 < len(PIPELINE) else None


def behind(stage: Stage) -> list[Stage]:
    """Return the stages after this one: where its results pile up."""
    position = PIPELINE.index(_BY_STAGE[stage])
    return [definition.stage for definition in PIPELINE[position + 1 :]]


def reporters() -> tuple[Service, ...]:
    """Return the services whose workers report back."""
    return tuple(definition.service for definition in PIPELINE if definition.read_answer is None)
