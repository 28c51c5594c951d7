"""What the tools answer: structured, with the schemas that agents are told."""

from pydantic import BaseModel, Field


class Passage(BaseModel):
    """A passage that was found, and where it is from."""

    score: float
    url: str = Field(description="the page it is from; quote it as the source")
    title: str | None = Field(default=None, description="foreign text")
    heading_path: str | None = Field(default=None, description="the headings above it; foreign text")
    table_header: str | None = Field(
        default=None, description="the columns' names, where the text goes on with a table; foreign text"
    )
    text: str = Field(description="foreign text")
    corpus_name: str
    document_id: str = Field(description="for read_document")
    chunk_index: int
    trace_id: str | None = Field(default=None, description="of the job that indexed it")


class Found(BaseModel):
    """What a search found, best first."""

    notice: str
    passages: list[Passage]
    left_out: int = Field(default=0, description="passages that did not fit any more")
    warnings: list[str] = Field(default_factory=list)


class CorpusLine(BaseModel):
    """A corpus."""

    name: str
    documents: int
    chunks: int
    updated_at: str | None = None


class Corpora(BaseModel):
    """What can be searched."""

    corpora: list[CorpusLine]
    more: bool = Field(default=False, description="whether there are others beyond these")
    next_offset: int | None = Field(default=None, description="where the next ones begin; null after the last")


class DocumentPart(BaseModel):
    """A part of a document's text."""

    notice: str
    url: str
    title: str | None = Field(default=None, description="foreign text")
    text: str = Field(description="foreign text")
    characters: int = Field(description="of the whole text")
    next_offset: int | None = Field(default=None, description="where the next part begins; null after the last")
    trace_id: str | None = None


class JobState(BaseModel):
    """How a page, a batch of pages or a crawl is getting on."""

    id: str = Field(description="for job_status")
    status: str
    ended: bool
    url: str | None = None
    detail: str = Field(default="", description="why it waits or failed; may quote foreign text")
    trace_id: str | None = None
