"""The frontier: URLs that a run has met, each once, and which of them are not fetched and why."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.core.crawls.addresses import hash_of, page_url
from app.core.crawls.definition import Definition
from app.core.crawls.scope import Scope
from app.core.crawls.traps import Shape, is_nested, listed, shape_of
from ml_shared.contracts.crawls import SkipReason
from ml_shared.web.urls import InvalidUrlError, host_of

LINKS_MOST: Final = 5_000
# of one page; what is beyond is counted
SKIPPED_KEPT: Final = 10_000
# rows of what a run left out; beyond it are counts only
SITEMAPS_DEEP: Final = 3
# indexes of indexes of sitemaps
AT_ONCE: Final = 100
# URLs looked at before others get their turn: one takes some tens of microseconds

_MEET = "SELECT meet_pages($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"


@dataclass(frozen=True, slots=True)
class Met:
    """A URL that a run meets.

    Attributes
    ----------
    kind
        `page`, or `links` of a sitemap or feed to read.
    optional
        Whether it is no matter if there is none.
    reason
        Why it is not fetched, or `None` if it is to be.
    lastmod
        When it changed last, as a sitemap says.
    """

    url: str
    url_hash: bytes
    host: str
    shape: Shape
    kind: str = "page"
    optional: bool = False
    reason: SkipReason | None = None
    lastmod: datetime | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link as a page or a sitemap has it."""

    url: str
    lastmod: datetime | None = None
    nofollow: bool = False


@dataclass(frozen=True, slots=True)
class RunScope:
    """What a run goes by when it meets URLs."""

    definition: Definition
    scope: Scope

    def met(self, link: Link, *, depth: int, is_listed: bool = False) -> Met | None:
        """Return what becomes of a link to a page, or `None` if it is none that could be fetched by anyone.

        What is said first is what is decided by the URL alone, so that it is the same wherever it is met.

        Parameters
        ----------
        is_listed
            Whether a sitemap or a feed names it, or a page that is listed does so as its right name: that is no trap.
        """
        definition = self.definition
        try:
            url = page_url(link.url, keep_query=definition.keep_query)
        except InvalidUrlError:
            return None
        reason = self.scope.refusal(url)
        if reason is None and not is_listed and is_nested(url):
            reason = SkipReason.TRAP
        if reason is None and link.nofollow:
            reason = SkipReason.NOFOLLOW
        if reason is None and depth > definition.max_depth:
            reason = SkipReason.TOO_DEEP
        url_hash = hash_of(url)
        shape = listed(url_hash) if is_listed else shape_of(url)
        return Met(url, url_hash, host_of(url), shape, reason=reason, lastmod=link.lastmod)

    def seed(self, url: str) -> Met | None:
        """Return a page that a run begins with, whatever its path; `None` if nothing can be fetched from it."""
        try:
            normal = page_url(url, keep_query=self.definition.keep_query)
        except InvalidUrlError:
            return None
        url_hash = hash_of(normal)
        return Met(normal, url_hash, host_of(normal), listed(url_hash))


async def all_met(scope: RunScope, links: Iterable[Link], *, depth: int, are_listed: bool = False) -> list[Met]:
    """Return what becomes of links, each URL once; the first of them decides, unless a later one may be followed."""
    found: dict[bytes, Met] = {}
    for number, link in enumerate(links):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        met = scope.met(link, depth=depth, is_listed=are_listed)
        if met is None:
            continue
        known = found.get(met.url_hash)
        if known is None or (known.reason is SkipReason.NOFOLLOW and met.reason is None):
            found[met.url_hash] = met
    return list(found.values())


def to_read(url: str, *, optional: bool = False) -> Met | None:
    """Return a sitemap or feed that is to be read, or `None` if it is no URL."""
    try:
        normal = page_url(url, keep_query=True)
    except InvalidUrlError:
        return None
    # another name than that of a page with the same URL: a sitemap may be linked to, too
    return Met(normal, hash_of(f"links {normal}"), host_of(normal), shape_of(normal), kind="links", optional=optional)


def most_met(definition: Definition) -> int:
    """Return how many URLs a run keeps to fetch: more than it may ask for, since some turn out to be traps."""
    return 2 * definition.max_pages + 1_000


async def meet(
    connection: Any,
    crawl_id: UUID,
    run: int,
    definition: Definition,
    met: Sequence[Met],
    *,
    found_on: bytes | None,
    depth: int,
) -> int:
    """Take URLs into a run, as a part of the caller's transaction; return how many are new to it and to be fetched."""
    if not met:
        return 0
    added: int = await connection.fetchval(
        _MEET,
        *(crawl_id, run, found_on, depth, most_met(definition), SKIPPED_KEPT),
        [one.url for one in met],
        [one.url_hash for one in met],
        [one.host for one in met],
        [one.kind for one in met],
        [one.optional for one in met],
        [one.reason for one in met],
        [one.shape.pattern for one in met],
        [one.shape.most for one in met],
        [one.shape.patience for one in met],
        [one.lastmod for one in met],
    )
    return added
