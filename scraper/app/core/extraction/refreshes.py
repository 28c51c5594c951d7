"""Pages that only send their reader on: `<meta http-equiv="refresh">`, and the header of that name.

The extraction finds it, and not the visitor: whether a page with a delay is one to be read depends on its text, which
takes a parser; and what strangers write is parsed in the processes that may be killed. The visitor then goes on.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin

from lxml.html import HtmlElement

from app.core.extraction import metadata
from ml_shared.web.urls import InvalidUrlError, normalise_url

AT_ONCE_SECONDS: Final = 1.0
# nobody reads what is shown for so long, however much it is
SOON_SECONDS: Final = 10.0
# what says little and goes on so soon is "you are being redirected"; later, it is a page that moves along, as slides do
_CONTENT_MAX_CHARACTERS: Final = 4_096
_REFRESH: Final = re.compile(r"\s*(?P<seconds>\d+(?:\.[\d.]*)?|\.[\d.]*)(?:\s*[;,]\s*|\s+|$)(?P<rest>.*)", re.DOTALL)
_URL: Final = re.compile(r"url\s*=\s*", re.IGNORECASE)


def target(tree: HtmlElement, header: str | None, url: str, *, says_little: bool) -> str | None:
    """Return where a page sends its reader, normalised; `None` if it is there to be read.

    Parameters
    ----------
    header
        Value of the `Refresh` header, which comes before what the page itself says.
    url
        The page's own: a page that loads itself again goes nowhere.
    says_little
        Whether the page holds too little text to be what somebody came for.
    """
    base = metadata.base_url(tree, url)
    for seconds, where, scripted in _refreshes(tree, header):
        followed = seconds <= AT_ONCE_SECONDS and not scripted
        if followed or (says_little and seconds <= SOON_SECONDS):
            found = _normalised(where, url if header else base)
            if found is not None and found != _normalised(url, url):
                return found
        if not scripted:
            return None  # the first is the one that counts
    return None


def _refreshes(tree: HtmlElement, header: str | None) -> Iterator[tuple[float, str, bool]]:
    """Yield delays and places, and whether a browser with JavaScript would pass them over.

    What stands in `noscript` is meant for readers without JavaScript, as we are one; but a page that has a text is not
    left for what it would show to them.
    """
    if header and (read := _read(header)):
        yield *read, False
    for element in tree.iterfind(".//meta[@http-equiv]"):
        if element.get("http-equiv").strip().lower() == "refresh" and (read := _read(element.get("content") or "")):
            yield *read, any(True for _ in element.iterancestors("noscript"))


def _read(content: str) -> tuple[float, str] | None:
    """Return delay and place, as the HTML Standard reads them ("shared declarative refresh steps")."""
    found = _REFRESH.fullmatch(content[:_CONTENT_MAX_CHARACTERS])
    if found is None:
        return None
    digits = found["seconds"].partition(".")
    seconds = float(f"{digits[0][:9] or '0'}.{digits[2].partition('.')[0][:9] or '0'}")
    where = found["rest"]
    named = _URL.match(where)
    where = where[named.end() :] if named else where
    if where[:1] in ("'", '"'):
        where = where[1:].partition(where[0])[0]
    return seconds, where.strip()


def _normalised(where: str, base: str) -> str | None:
    """Return a place that a page can be fetched from; browsers do nothing about others."""
    if not where:
        return None
    try:
        return normalise_url(urljoin(base, where))
    except (ValueError, InvalidUrlError):
        return None
