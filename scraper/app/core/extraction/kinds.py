"""What a body is, told by its bytes. A header is often a default that nobody chose.

Signatures are those of the WHATWG's MIME Sniffing Standard, and of what else is served by mistake. No parser is needed
to tell, so that a body can be refused while it arrives. `extract` says which kinds it has a reader for.
"""

import re
from dataclasses import dataclass
from typing import Final

import orjson

from app.core.errors import UnsupportedContentTypeError

HEAD_BYTES: Final = 1_445
# the WHATWG's "resource header": what is told is told by so much
HTML: Final = "text/html"
XHTML: Final = "application/xhtml+xml"
PLAIN_TEXT: Final = "text/plain"
MARKDOWN: Final = frozenset({"text/markdown", "text/x-markdown"})
READABLE: Final = frozenset({HTML, XHTML, PLAIN_TEXT, *MARKDOWN})
# what `extract` has a reader for
_MARKUP: Final = frozenset({HTML, XHTML})
_UNDECLARED: Final = frozenset({"", "unknown/unknown", "application/unknown", "*/*"})
_RUBBISH_SHARE: Final = 0.02
_RUBBISH_MIN: Final = 8
# control characters that no text has; compressed data has a tenth of them, damaged text a few


@dataclass(frozen=True)
class Kind:
    """A kind of content.

    Attributes
    ----------
    media_type
        What readers are found by.
    name
        For people, with its article.
    """

    media_type: str
    name: str


