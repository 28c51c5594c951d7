"""Requests and answers that are shaped by HTTP alone; what services share is in `ml_shared.contracts`."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from ml_shared.contracts.base import Identifier, PeerModel, RequestModel
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

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]


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


class OpenAiEmbeddingRequest(RequestModel):
    """`POST /v1/embeddings`, as OpenAI has it; texts only, since token ids would be another tokenizer's."""

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
    model: Line
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = Field(default=None, description="the model's own, if given")
    user: Line | None = Field(default=None, description="taken and ignored")

    @property
    def texts(self) -> list[str]:
        """The texts, one or many."""
        return [self.input] if isinstance(self.input, str) else self.input


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
