"""Which pages a made-up site has, what each is, and where it links to."""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from standins.sites.plan import Options, Shape

OUTSIDE: Final = "https://elsewhere.example/"
EXTRAS: Final = "/extras"
CHARSETS: Final = {"windows-1252": "café", "koi8-r": "Привет", "shift_jis": "こんにちは", "utf-16": "naïve"}
ENDLESS: Final = ("/calendar/", "/sessions/", "/shop", "/nested/")
"""Areas of which a right crawl reads a few pages and gives up."""


class Kind(StrEnum):
    """What a path answers."""

    PAGE = "page"
    GONE = "gone"
    MISSING = "missing"
    REDIRECT = "redirect"
    BUSY = "busy"
    SLOW = "slow"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class Link:
    """A link as a page has it: `href` as it is written, `path` where it leads on the site (or a whole URL outside)."""

    path: str
    href: str
    nofollow: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A page.

    Attributes
    ----------
    text_of
        The path whose text it has: its own, unless it is a copy.
    canonical, target
        What it says that it is, or redirects to.
    base
        What its links are relative to.
    nofollow, noindex
        What it asks of robots.
    charset
        What it is sent in.
    """

    path: str
    kind: Kind = Kind.PAGE
    text_of: str = ""
    links: tuple[Link, ...] = ()
    canonical: str | None = None
    target: str | None = None
    base: str | None = None
    nofollow: bool = False
    noindex: bool = False
    charset: str = "utf-8"


def link(path: str, *, href: str | None = None, nofollow: bool = False) -> Link:
    """Return a link to a path of the site."""
    return Link(path, path if href is None else href, nofollow)


class Graph:
    """A site's pages, each made when it is asked for: those of endless areas never all exist."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def node(self, path: str) -> Node | None:
        """Return what there is at a path (with its query), or `None`."""
        found = self._finite.get(path)
        if found is not None:
            return found
        if path.startswith("/pages/"):
            number = path.removeprefix("/pages/")
            is_one = number.isdecimal() and str(int(number)) == number and 0 < int(number) < self.options.pages
            return self._ordinary(int(number)) if is_one else None
        return next((make(path) for area, make in self._endless.items() if path.startswith(area)), None)

    def is_endless(self, path: str) -> bool:
        """Whether a path lies in an area that has no end."""
        return path.startswith(tuple(self._endless))

    @property
    def areas(self) -> list[str]:
        """How the paths of each endless area begin."""
        return list(self._endless)

    @property
    def paths(self) -> Iterator[str]:
        """All paths but those of endless areas."""
        yield from (self.ordinary(number) for number in range(self.options.pages))
        yield from (path for path in self._finite if path != "/")

    @property
    def listed(self) -> list[str]:
        """What the sitemap names."""
        return [*(self.ordinary(number) for number in range(self.options.pages)), *self._orphans]

    @property
    def forbidden(self) -> list[str]:
        """What robots.txt forbids."""
        return [f"/private/{number}" for number in range(2)] if self.options.robots and self._has_extras else []

    @staticmethod
    def ordinary(number: int) -> str:
        """Return the path of an ordinary page."""
        return f"/pages/{number}" if number else "/"

    @property
    def _orphans(self) -> list[str]:
        return [f"/orphans/{number}" for number in range(self.options.orphans if self.options.sitemap else 0)]

    @cached_property
    def _has_extras(self) -> bool:
        return self.options != Options.plain(
            **{name: getattr(self.options, name) for name in Options.__slots__ if name not in dict(Options._extras())}
        )

    def _random(self, *what: object) -> random.Random:
        return random.Random("/".join(map(str, (self.options.seed, self.options.host, *what))))  # noqa: S311 - no secret

    def _ordinary(self, number: int) -> Node:
        options, last = self.options, self.options.pages - 1
        if options.shape is Shape.STAR:
            numbers = list(range(1, options.pages)) if number == 0 else [0]
        elif options.shape is Shape.CHAIN:
            numbers = [number + 1] if number < last else [0]
        else:
            first = number * options.branching + 1
            numbers = [*range(first, min(first + options.branching, options.pages))]
        if options.shape is Shape.MESH:
            numbers += self._random("mesh", number).choices(range(options.pages), k=3)
        links = [link(self.ordinary(other)) for other in dict.fromkeys(numbers)]
        if number == 0 and self._has_extras:
            links.append(link(EXTRAS))
        if options.tracking and number:
            links.append(link("/", href=f"/?utm_source=page{number}&gclid=g{number}#top"))
        path = self.ordinary(number)
        return Node(path, text_of=path, links=tuple(links))

    @cached_property
    def _finite(self) -> dict[str, Node]:
        nodes = {"/": self._ordinary(0)}
        if not self._has_extras and not self._orphans:
            return nodes
        options, linked = self.options, list[Link]()
        if self._has_extras:
            for node, hangs_on_extras in self._extra():
                nodes[node.path] = node
                if hangs_on_extras:
                    linked.append(link(node.path, nofollow=node.path.startswith("/nofollowed/")))
            linked += [link(area) for area in self._beginnings]
            if options.outside:
                linked.append(Link(OUTSIDE, OUTSIDE))
            nodes[EXTRAS] = Node(EXTRAS, text_of=EXTRAS, links=tuple(linked))
        for path in self._orphans:
            nodes[path] = Node(path, text_of=path)
        return nodes

    def _extra(self) -> Iterator[tuple[Node, bool]]:
        """Yield each page that is out of the ordinary, and whether the page of extras links to it."""
        options = self.options
        kinds = ((Kind.GONE, options.gone), (Kind.BUSY, options.busy), (Kind.SLOW, options.slow))
        for kind, count in kinds:
            for number in range(count):
                path = f"/{kind}/{number}"
                yield Node(path, Kind.MISSING if kind is Kind.GONE and number % 2 else kind, text_of=path), True
        for number in range(1, options.canonical + 1):
            yield Node(f"/print/{number}", text_of=f"/pages/{number}", canonical=f"/pages/{number}"), True
        for number in range(1, options.duplicates + 1):
            yield Node(f"/copies/{number}", text_of=f"/pages/{number}"), True
        for number in range(1, options.redirects + 1):
            yield Node(f"/old/{number}", Kind.REDIRECT, target=f"/pages/{number}"), True
        if options.loops:
            yield Node("/loop/a", Kind.REDIRECT, target="/loop/b"), True
            yield Node("/loop/b", Kind.REDIRECT, target="/loop/a"), False
        if options.nofollow:
            yield Node("/nofollowed/1", text_of="/nofollowed/1"), True
            yield Node("/quiet", text_of="/quiet", links=(link("/behind/1"),), nofollow=True), True
            yield Node("/behind/1", text_of="/behind/1"), False
        if options.noindex:
            yield Node("/noindex", text_of="/noindex", noindex=True), True
        if options.charsets:
            for name in CHARSETS:
                yield Node(f"/charsets/{name}", text_of=f"/charsets/{name}", charset=name), True
        if options.base:
            inner = Link("/based/inner/page", "page")
            yield Node("/based/", text_of="/based/", links=(inner,), base="/based/inner/"), True
            yield Node("/based/inner/page", text_of="/based/inner/page"), False
        if options.files:
            yield Node("/files/picture.png", Kind.PICTURE), True
        for path in self.forbidden:
            yield Node(path, text_of=path), True

    @cached_property
    def _endless(self) -> dict[str, Callable[[str], Node | None]]:
        options = self.options
        makers = (self._month, self._session, self._facet, self._nested)
        wanted = (options.calendar, options.sessions, options.facets, options.nested)
        return {area: make for area, make, is_there in zip(ENDLESS, makers, wanted, strict=True) if is_there}

    @property
    def _beginnings(self) -> list[str]:
        begins = dict(zip(ENDLESS, ("/calendar/2024/01", "/sessions/0", "/shop?color=red", "/nested/"), strict=True))
        return [begins[area] for area in self._endless]

    def _month(self, path: str) -> Node | None:
        year, _, month = path.removeprefix("/calendar/").partition("/")
        if not (year.isdecimal() and month.isdecimal() and len(year) == 4 and len(month) == 2):
            return None
        months = int(year) * 12 + int(month) - 1
        others = [f"/calendar/{at // 12:04}/{at % 12 + 1:02}" for at in (months - 1, months + 1) if 0 < at < 119_988]
        return Node(path, text_of=path, links=tuple(map(link, others)))

    def _session(self, path: str) -> Node:
        # whoever comes gets ids of their own: the same list at ever new addresses
        ids = [hashlib.sha256(f"{path}/{number}".encode()).hexdigest()[:24] for number in range(3)]
        return Node(path, text_of="/sessions/", links=tuple(link(f"/sessions/{one}") for one in ids))

    def _facet(self, path: str) -> Node:
        chosen = dict(pair.partition("=")[::2] for pair in path.partition("?")[2].split("&"))
        others = []
        for name in ("color", "size", "brand", "sort", "page"):
            value = str(int(hashlib.sha256(f"{path}{name}".encode()).hexdigest(), 16) % 1_000)
            others.append("/shop?" + "&".join(f"{key}={of}" for key, of in sorted({**chosen, name: value}.items())))
        return Node(path, text_of="/shop", links=tuple(map(link, others)))

    def _nested(self, path: str) -> Node | None:
        if not path.endswith("/"):
            return None
        return Node(path, text_of="/nested/", links=(link(f"{path}nested/", href="nested/"),))
