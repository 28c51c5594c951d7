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
        Absolute, each once, at most `LINKS_MAX` of them.
    nofollow_links
        Those of them that robots are asked not to follow.
    links_left_out
        How many more there are.
    links_too_long
        How many there are that are longer than a URL may be, and not told.
    media_type
        What the page was read as: what its bytes are.
    method
        How its text was found.
    kept_share
        Share of the words that the page shows which the text has; `None` where it shows none. Of a book its chapters' share, if
        some are not read.
    warnings
        Values of `ExtractionWarning`.
    refresh
        Where the page sends its reader; then it is not what was asked for, and nothing else of it is told.
    robots
        What the page asks robots for, such as `nofollow`.
    pages
        Of what has pages or slides: their numbers, and where in the content each begins.
    """

    content: str
    title: str | None = None
    language: str | None = None
    author: str | None = None
    published_at: str | None = None
    canonical_url: str | None = None
    links: list[str] = field(default_factory=list)
    nofollow_links: list[str] = field(default_factory=list)
    links_left_out: int = 0
    links_too_long: int = 0
    media_type: str = ""
    method: str = ""
    kept_share: float | None = None
    warnings: list[str] = field(default_factory=list)
    refresh: str | None = None
    robots: list[str] = field(default_factory=list)
    pages: list[tuple[int, int]] = field(default_factory=list)
