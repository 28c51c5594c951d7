"""Chunking: a text in, token-exact pieces out."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from ml_shared.contracts.base import Identifier, PeerModel, RequestModel
from ml_shared.contracts.values import Choice

MAX_TEXT_CHARACTERS = 10_000_000
MAX_PAGES = 5_000
# ten megabytes of text are about 2.5 million tokens, some seconds of one core


class TextFormat(StrEnum):
    """How a text is to be read."""

    MARKDOWN = "markdown"
    TEXT = "text"


class ChunkStrategy(StrEnum):
    """Where a text may be cut."""

    MARKDOWN = "markdown"
    SENTENCE = "sentence"
    FIXED = "fixed"


class ChunkingOptions(RequestModel):
    """How to cut. Tokens are the serving model's, its special tokens included."""

    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 512
    overlap_tokens: Annotated[int, Field(ge=0, le=4096)] = 64
    strategy: Choice[ChunkStrategy] = ChunkStrategy.MARKDOWN

    @model_validator(mode="after")
    def _overlap_leaves_progress(self) -> Self:
        if self.overlap_tokens * 2 > self.max_tokens:
            raise ValueError(f"overlap_tokens may be at most half of max_tokens ({self.max_tokens // 2} here)")
        return self


class PageStart(RequestModel):
    """Where a page of a document begins in its text, or a slide."""

    number: Annotated[int, Field(ge=1, le=MAX_PAGES)]
    start: Annotated[int, Field(ge=0, le=MAX_TEXT_CHARACTERS)] = Field(
        description="code points from the beginning of the text"
    )


class ChunkRequest(ChunkingOptions):
    """`POST /chunk`. A `job_id` is echoed and nothing more."""

    text: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)]
    format: Choice[TextFormat] = TextFormat.MARKDOWN
    repeat_table_header: Annotated[
        bool, Field(description="whether a chunk that goes on with a table says the table's header in `context`")
    ] = False
    pages: Annotated[list[PageStart], Field(max_length=MAX_PAGES)] = Field(
        default_factory=list,
        description="where the text's pages begin, in its order: a chunk's `heading_path` ends with the page it begins on",
    )
    job_id: Identifier | None = None


class Chunk(PeerModel):
    """A piece of the text: `text[start:end] == chunk.text`, offsets in code points."""

    index: int
    text: str
    start: int
    end: int
    token_count: int = Field(description="as the serving model counts, its special tokens included")
    heading_path: list[str] = Field(default_factory=list, description="headings above it, outermost first")
    context: str | None = Field(
        default=None,
        description="the header of the table that it goes on with, if that was asked for; not in `text`, and not counted",
    )


class ChunkResult(PeerModel):
    """The text's chunks, in its order; every non-blank character is in one of them."""

    job_id: str | None = None
    chunks: list[Chunk]
    token_total: int
    tokenizer: str = Field(description="name and hash of the tokenizer that counted")
    strategy: ChunkStrategy