_PDF: Final = Kind("application/pdf", "a PDF document")
_ZIP: Final = Kind("application/zip", "a ZIP archive, or a document made of one")
_GZIP: Final = Kind("application/gzip", "compressed by gzip")
_SIGNATURES: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (0, rb"%PDF-\d", _PDF),
    (0, rb"%!PS-Adobe-", Kind("application/postscript", "a PostScript document")),
    (0, rb"\{\\rtf1", Kind("application/rtf", "an RTF document")),
    (0, rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("application/x-ole-storage", "an office document")),
    (0, rb"\x89PNG\r\n\x1a\n", Kind("image/png", "an image (PNG)")),
    (0, rb"\xff\xd8\xff", Kind("image/jpeg", "an image (JPEG)")),
    (0, rb"GIF8[79]a(?=.{0,20}?[\x00-\x08])", Kind("image/gif", "an image (GIF)")),
    (0, rb"RIFF....WEBPVP", Kind("image/webp", "an image (WebP)")),
    (0, rb"BM....\x00\x00\x00\x00", Kind("image/bmp", "an image (BMP)")),
    (0, rb"\x00\x00[\x01\x02]\x00", Kind("image/x-icon", "an image (icon)")),
    (0, rb"II\*\x00|MM\x00\*", Kind("image/tiff", "an image (TIFF)")),
    (0, rb"8BPS\x00", Kind("image/vnd.adobe.photoshop", "an image (Photoshop)")),
    (0, rb"\xff\x0a|\x00\x00\x00\x0cJXL ", Kind("image/jxl", "an image (JPEG XL)")),
    (0, rb"\x00\x00\x00\x0cjP  ", Kind("image/jp2", "an image (JPEG 2000)")),
    (4, rb"ftyp(?:avi[fs]|hei[cfms]|hev[cx]|mif1|msf1)", Kind("image/avif", "an image (AVIF or HEIF)")),
    (4, rb"ftyp", Kind("video/mp4", "a video or a sound (MP4)")),
    (0, rb"\x1a\x45\xdf\xa3", Kind("video/webm", "a video (WebM or Matroska)")),
    (0, rb"RIFF....AVI ", Kind("video/avi", "a video (AVI)")),
    (0, rb"FLV\x01", Kind("video/x-flv", "a video (FLV)")),
    (0, rb"\x00\x00\x01[\xb3\xba]", Kind("video/mpeg", "a video (MPEG)")),
    (0, rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("video/x-ms-wmv", "a video or a sound (Windows Media)")),
    (0, rb"OggS\x00", Kind("application/ogg", "a sound or a video (Ogg)")),
    (0, rb"RIFF....WAVE", Kind("audio/wave", "a sound (WAVE)")),
    (0, rb"FORM....AIF[FC]", Kind("audio/aiff", "a sound (AIFF)")),
    (0, rb"MThd\x00\x00\x00\x06", Kind("audio/midi", "a sound (MIDI)")),
    (0, rb"ID3[\x02-\x04]|\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]", Kind("audio/mpeg", "a sound (MP3)")),
    (0, rb"\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]", Kind("audio/aac", "a sound (AAC)")),
    (0, rb"fLaC\x00", Kind("audio/flac", "a sound (FLAC)")),
    (0, rb"\.snd\x00", Kind("audio/basic", "a sound")),
    (0, rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", _ZIP),
    (0, rb"\x1f\x8b[\x00-\x08]", _GZIP),
    (0, rb"\x1f[\x9d\xa0]", Kind("application/x-compress", "compressed by compress")),
    (0, rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)", Kind("application/x-bzip2", "compressed by bzip2")),
    (0, rb"\xfd7zXZ\x00", Kind("application/x-xz", "compressed by xz")),
    (0, rb"[\x1e-\x28]\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", Kind("application/zstd", "compressed by Zstandard")),
    (0, rb"\x04\x22\x4d\x18", Kind("application/x-lz4", "compressed by LZ4")),
    (0, rb"Rar!\x1a\x07", Kind("application/vnd.rar", "a RAR archive")),
    (0, rb"7z\xbc\xaf\x27\x1c", Kind("application/x-7z-compressed", "a 7-Zip archive")),
    (257, rb"ustar(?:\x00|  \x00)", Kind("application/x-tar", "a tar archive")),
    (0, rb"!<arch>\n", Kind("application/x-archive", "an archive, or a Debian package")),
    (0, rb"\xed\xab\xee\xdb", Kind("application/x-rpm", "an RPM package")),
    (0, rb"MSCF\x00\x00\x00\x00", Kind("application/vnd.ms-cab-compressed", "a cabinet archive")),
    (0, rb"xar!\x00", Kind("application/x-xar", "an archive (xar)")),
    (0, rb"Cr24[\x02\x03]\x00", Kind("application/x-chrome-extension", "a browser's extension")),
    (0, rb"\x7fELF", Kind("application/x-executable", "a program (ELF)")),
    (0, rb"MZ[\x00-\xff]\x00", Kind("application/x-msdownload", "a program (Windows)")),
    (0, rb"\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe", Kind("application/x-mach-binary", "a program (macOS)")),
    (0, rb"\xca\xfe\xba\xbe", Kind("application/java-vm", "a program (Java or macOS)")),
    (0, rb"\x00asm", Kind("application/wasm", "a program (WebAssembly)")),
    (0, rb"dex\n03\d\x00", Kind("application/x-dex", "a program (Android)")),
    (0, rb"wOFF\x00|wOF2\x00", Kind("font/woff", "a font")),
    (0, rb"wOFFOTTO|wOF2OTTO|OTTO\x00|ttcf\x00|\x00\x01\x00\x00\x00[\x01-\x40]\x00", Kind("font/sfnt", "a font")),
    (34, rb"LP\x00\x00\x00", Kind("application/vnd.ms-fontobject", "a font")),
    (0, rb"SQLite format 3\x00", Kind("application/vnd.sqlite3", "a database (SQLite)")),
    (0, rb"PAR1[\x15\x00]", Kind("application/vnd.apache.parquet", "data (Parquet)")),
    (0, rb"\x89HDF\r\n\x1a\n", Kind("application/x-hdf5", "data (HDF5)")),
    (0, rb"\xd4\xc3\xb2\xa1|\xa1\xb2\xc3\xd4|\x0a\x0d\x0d\x0a....\x4d\x3c\x2b\x1a", Kind("application/vnd.tcpdump.pcap", "data (pcap)")),
)  # fmt: skip
_COMPILED: Final = tuple((at, re.compile(pattern, re.DOTALL), kind) for at, pattern, kind in _SIGNATURES)
_BINARY: Final = Kind("application/octet-stream", "data that are no text")
_JSON: Final = Kind("application/json", "JSON")
_XML: Final = Kind("application/xml", "an XML document")
_XML_ROOTS: Final = {
    "rss": Kind("application/rss+xml", "a feed (RSS)"),
    "rdf": Kind("application/rss+xml", "a feed (RSS)"),
    "feed": Kind("application/atom+xml", "a feed (Atom)"),
    "urlset": Kind("application/xml", "a sitemap"),
    "sitemapindex": Kind("application/xml", "a sitemap"),
    "svg": Kind("image/svg+xml", "an image (SVG)"),
}
_NOT_TEXT: Final = bytes(code for code in range(0x20) if code not in b"\x08\t\n\x0c\r\x1b")
# the WHATWG's binary data bytes, less the backspace that old manuals print in bold with
_WIDE_CHARSETS: Final = ("utf-16", "utf-32", "utf16", "utf32", "ucs-2", "unicode")
_WIDE_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_BEFORE_MARKUP: Final = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|<!--(?:[^-]|-(?!->))*-->)*", re.DOTALL)
_BEFORE_ROOT: Final = re.compile(_BEFORE_MARKUP.pattern + rb"(?:<\?[^>]*\?>)?", re.DOTALL)
# a stylesheet's name
_DECLARATION: Final = re.compile(rb"<\?xml\b[^>]*\?>", re.IGNORECASE)
_HTML_START: Final = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_HTML_LIKE: Final = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|h1|div|font|table|a|style|title|b|br|p|meta|link|main|article"
    rb"|section|header|nav|ul|ol)[\s>]",
    re.IGNORECASE,
)
_DOCTYPE: Final = re.compile(rb"<!doctype\s+(?:[a-z]+:)?([a-z]+)", re.IGNORECASE)
_ROOT: Final = re.compile(rb"<(?:[a-z][\w.-]*:)?([a-z][\w.-]*)", re.IGNORECASE)
_TAG: Final = re.compile(rb"<\0?[a-zA-Z!?/]|&(?:#\d|#x[0-9a-f]|[a-z]{2,10};)", re.IGNORECASE)
_HTML_ROOTS: Final = frozenset(
    {
        "html", "head", "body", "title", "meta", "link", "base", "style", "script", "noscript", "div", "p",
        "span", "table", "center", "font", "a", "b", "i", "em", "strong", "br", "hr", "img", "ul", "ol", "dl",
        "h1", "h2", "h3", "h4", "h5", "h6", "header", "main", "article", "section", "nav", "footer", "aside",
        "form", "frameset", "iframe", "pre", "blockquote",
    }
)  # fmt: skip


