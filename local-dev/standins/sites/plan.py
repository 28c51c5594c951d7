"""What a made-up site is like."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final, Self

PATIENT_SECONDS: Final = 0.3
"""What a slow page takes, unless told otherwise."""
RETRY_AFTER_SECONDS: Final = 1
"""What a busy page asks for, once."""


class Shape(StrEnum):
    """How the ordinary pages link to each other."""

    TREE = "tree"
    CHAIN = "chain"
    STAR = "star"
    MESH = "mesh"


class Mode(StrEnum):
    """What happened to the whole site."""

    NORMAL = "normal"
    ALL_404 = "all_404"
    EMPTY_SITEMAP = "empty_sitemap"
    LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Options:
    """What there is on a site.

    Attributes
    ----------
    seed, host
        Two sites that differ in either have no text in common.
    pages
        Ordinary ones, the root among them.
    shape, branching
        How these link to each other: a tree (and a mesh, which has links across) with so many children of a page, a chain,
        or a star, whose root links to all.
    words
        Of each page.
    orphans
        Pages that the sitemap alone names.
    sitemap, packed, indexed
        Whether there is one; whether it is a `.gz`; whether it is an index with two.
    robots
        Whether there is a robots.txt, and its forbidden pages.
    crawl_delay
        Seconds that it asks for.
    etags, last_modified
        Which validators pages have.
    canonical, duplicates, redirects, gone, busy, slow
        How many pages say that they are another one, have another one's text, redirect to another one, answer 404 or 410,
        answer 429 the first time, or take `slow_seconds`.
    loops
        Whether redirects go round.
    calendar, sessions, facets, nested
        Areas without an end.
    nofollow, noindex, charsets, base, outside, files, tracking
        Links and pages that robots are to leave alone; texts in other character sets; a page with `<base>`; links to
        another host; a picture; links with what only tracks who comes.
    version
        What every page's generator is called: it changes bytes and ETags, and no text.
    """

    seed: int = 1
    host: int = 0
    pages: int = 50
    shape: Shape = Shape.TREE
    branching: int = 4
    words: int = 120
    orphans: int = 2
    sitemap: bool = True
    packed: bool = False
    indexed: bool = False
    robots: bool = True
    crawl_delay: float = 0.0
    etags: bool = True
    last_modified: bool = True
    canonical: int = 2
    duplicates: int = 2
    redirects: int = 2
    gone: int = 2
    busy: int = 1
    slow: int = 1
    slow_seconds: float = PATIENT_SECONDS
    loops: bool = True
    calendar: bool = True
    sessions: bool = True
    facets: bool = True
    nested: bool = True
    nofollow: bool = True
    noindex: bool = True
    charsets: bool = True
    base: bool = True
    outside: bool = True
    files: bool = True
    tracking: bool = True
    version: str = "1"

    def __post_init__(self) -> None:
        if self.pages < 1 or self.branching < 1:
            raise ValueError("a site has at least one page, and a page of a tree at least one child")
        few = ("canonical", "duplicates", "redirects")
        if any(getattr(self, name) > max(self.pages - 1, 0) for name in few):
            raise ValueError(
                f"{', '.join(few)} are of ordinary pages other than the root, so there can't be more of each"
            )

    @classmethod
    def plain(cls, **more: object) -> Self:
        """Return the options of a site of ordinary pages and nothing else, but for what is given."""
        nothing = {name: False if kind == "bool" else 0 for name, kind in cls._extras()}
        return cls(**{**nothing, **more})  # type: ignore[arg-type]

    @classmethod
    def _extras(cls) -> Iterable[tuple[str, str]]:
        extras = {
            *(
                "orphans",
                "canonical",
                "duplicates",
                "redirects",
                "gone",
                "busy",
                "slow",
                "loops",
                "calendar",
                "sessions",
            ),
            *("facets", "nested", "nofollow", "noindex", "charsets", "base", "outside", "files", "tracking"),
        }
        return [
            (one.name, "bool" if isinstance(one.default, bool) else "int") for one in fields(cls) if one.name in extras
        ]
