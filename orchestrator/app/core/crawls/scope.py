"""What belongs to a crawl: which hosts, and which paths of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ml_shared.contracts.crawls import SkipReason
from ml_shared.web.urls import host_of

_WWW = "www."


def site_of(url: str) -> str:
    """Return what of a URL says whose page it is: its host and port. Scheme and `www.` do not matter."""
    return host_of(url).removeprefix(_WWW)


def matches(glob: str, path: str) -> bool:
    """Say whether a path is one that a glob means: `*` stands for any characters, slashes too, `?` for one.

    In time proportional to the product of their lengths, whatever is asked: a regular expression of many stars is not.
    """
    at, star, mark, here = 0, -1, 0, 0
    while here < len(path):
        if at < len(glob) and glob[at] == "*":
            star, mark = at, here
            at += 1
        elif at < len(glob) and glob[at] in ("?", path[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            at, mark = star + 1, mark + 1
            here = mark
        else:
            return False
    return all(character == "*" for character in glob[at:])


@dataclass(frozen=True, slots=True)
class Scope:
    """Which URLs belong to a crawl.

    Attributes
    ----------
    sites
        Hosts, as `site_of` has them.
    subdomains
        Whether what lies below these belongs to it as well.
    include, exclude
        Globs on the path. With any `include` one of them has to match; `exclude` wins.
    """

    sites: frozenset[str]
    subdomains: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def refusal(self, url: str) -> SkipReason | None:
        """Return why a normalised URL does not belong to the crawl, or `None` if it does."""
        if not self._of_the_site(site_of(url)):
            return SkipReason.OUT_OF_SCOPE
        path = urlsplit(url).path or "/"
        if any(matches(glob, path) for glob in self.exclude):
            return SkipReason.EXCLUDED
        if self.include and not any(matches(glob, path) for glob in self.include):
            return SkipReason.EXCLUDED
        return None

    def _of_the_site(self, site: str) -> bool:
        if site in self.sites:
            return True
        return self.subdomains and any(site.endswith(f".{known}") for known in self.sites)
