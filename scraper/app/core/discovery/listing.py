"""What was read of a document that lists URLs, as it is gathered. Apart from the parsers, which only the processes import."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urljoin

from ml_shared.contracts.links import LISTED_MAX
from ml_shared.web.urls import URL_MAX_CHARACTERS, InvalidUrlError, UrlTooLongError, normalise_url

LISTED_MAX_CHARACTERS: Final = 16 * 2**20
# of all URLs together: half of what is kept of one result
WARNINGS_MAX: Final = 10


@dataclass
class Listing:
    """One document, read.

    Attributes
    ----------
    kind
        A value of `ListKind`.
    links
        Of each page its URL, absolute and normalised, and when it changed, as RFC 3339, if that is known.
    sitemaps
        Further lists.
    truncated
        Whether it has more than was read.
    warnings
        What could not be read, so that pages may be missing.
    notes
        What is not as it should be, where nothing that could be fetched is missing for it.
    """

    kind: str
    links: list[tuple[str, str | None]] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    truncated: bool = False
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Gathering:
    """A listing that grows up to its bounds; each URL is in it once.

    Parameters
    ----------
    base
        What its URLs are relative to.
    most
        URLs of both kinds together.
    """

    def __init__(self, kind: str, base: str, *, most: int = LISTED_MAX) -> None:
        self._listing = Listing(kind)
        self._base = base
        self._most = most
        self._seen: dict[str, int] = {}
        self._sitemaps: dict[str, None] = {}
        self._characters = 0
        self._unreadable = 0
        self._example = ""
        self._undated = 0
        self._too_long = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken in."""
        return self._listing.truncated

    def link(self, url: str, lastmod: datetime | None = None, *, said: str = "") -> None:
        """Take in a page; `said` is how its list writes the time, to tell of one that can't be read."""
        if said.strip() and lastmod is None:
            self._undated += 1
        normal = self._normal(url)
        if normal is None:
            return
        if normal in self._seen:
            self._date(self._seen[normal], lastmod)
        elif self._has_room(normal):
            self._seen[normal] = len(self._listing.links)
            self._listing.links.append((normal, lastmod.isoformat() if lastmod else None))

    def sitemap(self, url: str) -> None:
        """Take in a further list."""
        normal = self._normal(url)
        if normal is not None and normal not in self._sitemaps and self._has_room(normal):
            self._sitemaps[normal] = None

    def warn(self, text: str) -> None:
        """Say what could not be read."""
        if len(self._listing.warnings) < WARNINGS_MAX:
            self._listing.warnings.append(text)

    def note(self, text: str) -> None:
        """Say what is not as it should be, and cost no page."""
        if len(self._listing.notes) < WARNINGS_MAX:
            self._listing.notes.append(text)

    def cut(self) -> None:
        """Say that there is more than was read."""
        self._listing.truncated = True

    def finished(self) -> Listing:
        """Return what came together."""
        if self._unreadable:
            self.warn(f"{self._unreadable} entries have no URL that can be fetched, such as {self._example!r}")
        if self._too_long:
            self.note(
                f"{self._too_long} entries have URLs of more than {URL_MAX_CHARACTERS} characters, which name no page here"
            )
        if self._undated:
            self.note(f"{self._undated} times could not be read")
        self._listing.sitemaps = list(self._sitemaps)
        return self._listing

    def _date(self, position: int, lastmod: datetime | None) -> None:
        """Of two times of one page the later one counts."""
        url, known = self._listing.links[position]
        if lastmod is not None and (known is None or datetime.fromisoformat(known) < lastmod):
            self._listing.links[position] = url, lastmod.isoformat()

    def _normal(self, url: str) -> str | None:
        try:
            if not url.strip():
                raise InvalidUrlError("there is none")  # joined with the list's own it would be that
            return normalise_url(urljoin(self._base, url.strip()))
        except UrlTooLongError:
            self._too_long += 1
            return None
        except (InvalidUrlError, ValueError):
            self._unreadable += 1
            self._example = self._example or " ".join(url.split())[:100]
            return None

    def _has_room(self, url: str) -> bool:
        if len(self._seen) + len(self._sitemaps) >= self._most or self._characters + len(url) > LISTED_MAX_CHARACTERS:
            self._listing.truncated = True
            return False
        self._characters += len(url)
        return True
