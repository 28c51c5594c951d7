"""Embedding: vectors, the corpus, and search."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ml_shared.contracts.answers import Facet, LikeChunk, Place, SearchWarning, Surroundings, Took, Why
from ml_shared.contracts.base import CorpusName, Identifier, Metadata, PeerModel, RequestModel, Timestamp, Url
from ml_shared.contracts.queueing import BATCH_MAX, HandOutFields, StageFields
from ml_shared.contracts.values import Choice, Count, PeerTimestamp, Told
from ml_shared.web.urls import URL_MAX_CHARACTERS

MAX_TEXTS = 2_048
MAX_CHUNKS = 20_000
# a text of 10 million characters in chunks of 512 tokens is about 5,000
MAX_QUERY_CHARACTERS = 8_000
MAX_QUERIES = 8
MAX_RESULTS = 500
# that pages reach: what comes later is not what was looked for
MAX_CONTEXT = 5
MAX_RESULTS_WITH_CONTEXT = 50
MAX_FACETS = 5
DEFAULT_PER_DOCUMENT = 3
MAX_TEXT_CHARACTERS = 65_536
MAX_HEADINGS = 32
MAX_CONTEXT_CHARACTERS = 65_536
# of a table's header
MAX_HEADING_CHARACTERS = 2_000
TITLE_MAX_CHARACTERS = 2_000
LINE_MAX_CHARACTERS = 500
# of an author, a language, a media type: what a page says of itself in a line

Line = Annotated[Told, Field(max_length=LINE_MAX_CHARACTERS)]
"""What a page says of itself, in a line."""

Address = Annotated[str, Field(max_length=URL_MAX_CHARACTERS)]
"""A URL that is shown and never fetched, as it came."""


class PageOutcome(StrEnum):
    """What became of a document."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


class EmbedAction(StrEnum):
    """What the orchestrator asks of a document.

    `index`: make it searchable. `touch`: its page was looked at and is as it was, so nothing of it is made anew, if it still is
    what the request says. `remove`: its page is gone.
    """

    INDEX = "index"
    TOUCH = "touch"
    REMOVE = "remove"


class EmbedRequest(RequestModel):
    """`POST /embed`."""

    texts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]],
        Field(min_length=1, max_length=MAX_TEXTS),
    ]


class EmbedResult(PeerModel):
    """Vectors in the order of the texts."""

    embeddings: list[list[float]]
    model: str
    dimensions: int
    token_total: int


class Document(RequestModel):
    """What a corpus keeps of a page beside its chunks."""

    url: Url
    title: Annotated[Told, Field(max_length=TITLE_MAX_CHARACTERS)] | None = None
    final_url: Address | None = None
    canonical_url: Address | None = None
    content_type: Line | None = None
    language: Line | None = None
    author: Line | None = None
    published_at: Line | None = None
    content_hash: Line | None = None
    fetched_at: Timestamp | None = None
    metadata: Metadata = Field(default_factory=dict)


class ChunkIn(RequestModel):
    """A chunk that a caller brings: a text, and where it stood."""

    index: Count
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
    start: Count = 0
    end: Count = 0
    token_count: Count = 0
    heading_path: Annotated[
        list[Annotated[Told, Field(max_length=MAX_HEADING_CHARACTERS)]], Field(max_length=MAX_HEADINGS)
    ] = Field(default_factory=list)
    context: Annotated[str, Field(max_length=MAX_CONTEXT_CHARACTERS)] | None = Field(
        default=None, description="the header of the table that it goes on with, as chunking says it"
    )


