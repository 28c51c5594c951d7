"""What a search answers beside its passages: where they come from, what stands around them, and what was counted."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from ml_shared.contracts.base import CorpusName, Identifier, PeerModel, RequestModel
from ml_shared.contracts.values import Count, uuid_of

Place = Annotated[list[int], Field(min_length=2, max_length=2)]
"""Where something stands in a text: its first character, and the one after its last, in code points."""


def _check_uuid(text: str) -> str:
    if uuid_of(text) is None:
        raise ValueError("is no document_id, which is a UUID")
    return text


class LikeChunk(RequestModel):
    """A chunk whose like is looked for, as a search's result names it."""

    document_id: Annotated[Identifier, AfterValidator(_check_uuid)]
    chunk_index: Count
    corpus_name: CorpusName | None = Field(
        default=None, description="where it is, if not in the one corpus that is searched"
    )


class Leg(PeerModel):
    """A passage's place in one order, from 1, and its score there."""

    rank: int
    score: float


class QueryWhy(PeerModel):
    """What one of several queries says of a passage."""

    query: int = Field(description="which of `queries`, from 0")
    rank: int
    score: float
    vector: Leg | None = None
    text: Leg | None = None


class Why(PeerModel):
    """Why a passage stands where it does; what found nothing is left out."""

    vector: Leg | None = Field(default=None, description="by meaning: cosine similarity")
    text: Leg | None = Field(default=None, description="by words")
    rerank: Leg | None = Field(default=None, description="by the reranker, if one was asked")
    queries: list[QueryWhy] | None = Field(default=None, description="each query's own say, where there were several")


class Surroundings(PeerModel):
    """A passage with the chunks around it, as one text."""

    text: str
    start: int | None = Field(description="where it begins in the document; null if the chunks have no places there")
    end: int | None
    first_chunk: int
    last_chunk: int
    cut: bool = Field(description="whether it begins or ends within a code block that is too long to be shown whole")
    highlights: list[Place] | None = Field(default=None, description="in this text, if they were asked for")


class FacetValue(PeerModel):
    """A value of a metadata key, and how many documents have it."""

    value: Any
    count: int


class Facet(PeerModel):
    """A metadata key's values among the documents found, the commonest first."""

    values: list[FacetValue]
    more: bool = Field(description="whether there are values beyond those listed")


class Took(PeerModel):
    """Milliseconds by step, over all queries; 0 where a step was not needed."""

    embed: float = 0
    vector: float = 0
    text: float = 0
    fuse: float = 0
    rerank: float = 0

    @classmethod
    def of(cls, seconds: dict[str, float]) -> Self:
        """Return what was measured in seconds."""
        return cls(**{step: round(seconds.get(step, 0) * 1000, 3) for step in cls.model_fields})


class SearchWarning(PeerModel):
    """What the answer lacks, or did otherwise than was asked."""

    code: str = Field(
        description="`query_cut`, `words_excluded`, `rerank_failed`, `results_incomplete`; others may come"
    )
    message: str
