"""Where a document leads: its links as they are told, and those of Markdown as they are written."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import unescape
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import urldefrag, urljoin, urlsplit

from ml_shared.contracts.scraping import LINKS_MAX

URL_MAX_CHARACTERS: Final = 2_048
_FENCE: Final = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})(?P<rest>.*)")
_DEFINITION: Final = re.compile(
    r"^ {0,3}\[(?P<label>[^\[\]]{1,999})\]:[ \t]*\n?[ \t]*(?:<(?P<angled>[^<>\n]*)>|(?P<plain>\S+))", re.MULTILINE
)
_MARK: Final = re.compile(
    r"(?P<escaped>\\.)|(?P<code>`+)|(?P<opens>!?\[)|(?P<closes>\])|<(?P<auto>https?://[^\s<>]{1,4096})>"
    r"|<a\s(?P<tag>[^<>]{1,4096})>|(?<![^\s*_~(|])(?P<bare>https?://(?:\\[^\s<>\[\]`|]|[^\s<>\[\]`|\\]){1,4096})",
    re.IGNORECASE | re.DOTALL,
)
_LABEL_MAX_CHARACTERS: Final = 999
_MARKS_MAX: Final = 500_000
# a hundred for each link that is told; more are no text
_TARGET: Final = re.compile(
    r"\(\s{0,9}(?:<(?P<angled>[^<>\n]{0,4096})>|(?P<plain>[^\s()<>]{1,4096}(?:\([^\s()]{0,4096}\)[^\s()]{0,4096}){0,9}))"
    r"(?:\s{1,9}(?:\"[^\"]{0,999}\"|'[^']{0,999}'|\([^()]{0,999}\)))?\s{0,9}\)"
)
_LABEL: Final = re.compile(r"\[(?P<label>[^\[\]]{0,999})\]")
_HREF: Final = re.compile(r"(?<![\w-])href\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_NOFOLLOW: Final = re.compile(r"(?<![\w-])rel\s*=[^=]*\bnofollow\b", re.IGNORECASE)
_FIELD: Final = re.compile(r'\s*HYPERLINK\s+(?:"([^"]+)"|([^\s\\"]\S*))', re.IGNORECASE)
# of Word; `\l` is for places in the document
_FORMULA: Final = re.compile(r"(?<![\w.])HYPERLINK\(\s*\"((?:[^\"]|\"\"){1,2048})\"\s*[,;)]", re.IGNORECASE)
# of a sheet; an address that is put together from other cells is not told
_ESCAPED: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_ENDS: Final = "?!.,:;*_~'\""
_BLOCKS: Final = re.compile(r"\n[ \t]*\n")


class Links(NamedTuple):
    """Where a page leads.

    Attributes
    ----------
    nofollow
        Those that robots are asked not to follow, wherever the page has them.
    left_out
        Addresses beyond the most that are told; the same one written twice counts twice.
    too_long
        Addresses that are longer than a URL may be.
    """

    all: list[str]
    nofollow: list[str]
    left_out: int
    too_long: int


def links_of(hrefs: Iterable[tuple[str, bool]], url: str) -> Links:
    """Return where links lead: absolute, each once, in their order.

    Parameters
    ----------
    hrefs
        As they are written, and whether each may be followed.
    url
        What they are relative to, and no link of its own.
    """
    followed: dict[str, bool] = {}
    for written, follows in hrefs:
        href = written.partition("#")[0]
        followed[href] = followed.get(href, False) or follows
    links: dict[str, bool] = {}
    own, read, long = urldefrag(url).url, 0, 0
    for href, follows in followed.items():
        if len(links) >= LINKS_MAX:
            break
        read += 1
        link = _joined(href, own) if href else None
        if link is None or link == own:
            continue
        if len(link) > URL_MAX_CHARACTERS:
            long += 1
        else:
            links[link] = links.get(link, False) or follows
    return Links([*links], [link for link, follows in links.items() if not follows], len(followed) - read, long)


def absolute(href: str, url: str) -> str | None:
    """Return what a link leads to, without its fragment; `None` if that is no page of the web, or longer than a URL may be."""
    joined = _joined(href, url)
    return joined if joined is not None and len(joined) <= URL_MAX_CHARACTERS else None


def _joined(href: str, url: str) -> str | None:
    try:
        joined = urljoin(url, href.partition("#")[0].strip())
        parts = urlsplit(joined)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    return joined


def field_href(code: str) -> str:
    """Return where a field of Word leads, "" if it is no link out of its document."""
    found = _FIELD.match(code)
    return (found[1] or found[2]) if found is not None else ""


def formula_href(formula: str | None) -> str:
    """Return where the formula of a sheet's cell leads, "" if it is no link."""
    found = _FORMULA.search(formula) if formula else None
    return found[1].replace('""', '"') if found is not None else ""


