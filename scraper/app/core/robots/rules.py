"""What a site's robots.txt says of a page (RFC 9309)."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from protego import Protego
from protego._utils import _quote_path

from app.core.errors import RobotsDisallowedError
from ml_shared.contracts.scraping import RobotsVerdict

ROBOTS_MAX_BYTES: Final = 500 * 1024
# what RFC 9309 asks a crawler to read at least; the rest is left out

_AGENT = re.compile(r"user[ -]?agent\b[\s:]*([^/]*)", re.IGNORECASE)
_SITE_WIDE = re.compile(r"(sitemaps?|site-map|host)\b", re.IGNORECASE)
_RULE = re.compile(r"[^:]*:|(allow|dis|crawl|request|visit)", re.IGNORECASE)


@dataclass(frozen=True)
class RobotsFile:
    """A robots.txt as far as it concerns us. `text` is `None` where there is none, which allows everything."""

    text: str | None = None
    digest: str | None = None

    @classmethod
    def read(cls, body: bytes, agent: str) -> "RobotsFile":
        """Take in a body as a server sent it; `agent` is the token that rules name us by."""
        text = body.decode("utf-8-sig", errors="replace").replace("\0", "")
        return cls(relevant_lines(text, agent), hashlib.sha256(body).hexdigest())


def relevant_lines(text: str, agent: str) -> str:
    """Return the groups of a robots.txt that are about one agent or about all.

    Besides being shorter it keeps the parser's work linear: thousands of agents in one group, each with thousands of
    rules, are otherwise their product.
    """
    token = agent.lower()
    kept: list[str] = []
    concerned, in_rules = False, True
    for raw_line in text.splitlines():
        line = raw_line.partition("#")[0].strip()
        if not line or _SITE_WIDE.match(line):
            continue
        named = _AGENT.match(line)
        if named is not None:
            if in_rules:
                concerned, in_rules = False, False
            name = named[1].strip().lower()
            if name == "*" or (name.replace("*", "") and name.replace("*", "") in token):
                concerned = True
                kept.append(f"User-agent: {name}")
        elif _RULE.match(line):
            in_rules = True
            if concerned:
                kept.append(line)
    return "\n".join(kept)


class RobotsRules:
    """The rules of one site for one agent.

    Parameters
    ----------
    agent
        The token that a robots.txt names us by: letters, `-` and `_`, without a version.
    """

    def __init__(self, file: RobotsFile, agent: str) -> None:
        self._digest = file.digest
        self._agent = agent
        self._rules = Protego.parse(file.text or "")

    @property
    def delay_seconds(self) -> float | None:
        """The gap between requests that the site asks for."""
        delay = self._rules.crawl_delay(self._agent)
        rate = self._rules.request_rate(self._agent)
        if rate is None:
            return delay
        return max(delay or 0.0, rate.seconds / rate.requests)

    def check(self, url: str) -> RobotsVerdict:
        """Return the verdict on a page that may be fetched.

        Raises
        ------
        RobotsDisallowedError
            If it may not be.
        """
        rule = self._deciding_rule(url)
        if not self._rules.can_fetch(url, self._agent):
            line = f" ({rule})" if rule else ""
            raise RobotsDisallowedError(f"the site's robots.txt asks {self._agent} not to fetch this page{line}")
        return RobotsVerdict(allowed=True, rule=rule, crawl_delay=self.delay_seconds, robots_hash=self._digest)

    def _deciding_rule(self, url: str) -> str | None:
        # Protego says whether, not why; its rules stand in the order in which they are tried (pinned below 0.8)
        rule_set = self._rules._get_matching_rule_set(self._agent)
        path = _quote_path(url)
        for rule in rule_set._rules if rule_set is not None else ():
            if rule.value.match(path):
                return f"{rule.field.capitalize()}: {rule.value._pattern}"[:500]
        return None
