"""What a site's robots.txt says of a page (RFC 9309)."""

import hashlib
from dataclasses import dataclass
from typing import Final

from app.core.errors import RobotsDisallowedError
from app.core.robots.groups import ROBOTS_MAX_BYTES as ROBOTS_MAX_BYTES
from app.core.robots.groups import decoded, read_group, rule_line
from app.core.robots.patterns import comparable_path, matched_octets
from ml_shared.contracts.scraping import RobotsVerdict

_RULE_MAX_CHARACTERS: Final = 500
# of what a verdict quotes
_INDEX: Final = "index.html"


@dataclass(frozen=True)
class RobotsFile:
    """A robots.txt as far as it concerns us. `text` is `None` where there is none, which allows everything."""

    text: str | None = None
    digest: str | None = None

    @classmethod
    def read(cls, body: bytes, agent: str) -> "RobotsFile":
        """Take in a body as a server sent it; `agent` is the token that rules name us by."""
        return cls(read_group(decoded(body), agent).text(), hashlib.sha256(body).hexdigest())


class RobotsRules:
    """The rules of one site for one agent.

    Parameters
    ----------
    agent
        The token that a robots.txt names us by: letters, `-` and `_`, without a version.

    Attributes
    ----------
    sitemaps
        What the site lists as its sitemaps, as it was written; at most 100 of them.
    """

    def __init__(self, file: RobotsFile, agent: str) -> None:
        self._digest = file.digest
        self._agent = agent
        reading = read_group((file.text or "").split("\n"), agent)
        self._group = reading.group
        self.sitemaps = reading.sitemaps

    @property
    def delay_seconds(self) -> float | None:
        """The gap between requests that the site asks for."""
        return self._group.delay_seconds

    def check(self, url: str) -> RobotsVerdict:
        """Return the verdict on a page that may be fetched.

        Raises
        ------
        RobotsDisallowedError
            If it may not be.
        """
        allows, pattern = self._deciding_rule(url)
        rule = None if pattern is None else rule_line(allows, pattern)[:_RULE_MAX_CHARACTERS]
        if not allows:
            raise RobotsDisallowedError(f"the site's robots.txt asks {self._agent} not to fetch this page ({rule})")
        return RobotsVerdict(allowed=True, rule=rule, crawl_delay=self.delay_seconds, robots_hash=self._digest)

    def _deciding_rule(self, url: str) -> tuple[bool, str | None]:
        """Return the longest rule that is about a page; of two as long, the one that allows it."""
        path = comparable_path(url)
        best: tuple[int, bool, str | None] = (0, True, None)
        if path == "/robots.txt":
            return True, None  # never forbidden (RFC 9309, 2.2.2)
        for allows, written in self._group.rules:
            for pattern in _spellings(allows, written):
                octets = matched_octets(pattern, path)
                if octets is not None and (octets, allows) > best[:2]:
                    best = octets, allows, written
        return best[1:]


def _spellings(allows: bool, pattern: str) -> tuple[str, ...]:
    """Return a rule's pattern; one that allows a folder's index page allows the folder's own address as well."""
    if allows and pattern.endswith(f"/{_INDEX}"):
        return pattern, pattern.removesuffix(_INDEX) + "$"
    return (pattern,)
