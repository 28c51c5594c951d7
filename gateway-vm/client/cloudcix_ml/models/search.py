"""Searches and what they find."""

from datetime import datetime
from typing import Any

from pydantic import Field

from cloudcix_ml.models.base import Answered, Body, OpenEnum


class SearchMode(OpenEnum):
    """By meaning, by words, or by both."""

    VECTOR = "vector"
    TEXT = "text"
    HYBRID = "hybrid"


class SearchFilters(Body):
    """Which documents are searched."""

    url_prefix: str | None = None
    language: str | None = None
    metadata: dict[str, Any] | None = None
    fetched_after: datetime | None = None
    fetched_before: datetime | None = None


class LikeChunk(Body):
    """A chunk to find the like of."""

    document_id: str
    chunk_index: int
    corpus_name: str | None = None


class SearchRequest(Body):
    """What is searched, and how."""

    query: str | None = None
    queries: list[str] | None = None
    like: LikeChunk | None = None
    corpus_name: str | None = None
    corpora: list[str] | None = None
    top_k: int = 10
    offset: int = 0
    mode: SearchMode = SearchMode.HYBRID
    filters: SearchFilters | None = None
    min_score: float | None = None
    max_per_document: int | None = 3
    rerank: bool | None = None
    context: int = 0
    highlights: bool = False
    explain: bool = False
    facets: list[str] | None = None
    job_id: str | None = None


class Leg(Answered):
    """A passage's place in one ranking."""

    rank: int
    score: float


class QueryWhy(Leg):
    """A passage's place for one of several queries."""

    query: int
    vector: Leg | None = None
    text: Leg | None = None


class Why(Answered):
    """Why a passage is where it is: by meaning, by words, by the reranker."""

    vector: Leg | None = None
    text: Leg | None = None
    rerank: Leg | None = None
    queries: list[QueryWhy] | None = None


class Surroundings(Answered):
    """A passage with what is around it."""

    text: str
    first_chunk: int
    last_chunk: int
    start: int | None
    end: int | None
    cut: bool
    highlights: list[list[int]] | None = None


class Hit(Answered):
    """A passage that was found. `highlights` are pairs of places in `text`, from and up to."""

    score: float
    text: str
    url: str
    title: str | None = None
    heading_path: list[str]
    start: int
    end: int
    corpus_name: str
    document_id: str
    chunk_index: int
    metadata: dict[str, Any]
    trace_id: str | None = None
    table_header: str | None = None
    rerank_score: float | None = None
    highlights: list[list[int]] | None = None
    context: Surroundings | None = None
    context_of: int | None = None
    why: Why | None = None


class FacetValue(Answered):
    """A value, and how many of the documents found have it."""

    value: Any
    count: int


class Facet(Answered):
    """The values of one key."""

    values: list[FacetValue]
    more: bool


class SearchWarning(Answered):
    """What may be missing in an answer."""

    code: str
    message: str


class Took(Answered):
    """What a search spent its time on; milliseconds."""

    embed: float = 0
    vector: float = 0
    text: float = 0
    fuse: float = 0
    rerank: float = 0


class SearchAnswer(Answered):
    """What a search found, best first."""

    results: list[Hit]
    mode: SearchMode
    model: str
    took_ms: float
    took: Took | None = None
    next_offset: int | None = None
    warnings: list[SearchWarning] = Field(default_factory=list)
    facets: dict[str, Facet] | None = None
    job_id: str | None = None
