"""What extraction finds in a page. Apart from the parsers, which only the extraction processes import."""

from dataclasses import dataclass, field


@dataclass
class Extract:
    """What a page holds.

    Attributes
    ----------
    content
        Markdown, or the text itself of a page that is not markup.
    language
        As the page states it.
    published_at
        An RFC 3339 date or date-time.
    links
        Absolute, each once.
    """

    content: str
    title: str | None = None
    language: str | None = None
    author: str | None = None
    published_at: str | None = None
    canonical_url: str | None = None
    links: list[str] = field(default_factory=list)
