"""Requests and answers that are shaped by HTTP alone; what services share is in `ml_shared.contracts`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Discriminator, Field, Tag

from app.core.reembedding import MIN_RECALL
from ml_shared.contracts.base import CorpusName, Identifier, PeerModel, RequestModel
from ml_shared.contracts.embedding import (
    MAX_TEXT_CHARACTERS,
    MAX_TEXTS,
    EmbedRequest,
    EmbedResult,
    Line,
    OpenAiUsage,
    OpenAiVector,
    Page,
    SearchRequest,
    SearchResult,
)
from ml_shared.contracts.values import Count, PeerTimestamp

MAX_TOKEN_IDS = 65_536
# of one text: as many as the longest text has characters
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=MAX_TOKEN_IDS)]


class EmbedBody(EmbedRequest):
    """`POST /embed`. A `job_id` is echoed and nothing more."""

    job_id: Identifier | None = None


class EmbedAnswer(EmbedResult):
    """`POST /embed`."""

    job_id: str | None = None


class SearchBody(SearchRequest):
    """`POST /search`. A `job_id` is echoed and nothing more."""

    job_id: Identifier | None = None


class SearchAnswer(SearchResult):
    """`POST /search`."""

    job_id: str | None = None


class DocumentView(PeerModel):
    """A document of a corpus, without its text."""

    document_id: UUID
    url: str
    title: str | None
    language: str | None
    chunks: int
    tokens: int
    model: str
    metadata: dict[str, Any]
    as_of: PeerTimestamp = Field(description="when the page was as it stands here")
    fetched_at: PeerTimestamp | None
    indexed_at: PeerTimestamp
    job_id: str | None
    trace_id: str | None = Field(description="of the job that indexed it")


class DocumentPage(Page):
    """`GET /corpora/{name}/documents`."""

    items: list[DocumentView]


class ChunkView(PeerModel):
    """A chunk of a document."""

    chunk_index: int
    text: str
    start: int
    end: int
    token_count: int
    heading_path: list[str]
    table_header: str | None = Field(description="of the table that it goes on with: chunking's `context`")


class DocumentRead(DocumentView, Page):
    """`GET /corpora/{name}/documents/{id}`: the document, and one page of its chunks."""

    final_url: str | None
    canonical_url: str | None
    content_type: str | None
    author: str | None
    published_at: str | None
    items: list[ChunkView] = Field(description="its chunks, by their index")


class DocumentContent(PeerModel):
    """`GET /corpora/{name}/documents/{id}/content`."""

    document_id: UUID
    url: str
    title: str | None
    text: str = Field(description="put together from its chunks; blanks between two of them are line breaks here")
    start: int | None = Field(
        description="where it begins in the document that was chunked; null if its chunks do not follow one another there"
    )


class ModelChangeScope(RequestModel):
    """Which corpora are to answer from which model: all, one owner's, or those of one name."""

    model: Line = Field(description="EMBEDDING_MODEL or EMBEDDING_NEXT_MODEL")
    owner: Line | None = None
    corpus_name: CorpusName | None = None


class ModelChangeRequest(ModelChangeScope):
    """`POST /models/changes`."""

    min_recall: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        default=MIN_RECALL, description="recall@10 against comparing all; below it a corpus stays as it is"
    )
    switch: bool = Field(default=True, description="false: make and compare the vectors, and let no corpus change yet")
    forget: bool = Field(
        default=False, description="true: delete this model's vectors instead; no corpus answers from it"
    )


class ModelChange(PeerModel):
    """A change of model, and how far it is."""

    id: int
    model: str
    owner: str | None
    corpus_name: str | None
    min_recall: float
    switch: bool
    forget: bool
    state: Literal["waiting", "running", "completed", "incomplete", "failed", "cancelled"]
    corpora_left: int = Field(description="that do not answer from the model, and are to")
    chunks_left: int = Field(description="of these corpora, with or without a vector of the model")
    said: list[str] = Field(description="what has been done, and why a corpus was left; the last 200 lines")
    asked_at: PeerTimestamp
    begun_at: PeerTimestamp | None
    ended_at: PeerTimestamp | None


class ModelChanges(PeerModel):
    """`GET /models/changes`: the latest, newest first."""

    items: list[ModelChange]


class PlannedCorpus(PeerModel):
    """What changing a corpus takes."""

    owner: str
    corpus_name: str
    chunks: int
    tokens: int
    too_long: int = Field(description="chunks with more tokens than the model takes: the corpus would be left")


class ModelChangePlan(PeerModel):
    """`POST /models/changes/plan`."""

    corpora: list[PlannedCorpus]
    chunks: int
    tokens: int


_TEXT, _TEXTS, _IDS, _IDS_OF_TEXTS = "str", "list[str]", "list[int]", "list[list[int]]"


def _kind_of_input(given: Any) -> str | None:
    """Return what an input is meant as, by its first item: of a union, each kind would say why it is not that one."""
    if isinstance(given, str):
        return _TEXT
    if not isinstance(given, list):
        return None
    if given and isinstance(given[0], int | float):
        return _IDS
    return _IDS_OF_TEXTS if given and isinstance(given[0], list) else _TEXTS


class OpenAiEmbeddingRequest(RequestModel):
    """`POST /v1/embeddings`, as OpenAI has it. What else is sent is ignored, as OpenAI's clients expect of a server."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(additionalProperties=True))

    input: Annotated[
        Annotated[Text, Tag(_TEXT)]
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS), Tag(_TEXTS)]
        | Annotated[TokenIds, Tag(_IDS)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_TEXTS), Tag(_IDS_OF_TEXTS)],
        Discriminator(
            _kind_of_input,
            custom_error_type="embedding_input",
            custom_error_message="Input should be a text, or a list of texts or of token ids",
        ),
    ] = Field(
        description="texts, or token ids of this model's own tokenizer, one list of either",
        json_schema_extra=lambda schema: schema.update(anyOf=schema.pop("oneOf")),
    )
    model: Line
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = Field(default=None, description="the model's own, if given")
    user: Line | None = Field(default=None, description="taken and ignored")

    @property
    def inputs(self) -> Sequence[str | list[int]]:
        """The texts, or the token ids of each, one or many."""
        given = self.input
        if isinstance(given, str):
            return [given]
        ids = [number for number in given if isinstance(number, int)]
        return [ids] if ids else [one for one in given if not isinstance(one, int)]


class OpenAiEmbeddingAnswer(PeerModel):
    """`POST /v1/embeddings`."""

    object: Literal["list"] = "list"
    data: list[OpenAiVector]
    model: str
    usage: OpenAiUsage


class OpenAiModel(PeerModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "cloudcix"


class OpenAiModels(PeerModel):
    """`GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[OpenAiModel]


class OpenAiProblem(PeerModel):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None = Field(description="the field that it is about")
    code: str | None


class OpenAiError(PeerModel):
    """An error of `/v1`, as OpenAI has it."""

    error: OpenAiProblem
