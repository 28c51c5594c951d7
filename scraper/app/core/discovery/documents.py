"""A document's bytes in, the URLs that it lists out.

This runs in an extraction process, like everything that parses what strangers write. XML is read in pieces as it is
unpacked, and each entry is forgotten when the next one comes; no entity is resolved and nothing is loaded. What is
damaged gives what could be read before and behind the damage, and says so.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from lxml import etree

from app.core.discovery.dates import latest_moment
from app.core.discovery.listing import Gathering, Listing
from app.core.errors import NotAListError
from app.core.extraction import metadata
from app.core.extraction.charset import decode
from app.core.extraction.kinds.feeds import entry_link
from app.core.extraction.kinds.pages import parsed
from app.core.extraction.links import absolute
from app.core.extraction.markup import attribute, local
from ml_shared.contracts.links import LIST_MAX_BYTES, ListKind

_PIECE_BYTES: Final = 65_536
_PACKED_PIECE_BYTES: Final = 1_024
_CHECKSUM_BYTES: Final = 8
_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_ROOTS: Final = {
    "urlset": ListKind.SITEMAP,
    "sitemapindex": ListKind.SITEMAP_INDEX,
    "rss": ListKind.RSS,
    "RDF": ListKind.RSS,
    "feed": ListKind.ATOM,
}
_ENTRIES: Final = frozenset({"url", "sitemap", "item", "entry"})
_CHANGED: Final = ("updated", "modified", "pubDate", "published", "issued", "date")
# the first that an entry has; RSS has none but when it was published
_FEEDS: Final = frozenset({"application/rss+xml", "application/atom+xml", "application/rdf+xml"})
_DOCTYPE: Final = re.compile(rb"<!doctype\s+html", re.IGNORECASE)
_COMMENT: Final = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG: Final = re.compile(rb"<([a-z][a-z0-9]*)[\s/>]", re.IGNORECASE)
_OF_PAGES: Final = frozenset({b"html", b"head", b"body", b"title", b"meta", b"script", b"div", b"p", b"h1"})
_REFERENCE: Final = re.compile(
    rb"(?P<kept><!\[CDATA\[.*?\]\]>|&#[0-9]{1,7};|&#x[0-9a-f]{1,6};)|&(?P<name>amp|lt|gt|quot|apos);|&",
    re.DOTALL | re.IGNORECASE,
)
_CHARACTERS: Final = {b"amp": b"&#38;", b"lt": b"&#60;", b"gt": b"&#62;", b"quot": b"&#34;", b"apos": b"&#39;"}
_HEAD_BYTES: Final = 1_024
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


def read_list(
    body: bytes, *, url: str, charset: str | None = None, cut: bool = False, anchors: bool = False
) -> Listing:
    """Return the URLs that a sitemap, a feed, a text or a page lists.

    Parameters
    ----------
    body
        Packed by gzip or not: its first bytes say so.
    url
        What its URLs are relative to.
    charset
        What the Content-Type header declares; XML says it itself.
    cut
        Whether the body goes on.
    anchors
        Whether of a page its links are wanted as well, and not its feeds alone.

    Raises
    ------
    NotAListError
        If it is nothing of the kind.
    """
    unpacked = _Unpacked(body)
    head = unpacked.head()
    start = head.lstrip(_BLANK)
    if _is_page(head):
        gathering = _page(b"".join(unpacked), url, charset, anchors=anchors)
    elif start.startswith(b"<") or head.startswith(_UTF_16):
        gathering = _xml(unpacked, url)
    else:
        gathering = _text(b"".join(unpacked), url, charset)
    if cut or unpacked.has_more:
        gathering.cut()
    if unpacked.damaged:
        gathering.warn("the archive is damaged or ends early; what came before that was read")
    return gathering.finished()


def _is_page(head: bytes) -> bool:
    plain = _COMMENT.sub(b"", head)
    first = _TAG.search(plain)
    return _DOCTYPE.search(plain) is not None or (first is not None and first[1].lower() in _OF_PAGES)


class _Unpacked:
    """A body in pieces, unpacked as far as a list may be long."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)
        self._packed = body.startswith(_GZIP)
        self._left = 0
        self.has_more = False
        self.damaged = False

    def head(self) -> bytes:
        """Return how it begins."""
        begun = b""
        for piece in self:
            begun += piece
            if len(begun) >= _HEAD_BYTES:
                break
        return begun[:_HEAD_BYTES]

    def __iter__(self) -> Iterator[bytes]:
        self._left, self.has_more, self.damaged = LIST_MAX_BYTES, False, False
        for piece in self._gunzipped() if self._packed else self._pieces():
            if len(piece) > self._left:
                self.has_more = True
                yield piece[: self._left]
                return
            self._left -= len(piece)
            yield piece

    def _pieces(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), _PIECE_BYTES):
            yield bytes(self._body[start : start + _PIECE_BYTES])

    def _packed_pieces(self) -> Iterator[memoryview]:
        """Yield small ones, and the checksum apart: what is unpacked together with the damage is lost."""
        end = max(len(self._body) - _CHECKSUM_BYTES, 0)
        for start in range(0, end, _PACKED_PIECE_BYTES):
            yield self._body[start : min(start + _PACKED_PIECE_BYTES, end)]
        yield self._body[end:]

    def _gunzipped(self) -> Iterator[bytes]:
        decompressor = zlib.decompressobj(_GZIP_WINDOW)
        for piece in self._packed_pieces():
            pending = bytes(piece)
            while pending:
                try:
                    yield decompressor.decompress(pending, _PIECE_BYTES)
                except zlib.error:
                    self.damaged = True
                    return
                pending = decompressor.unconsumed_tail
                if decompressor.eof:  # archives may follow each other
                    pending = decompressor.unused_data
                    if not pending.startswith(_GZIP):
                        break
                    decompressor = zlib.decompressobj(_GZIP_WINDOW)
        self.damaged = not decompressor.eof