def signature(head: bytes) -> Kind | None:
    """Return what a body's beginning is the signature of, if it is one of what is never text.

    Parameters
    ----------
    head
        The first `HEAD_BYTES`; of fewer less is told.
    """
    return next((kind for at, pattern, kind in _COMPILED if pattern.match(head, at)), None)


def is_undeclared(media_type: str) -> bool:
    """Return whether a Content-Type says nothing: none, no type at all, or one of the names for "unknown"."""
    return media_type in _UNDECLARED or "/" not in media_type


def unsupported(kind: Kind, declared: str) -> UnsupportedContentTypeError:
    """Return the error for a body of a kind that there is no reader for."""
    header = f"its header says {declared[:100]}" if declared else "it has no Content-Type"
    return UnsupportedContentTypeError(
        f"the page is {kind.name}, told by its bytes ({header}); what can be read is HTML, plain text and Markdown"
    )


def kind_of(body: bytes, declared: str, charset: str | None = None) -> Kind:
    """Return what a body is.

    What is one of many kinds of text is what the header says: Markdown is not told from text, nor text from a text that
    shows markup.

    Parameters
    ----------
    declared
        Media type of the header; empty for none.
    charset
        Character set of the header: in some, half of a text's bytes look like no text.
    """
    head = body[:HEAD_BYTES]
    known = signature(head)
    if known is not None:
        return known
    if not (charset or "").lower().startswith(_WIDE_CHARSETS) and _is_rubbish(body):
        return _BINARY
    start = _BEFORE_MARKUP.match(body[: 4 * HEAD_BYTES])
    first = _narrow(body[start.end() if start else 0 :][:HEAD_BYTES])
    if declared in _MARKUP:
        return _of_markup(body, first, declared)
    if is_undeclared(declared):
        return _of_anything(body, first)
    # a manual in Markdown may begin with an element, a page begins with the whole's
    return Kind(HTML, "HTML") if _begins_a_page(first) else Kind(declared, declared)


def _of_markup(body: bytes, first: bytes, declared: str) -> Kind:
    markup = Kind(declared, "HTML")
    root = _xml_root(first)
    if root is not None:
        return markup if root in _HTML_ROOTS else _XML_ROOTS.get(root, _XML)
    if _is_json(body, first):
        return _JSON
    return markup if _TAG.search(body) else Kind(PLAIN_TEXT, "plain text")


def _of_anything(body: bytes, first: bytes) -> Kind:
    if _begins_a_page(first) or _HTML_LIKE.match(first):
        return Kind(HTML, "HTML")
    root = _xml_root(first)
    if root is not None:
        return _XML_ROOTS.get(root, _XML)
    return _JSON if _is_json(body, first) else Kind(PLAIN_TEXT, "plain text")


def _begins_a_page(first: bytes) -> bool:
    declaration = _DECLARATION.match(first)
    rest = first[declaration.end() :] if declaration else first
    start = _BEFORE_MARKUP.match(rest)
    return _HTML_START.match(rest, start.end() if start else 0) is not None


def _xml_root(first: bytes) -> str | None:
    """Return the name of an XML document's outermost element; `None` unless it is declared as XML, or known as such."""
    declaration = _DECLARATION.match(first)
    rest = first[declaration.end() :] if declaration else first
    while (step := _BEFORE_ROOT.match(rest)) and step.end():
        rest = rest[step.end() :]
    root = _DOCTYPE.match(rest) or _ROOT.match(rest)
    name = root[1].decode("ascii").lower() if root else None
    return name if declaration is not None or name in _XML_ROOTS else None


def _is_json(body: bytes, first: bytes) -> bool:
    if not first.startswith((b"{", b"[")):
        return False
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _narrow(head: bytes) -> bytes:
    """Return UTF-16 as its ASCII characters alone: signatures of text are made of these."""
    if head.startswith(_WIDE_MARKS):
        return head[2:].replace(b"\0", b"").lstrip()
    return head


def _is_rubbish(body: bytes) -> bool:
    if body.startswith(_WIDE_MARKS):
        return False
    sample = body[:65_536]
    controls = len(sample) - len(sample.translate(None, _NOT_TEXT))
    if controls < max(_RUBBISH_MIN, len(sample) * _RUBBISH_SHARE):
        return False
    # UTF-16 without its mark: of two bytes of a western text one is always zero, and the other never is
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    return not (min(even, odd) * 20 < max(even, odd) and max(even, odd) * 4 > len(sample))