class ActionFields(RequestModel):
    """What the orchestrator asks for, of which there is more than indexing."""

    action: Choice[EmbedAction] = Field(default=EmbedAction.INDEX, description="internal: what is asked for")
    chunking_hash: Line | None = Field(
        default=None, description="internal: the settings that the chunks are made, or were made, with"
    )

    def _check_action(self, *, has_chunks: bool) -> None:
        """Check that the request has what its action can't be without.

        Raises
        ------
        ValueError
            Saying what is missing.
        """
        if self.action is EmbedAction.INDEX and not has_chunks:
            raise ValueError("give the document's chunks, as POST /chunk answers them")
        document: Document | None = getattr(self, "document", None)
        if self.action is EmbedAction.TOUCH and not (document and document.content_hash and self.chunking_hash):
            raise ValueError("to touch a document, give its content_hash, and its chunking_hash")


class EnqueueEmbed(StageFields, ActionFields):
    """`POST /enqueue` on embedding: `chunks` from a caller, `content_ref` (a `ChunkResult`) from the orchestrator."""

    corpus_name: CorpusName = "default"
    document: Document
    chunks: Annotated[list[ChunkIn], Field(max_length=MAX_CHUNKS)] | None = None
    content_ref: Identifier | None = Field(
        default=None, description="internal: where the orchestrator keeps the chunks"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        self._check_action(has_chunks=self.chunks is not None or self.content_ref is not None)
        return self


class EmbedHandOut(HandOutFields, ActionFields):
    """One of several hand-outs: the orchestrator keeps the chunks."""

    corpus_name: CorpusName = "default"
    document: Document
    content_ref: Identifier | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self._check_action(has_chunks=self.content_ref is not None)
        return self


class EnqueueEmbeds(RequestModel):
    """`POST /enqueue/batch` on embedding."""

    hand_outs: Annotated[list[EmbedHandOut], Field(min_length=1, max_length=BATCH_MAX)]


class IndexResult(PeerModel):
    """What embedding a document did: the outcome at `GET /results/{task_id}`, and the `stats` of a callback."""

    document_id: str | None = None
    chunks: int = 0
    tokens: int = Field(default=0, description="tokens of all chunks, as the chunks say of themselves")
    embedded: int = Field(default=0, description="chunks that were sent to the endpoint")
    reused: int = Field(default=0, description="chunks that kept their row and vector")
    superseded: bool = Field(default=False, description="a newer version, or a deletion, stood there already")
    outcome: PageOutcome | None = Field(
        default=None, description="what became of the document; null if `superseded`, or if there was none to remove"
    )
    model: str = ""


class SearchMode(StrEnum):
    """How passages are found."""

    VECTOR = "vector"
    TEXT = "text"
    HYBRID = "hybrid"


class SearchFilters(RequestModel):
    """Which documents may answer. All given ones have to hold."""

    url_prefix: Address | None = None
    language: Annotated[str, Field(max_length=35)] | None = None
    fetched_after: Timestamp | None = None
    fetched_before: Timestamp | None = None
    metadata: Metadata | None = Field(default=None, description="keys and values that a document's metadata contains")


def _check_query(query: str) -> str:
    if not query.strip():
        raise ValueError("is blank: say what to look for")
    return query


QueryText = Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARACTERS), AfterValidator(_check_query)]
"""What is looked for, in words."""


