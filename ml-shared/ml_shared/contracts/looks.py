"""A look at a page: what it was found to be, by which the next look may tell that it has not changed."""

from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from ml_shared.contracts.base import PeerModel
from ml_shared.contracts.embedding import LINE_MAX_CHARACTERS, TITLE_MAX_CHARACTERS
from ml_shared.contracts.scraping import ScrapeResult, Validator
from ml_shared.contracts.values import storable
from ml_shared.web.urls import URL_MAX_CHARACTERS

_DOCUMENT_FIELDS: Final = {
    "title", "final_url", "canonical_url", "content_type", "language", "author", "published_at", "content_hash",
    "fetched_at",
}  # fmt: skip
_LONGEST: Final = {
    "title": TITLE_MAX_CHARACTERS, "final_url": URL_MAX_CHARACTERS, "canonical_url": URL_MAX_CHARACTERS,
    **dict.fromkeys(("content_type", "language", "author", "published_at", "content_hash"), LINE_MAX_CHARACTERS),
}  # fmt: skip
_OF_AN_ABSENT_PAGE: Final = {"fetched_at"}
# what a page that was not sent says of itself
_VALIDATOR: Final[TypeAdapter[str]] = TypeAdapter(Validator)


def _sendable(value: Any) -> str | None:
    """Return what may be sent back to the site; what is no header's value is not kept, and costs the page nothing."""
    try:
        return _VALIDATOR.validate_python(value)
    except ValidationError:
        return None


def kept(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a page says of itself as a corpus keeps it: an author of a megabyte is no reason to lose the page."""
    short = dict(document)
    for name, most in _LONGEST.items():
        value = document.get(name)
        if isinstance(value, str):
            # of a URL a part is another URL
            short[name] = None if name.endswith("_url") and len(value) > most else storable(value[:most])
    return short


def described(page: ScrapeResult) -> dict[str, Any]:
    """Return what a page says of itself, as a corpus keeps it."""
    fields = _OF_AN_ABSENT_PAGE if page.not_modified else _DOCUMENT_FIELDS
    return kept(page.model_dump(mode="json", include=fields))


class Look(PeerModel):
    """What a scraper tells of a page beside the page itself."""

    not_modified: bool = Field(default=False, description="it is as its validators say, and was not sent")
    etag: Annotated[str | None, BeforeValidator(_sendable)] = None
    last_modified: Annotated[str | None, BeforeValidator(_sendable)] = None
    content_hash: Annotated[str, Field(max_length=LINE_MAX_CHARACTERS)] | None = None
    document: dict[str, Any] = Field(default_factory=dict, description="what it says of itself")

    @classmethod
    def of(cls, page: ScrapeResult) -> Self:
        """Return the look that made a page."""
        return cls(
            not_modified=page.not_modified,
            etag=page.etag,
            last_modified=page.last_modified,
            content_hash=None if page.not_modified else page.content_hash,
            document=described(page),
        )


__all__ = ["Look", "described", "kept"]