def markdown_hrefs(text: str) -> Iterator[tuple[str, bool]]:
    """Go through a Markdown's links as they are written, and whether each may be followed.

    Those of pictures and in code are none. A reference leads where its definition says; an address that stands in the text by
    itself is a link, but where it is a link's words. Each letter is looked at a bounded number of times, whatever the text is.
    """
    prose = _without_fences(text)
    defined: dict[str, str] = {}
    for found in _DEFINITION.finditer(prose):
        defined.setdefault(_folded(found["label"]), found["plain"] or found["angled"] or "")
    left = _MARKS_MAX
    for block in _BLOCKS.split(_DEFINITION.sub("", prose)):
        if "[" not in block and "<" not in block and "://" not in block:
            continue
        marks = list(islice(_MARK.finditer(block), left))
        left -= len(marks)
        for href, follows in _hrefs(block, marks, defined):
            yield unescape(_ESCAPED.sub(r"\1", href)), follows


def _hrefs(block: str, marks: Sequence[re.Match[str]], defined: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    opened: list[tuple[int, bool]] = []
    bare: list[tuple[int, str]] = []
    # where a run of so many backticks ends code that such a run begins
    ticks: dict[int, list[int]] = {}
    for mark in reversed(marks):
        if mark["code"]:
            ticks.setdefault(len(mark["code"]), []).append(mark.start())
    at = 0
    for mark in marks:
        if mark.start() < at:
            continue
        if mark["code"]:
            ends = ticks[len(mark["code"])]
            while ends and ends[-1] <= mark.start():
                ends.pop()
            at = ends[-1] + len(mark["code"]) if ends else mark.end()
        elif mark["auto"]:
            yield mark["auto"], True
        elif mark["tag"]:
            if said := _HREF.search(mark["tag"]):
                yield next(filter(None, said.groups()), ""), not _NOFOLLOW.search(mark["tag"])
        elif mark["bare"]:
            bare.append((mark.start(), _without_end(mark["bare"])))
        elif mark["opens"]:
            opened.append((mark.end(), mark["opens"].startswith("!")))
        elif mark["closes"] and opened:
            start, is_picture = opened.pop()
            href, at = _leads(block, start, mark.start(), defined)
            while href and bare and bare[-1][0] >= start:
                bare.pop()
            if href and not is_picture:
                yield href, True
        if not opened:
            yield from ((href, True) for _, href in bare)
            bare.clear()
    yield from ((href, True) for _, href in bare)


def _without_end(address: str) -> str:
    """Return an address without what ends the sentence, or the brackets, that it stands in."""
    unopened = address.count(")") - address.count("(")
    end = len(address)
    while end and (address[end - 1] in _ENDS or (address[end - 1] == ")" and unopened > 0)):
        unopened -= address[end - 1] == ")"
        end -= 1
    return address[:end]


def _leads(block: str, start: int, end: int, defined: Mapping[str, str]) -> tuple[str, int]:
    """Return where the text between two brackets leads, "" if it is no link, and where what says so ends."""
    target = _TARGET.match(block, end + 1)
    if target is not None:
        return target["angled"] or target["plain"] or "", target.end()
    label = _LABEL.match(block, end + 1)
    named = label["label"] if label is not None else ""
    if not named and end - start <= _LABEL_MAX_CHARACTERS:
        named = block[start:end]
    return defined.get(_folded(named), ""), label.end() if label is not None else end + 1


def _without_fences(text: str) -> str:
    kept: list[str] = []
    fence = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if fence:
            if found is not None and found["fence"].startswith(fence) and not found["rest"].strip():
                fence = ""
        elif found is not None and not (found["fence"][0] == "`" and "`" in found["rest"]):
            fence = found["fence"]
            kept.append("")
        else:
            kept.append(line)
    return "\n".join(kept)


def _folded(label: str) -> str:
    return " ".join(label.split()).casefold()