class SearchRequest(RequestModel):
    """`POST /search` in one corpus (`corpus_name`) or several (`corpora`); `default` when neither is given.

    What is looked for is a `query`, several `queries` whose answers are fused, or what is `like` a chunk.
    """

    query: QueryText | None = None
    queries: Annotated[list[QueryText], Field(min_length=1, max_length=MAX_QUERIES)] | None = Field(
        default=None, description="several ways to ask, or several questions: one answer out of all"
    )
    like: LikeChunk | None = Field(default=None, description="a chunk: what is near to it in meaning, itself left out")
    corpus_name: CorpusName | None = None
    corpora: Annotated[list[CorpusName], Field(min_length=1, max_length=20)] | None = None
    top_k: Annotated[int, Field(ge=1, le=100)] = 10
    offset: Annotated[int, Field(ge=0, lt=MAX_RESULTS)] = Field(
        default=0, description=f"results to pass over; pages end with the {MAX_RESULTS}th result"
    )
    mode: Choice[SearchMode] = SearchMode.HYBRID
    filters: SearchFilters | None = None
    min_score: float | None = None
    max_per_document: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=DEFAULT_PER_DOCUMENT, description="most results of one document; null for any number"
    )
    context: Annotated[int, Field(ge=0, le=MAX_CONTEXT)] = Field(
        default=0, description=f"chunks to show before and after each; top_k is at most {MAX_RESULTS_WITH_CONTEXT} then"
    )
    highlights: bool = Field(default=False, description="tell where the query's words stand in each passage")
    explain: bool = Field(default=False, description="tell each passage's rank and score by meaning and by words")
    facets: (
        Annotated[
            list[Annotated[Told, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=MAX_FACETS)
        ]
        | None
    ) = Field(default=None, description="metadata keys whose values are counted among the documents found")
    rerank: bool | None = Field(
        default=None, description="whether a reranker orders the best ones; null: if this service has one"
    )

    @model_validator(mode="after")
    def _one_way_to_name_corpora(self) -> Self:
        if self.corpus_name is not None and self.corpora is not None:
            raise ValueError("give corpus_name or corpora, not both")
        return self

    @model_validator(mode="after")
    def _one_thing_to_look_for(self) -> Self:
        if [self.query, self.queries, self.like].count(None) != 2:
            raise ValueError("give one of query, queries and like")
        if self.like is not None and "mode" in self.model_fields_set and self.mode is not SearchMode.VECTOR:
            raise ValueError("like goes by meaning alone: leave out mode, or give vector")
        if self.like is not None and self.rerank:
            raise ValueError("like has no query that a reranker could read: leave out rerank")
        return self

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        if self.context and self.top_k > MAX_RESULTS_WITH_CONTEXT:
            raise ValueError(f"with context, top_k is at most {MAX_RESULTS_WITH_CONTEXT}")
        return self


class SearchHit(PeerModel):
    """A passage that answers. What was not asked for is left out, not null."""

    score: float
    text: str
    url: str
    title: str | None = None
    heading_path: list[str]
    table_header: str | None = Field(
        default=None, description="of the table that it goes on with: chunking's `context`, where there is one"
    )
    start: int
    end: int
    document_id: str
    chunk_index: int
    corpus_name: str
    trace_id: str | None = Field(default=None, description="of the job that indexed it")
    metadata: dict[str, Any]
    rerank_score: float | None = Field(default=None, description="what ordered it, if a reranker did")
    highlights: list[Place] | None = Field(default=None, description="in `text`")
    context: Surroundings | None = Field(default=None, description="with `context`: it, and what is around it")
    context_of: int | None = Field(
        default=None, description="which result of this page, from 0, shows this one in its context"
    )
    why: Why | None = Field(default=None, description="with `explain`")


class SearchResult(PeerModel):
    """The best passages, best first."""

    results: list[SearchHit]
    model: str
    mode: SearchMode
    took_ms: float
    took: Took | None = None
    next_offset: int | None = Field(
        default=None, description=f"of the next page; null after the last one, and after the {MAX_RESULTS}th result"
    )
    facets: dict[str, Facet] | None = Field(default=None, description="by key, of the best passages' documents")
    warnings: list[SearchWarning] = Field(default_factory=list)


class Corpus(PeerModel):
    """A corpus, counted."""

    name: str
    documents: int
    chunks: int
    tokens: int
    model: str | None = None
    updated_at: PeerTimestamp | None = None


class Page(PeerModel):
    """One page of a list."""

    items: list[Any]
    next_cursor: str | None = None


class CorpusPage(Page):
    """`GET /corpora`."""

    items: list[Corpus]


class OpenAiUsage(PeerModel):
    """Tokens, as OpenAI's embeddings API counts them."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class OpenAiVector(PeerModel):
    """One vector of an OpenAI-compatible answer: floats, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
