"""Orchestrator: a file or a text that is no page of the web."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from ml_shared.contracts.base import CorpusName, Metadata, RequestModel, Url
from ml_shared.contracts.chunking import ChunkingOptions
from ml_shared.web.urls import InvalidUrlError, upload_url

CONTENT_TYPE_MAX_CHARACTERS: Final = 255
NAME_MAX_CHARACTERS: Final = 255


def _check_name(name: str) -> str:
    try:
        upload_url(name)
    except InvalidUrlError as error:
        raise ValueError(error.detail) from error
    return name


ContentType = Annotated[
    str,
    StringConstraints(max_length=CONTENT_TYPE_MAX_CHARACTERS, pattern=r"^[!-~]+/[!-~]+(?: *; *[ -~]+)?$"),
    Field(description="media type, with its charset where it has one: `text/markdown`"),
]
UploadName = Annotated[
    str, StringConstraints(min_length=1, max_length=NAME_MAX_CHARACTERS), AfterValidator(_check_name)
]


class DocumentOptions(RequestModel):
    """What is asked of an uploaded document: of its fields `url` or `name` says which document it is."""

    url: Url | None = Field(default=None, description="what it is found under; without it that is `upload:<name>`")
    name: UploadName | None = Field(default=None, description="a file's name, where there is no `url`")
    corpus_name: CorpusName = "default"
    metadata: Metadata = Field(default_factory=dict)
    chunking: ChunkingOptions = Field(default_factory=ChunkingOptions)
    force: bool = Field(default=False, description="cut and embed it also where the same text is there already")

    @model_validator(mode="after")
    def _names_a_document(self) -> Self:
        if self.url is None and self.name is None:
            raise ValueError("give url, or name: the same again replaces the document")
        return self

    @property
    def document(self) -> str:
        """What the document is found under."""
        return self.url if self.url is not None else upload_url(self.name or "")


class DocumentRequest(DocumentOptions):
    """`POST /documents` as JSON: a text."""

    content: Annotated[str, StringConstraints(min_length=1)]
    content_type: ContentType = "text/plain"


class DocumentForm(DocumentOptions):
    """`POST /documents` as a form: what comes beside the file."""

    content_type: ContentType | None = None
