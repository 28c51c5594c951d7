"""Reading a robots.txt: its lines, its groups, and which of them are about us (RFC 9309, 2.1 and 2.2).

Lenient where sites are known to err and what they mean is plain: a missing colon, `disalow`, `useragent`, a torn
byte-order mark. Whatever else is not understood changes nothing, and ends no group.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

ROBOTS_MAX_BYTES: Final = 500 * 1024
# what RFC 9309 asks a crawler to read at least; the rest is left out
_LINE_MAX_BYTES: Final = 8 * 2_083 - 1
# what Google reads of a line: eight times the longest URL of an old browser. No rule that long means more than its start
SITEMAPS_MAX: Final = 100
_SITEMAP_MAX_CHARACTERS: Final = 2_048
_EVERYONE: Final = "*"
_BYTE_ORDER_MARK: Final = re.compile(rb"\xef(?:\xbb(?:\xbf)?)?")
_LOST: Final = re.compile("[\udc80-\udcff]")
_NAME: Final = re.compile(r"\*(?![^\s/])|[\w.-]+", re.ASCII)
_RATE: Final = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})\s*([smhd]?)\b", re.IGNORECASE)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class _Kind(Enum):
    AGENT = auto()
    ALLOW = auto()
    DISALLOW = auto()
    DELAY = auto()
    RATE = auto()
    SITEMAP = auto()


_KINDS: Final = {
    **dict.fromkeys(("user-agent", "useragent", "user agent"), _Kind.AGENT),
    "allow": _Kind.ALLOW,
    **dict.fromkeys(
        ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw", "dissalaw"), _Kind.DISALLOW
    ),
    **dict.fromkeys(("crawl-delay", "crawldelay", "crawl delay"), _Kind.DELAY),
    **dict.fromkeys(("request-rate", "requestrate", "request rate"), _Kind.RATE),
    **dict.fromkeys(("sitemap", "sitemaps", "site-map"), _Kind.SITEMAP),
}
_WITHOUT_COLON: Final = re.compile(rf"({'|'.join(_KINDS)})\s+(\S+)", re.IGNORECASE)
# one word behind it: a sentence that happens to begin with "allow" is no rule


@dataclass
class Group:
    """What a robots.txt asks of one agent.

    Attributes
    ----------
    rules
        Whether each allows or forbids, and its pattern as it was written.
    delay_seconds
        The longest gap between requests that it asks for.
    """

    rules: list[tuple[bool, str]] = field(default_factory=list)
    delay_seconds: float | None = None

    def ask_for_delay(self, seconds: float | None) -> None:
        """Take in another wish; of several the longest is heeded."""
        if seconds is not None:
            self.delay_seconds = max(seconds, self.delay_seconds or 0.0)


@dataclass
class Reading:
    """A robots.txt as one agent reads it.

    Attributes
    ----------
    name
        Whom the group is about: our token or `*`; `None` if the file has none for us.
    """

    name: str | None
    group: Group
    sitemaps: tuple[str, ...]

    def text(self) -> str:
        """Return a robots.txt of nothing but this: what is kept, and read again."""
        lines = [] if self.name is None else [f"User-agent: {self.name}"]
        if self.group.delay_seconds is not None:
            lines.append(f"Crawl-delay: {self.group.delay_seconds}")
        lines += [rule_line(allows, pattern) for allows, pattern in self.group.rules]
        lines += [f"Sitemap: {address}" for address in self.sitemaps]
        return "\n".join(lines)


def rule_line(allows: bool, pattern: str) -> str:
    """Return a rule as a line of a robots.txt."""
    return f"{'Allow' if allows else 'Disallow'}: {pattern}"


def decoded(body: bytes) -> Iterator[str]:
    """Yield the lines of a file as a server sent it. Octets that are no UTF-8 become escapes, and stay what they were."""
    if len(body) >= ROBOTS_MAX_BYTES:
        # cut there: of its last line nobody knows how it goes on, and half a rule may forbid a whole site
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    body = body.replace(b"\0", b"")
    mark = _BYTE_ORDER_MARK.match(body)
    for line in (body[mark.end() :] if mark else body).splitlines():
        text = line[:_LINE_MAX_BYTES].decode("utf-8", "surrogateescape")
        yield text if text.isascii() else _LOST.sub(lambda octet: f"%{ord(octet[0]) - 0xDC00:02X}", text)


def read_group(lines: Iterable[str], agent: str) -> Reading:
    """Return what a robots.txt asks of an agent: the groups that name it, together, else those that are for everyone.

    Parameters
    ----------
    agent
        The token that rules name us by. It is compared whole, and without regard to case.
    """
    groups = {agent.lower(): Group(), _EVERYONE: Group()}
    named: set[str] = set()
    addressed: set[str] = set()
    slowed: set[str] = (
        set()
    )  # a delay is for the agents since the last one: it ends their list for delays, not for rules
    seen_rule = seen_delay = False
    sitemaps: dict[str, None] = {}
    for kind, value in _directives(lines):
        if kind is _Kind.AGENT:
            if seen_rule:
                addressed.clear()
            if seen_rule or seen_delay:
                slowed.clear()
            seen_rule = seen_delay = False
            name = _NAME.match(value)
            if name is not None and name[0].lower() in groups:
                for names in (named, addressed, slowed):
                    names.add(name[0].lower())
        elif kind in (_Kind.ALLOW, _Kind.DISALLOW):
            seen_rule = True
            if value:
                for name_ in addressed:
                    groups[name_].rules.append((kind is _Kind.ALLOW, value))
        elif kind is _Kind.SITEMAP:
            if value and len(value) <= _SITEMAP_MAX_CHARACTERS and len(sitemaps) < SITEMAPS_MAX:
                sitemaps[value] = None
        else:
            seen_delay = True
            for name_ in slowed:
                groups[name_].ask_for_delay(_delay(kind, value))
    chosen = next((name_ for name_ in groups if name_ in named), None)
    return Reading(chosen, Group() if chosen is None else groups[chosen], tuple(sitemaps))


def _directives(lines: Iterable[str]) -> Iterator[tuple[_Kind, str]]:
    for raw_line in lines:
        line = raw_line.partition("#")[0].strip()
        if not line:
            continue
        key, _, value = line.partition(":")
        kind = _KINDS.get(key.strip().lower())
        if kind is not None:
            yield kind, value.strip()
            continue
        found = _WITHOUT_COLON.fullmatch(line)
        if found is not None:
            yield _KINDS[found[1].lower()], found[2]


def _delay(kind: _Kind, value: str) -> float | None:
    if kind is _Kind.RATE:
        rate = _RATE.match(value)
        if rate is None or not int(rate[1]):
            return None
        return int(rate[2]) * _SECONDS[rate[3].lower()] / int(rate[1]) or None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if seconds >= 0 and math.isfinite(seconds) else None