def _xml(pieces: _Unpacked, url: str) -> Gathering:
    gathering, faults = _read_xml(pieces, url)
    if faults:
        # behind a fault libxml2 leaves out all entities: `?a=1&amp;b=2` would be `?a=1b=2`, another address. Characters by
        # number stay, so it gets these; a bare ampersand is the one fault that is mended so, and the one that is common
        bare = False

        def by_number(found: re.Match[bytes]) -> bytes:
            nonlocal bare
            bare = bare or found[0] == b"&"
            return found["kept"] or _CHARACTERS.get((found["name"] or b"amp").lower(), b"&#38;")

        gathering, faults = _read_xml([_REFERENCE.sub(by_number, b"".join(pieces))], url)
        if bare:
            gathering.note("it has bare ampersands, which were read as themselves")
    if faults:
        text = faults[0].message[:200]
        gathering.warn(f"its XML is damaged at line {faults[0].line}: {' '.join(text.split())}; what could be read was")
    return gathering


def _read_xml(pieces: Iterable[bytes], url: str) -> tuple[Gathering, list[Any]]:
    """Return what there is, and the parser's complaints."""
    parser = etree.XMLPullParser(
        events=("start", "end"),
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    reading = _XmlReading(url)
    for piece in pieces:
        try:
            parser.feed(piece)
        except etree.XMLSyntaxError:
            break  # nothing follows from here on; the log has it
        reading.take(parser.read_events())
        if reading.is_full:
            break
    else:
        _close(parser)
        reading.take(parser.read_events())
    return reading.finished(), list(parser.feed_error_log)


def _close(parser: Any) -> None:
    with suppress(etree.XMLSyntaxError):  # there is no element at all, which is told as that
        parser.close()


class _XmlReading:
    """What a sitemap or a feed has given so far."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._root: Any = None
        self._gathering: Gathering | None = None

    @property
    def is_full(self) -> bool:
        return self._gathering is not None and self._gathering.is_full

    def take(self, events: Any) -> None:
        for event, element in events:
            if self._root is None:
                self._begin(element)
            elif event == "end" and self._is_of_the_list(element):
                self._entry(element)
                _forget(element)

    def finished(self) -> Gathering:
        if self._gathering is None:
            raise NotAListError("it is neither a sitemap nor a feed: it has no element")
        return self._gathering

    def _begin(self, root: Any) -> None:
        name = local(root)
        kind = _ROOTS.get(name)
        if kind is None:
            raise NotAListError(f"it is neither a sitemap nor a feed, but XML of <{name[:100]}>")
        self._root = root
        self._gathering = Gathering(kind.value, self._url)

    def _is_of_the_list(self, element: Any) -> bool:
        """Whether it stands right below the root, or below the channel of an RSS feed."""
        parent = element.getparent()
        return parent is not None and (
            parent is self._root or (local(parent) == "channel" and parent.getparent() is self._root)
        )

    def _entry(self, element: Any) -> None:
        gathering, name = self._gathering, local(element)
        if gathering is None or name not in _ENTRIES:
            return
        if name == "sitemap":
            gathering.sitemap(_text_of(element, "loc"))
        elif name == "url":
            said = _text_of(element, "lastmod")
            gathering.link(_text_of(element, "loc"), latest_moment(said), said=said)
        elif link := entry_link(element, self._url):
            said = _text_of(element, *_CHANGED)
            gathering.link(link, _changed(element), said=said)


def _changed(entry: Any) -> datetime | None:
    return next(filter(None, (latest_moment(_text_of(entry, name)) for name in _CHANGED)), None)


def _text_of(parent: Any, *names: str) -> str:
    for name in names:
        for element in parent:
            if local(element) == name and (text := "".join(element.itertext()).strip()):
                return text
    return ""


def _forget(element: Any) -> None:
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _text(body: bytes, url: str, charset: str | None) -> Gathering:
    """Read a sitemap of one URL a line."""
    gathering = Gathering(ListKind.TEXT.value, url)
    others = found = 0
    for line in decode(body, charset, markup=False).split("\n"):
        words = line.strip()
        if words.lower().startswith(("http://", "https://")) and " " not in words:
            gathering.link(words)
            found += 1
        elif words and not words.startswith("#"):
            others += 1
        if gathering.is_full:
            break
    if not found:
        raise NotAListError("it is neither a sitemap nor a feed: it is text, and no line of it is a URL")
    if others:
        gathering.warn(f"{others} lines are no URLs")
    return gathering


def _page(body: bytes, url: str, charset: str | None, *, anchors: bool) -> Gathering:
    """Read the feeds that a page names."""
    gathering = Gathering(ListKind.PAGE.value, url)
    tree = parsed(decode(body, charset, markup=True))
    base = metadata.base_url(tree, url)
    for element in tree.iterfind(".//link[@href]"):
        is_alternate = "alternate" in (element.get("rel") or "").lower().split()
        if is_alternate and (attribute(element, "type") or "").strip().lower() in _FEEDS:
            feed = absolute(element.get("href"), base)
            if feed is not None:
                gathering.sitemap(feed)
    if anchors:
        links = metadata.page_links(tree, base)
        left_out = {*links.nofollow}
        for link in links.all:
            if link not in left_out:
                gathering.link(link)
    return gathering
