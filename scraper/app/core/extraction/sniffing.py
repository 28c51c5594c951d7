"""What a body is, told by its bytes. A header is often a default that nobody chose.

Signatures are those of the WHATWG's MIME Sniffing Standard, and of what else is served by mistake. No parser is needed
to tell, so that a body can be refused while it arrives. `kinds` says which of them there is a reader for.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import orjson

from app.core.errors import UnsupportedContentTypeError
from app.core.extraction import kinds, packages
from ml_shared.errors import ServiceError

HEAD_BYTES: Final = 1_445
# the WHATWG's "resource header": what is told is told by so much
PACKAGES: Final = frozenset({kinds.DOCX, kinds.PPTX, kinds.XLSX, kinds.ODT, kinds.ODS, kinds.ODP, kinds.EPUB})
# archives, each of its own kind
_MARKUP: Final = frozenset({kinds.HTML, kinds.XHTML})
_FEEDS: Final = frozenset({kinds.RSS, kinds.ATOM})
_XML_FAMILY: Final = frozenset({kinds.XML, *_FEEDS})
_ONLY_BY_BYTES: Final = frozenset({kinds.PDF, kinds.RTF, *PACKAGES})
# a header alone makes none of them
_UNDECLARED: Final = frozenset(
    {
        *("", "unknown/unknown", "application/unknown", "*/*"),
        *("application/octet-stream", "binary/octet-stream", "application/download", "application/force-download"),
        *("application/x-download", "application/zip", "application/x-zip-compressed", "application/x-zip"),
        *("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"),
    }
)
# no type, "some file", "some archive", and what servers of the nineties call every file of an office
_BY_ENDING: Final = {
    **dict.fromkeys(("md", "markdown"), kinds.MARKDOWN),
    **dict.fromkeys(("rst", "rest"), kinds.RST),
    "csv": kinds.CSV,
    "tsv": kinds.TSV,
    **dict.fromkeys(("json", "jsonl", "ndjson", "geojson"), kinds.JSON),
    "xml": kinds.XML,
}
# kinds that are texts, where a header says no more than that
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


OLE: Final = Kind("application/x-ole-storage", "an office document of a kind before 2007, or one that is encrypted")
_PDF: Final = Kind(kinds.PDF, "a PDF document")
_ZIP: Final = Kind("application/zip", "a ZIP archive")
_PACKAGE: Final = Kind("application/x-zip-package", "a document made of a ZIP archive")
_GZIP: Final = Kind("application/gzip", "compressed by gzip")
_SIGNATURES: Final[tuple[tuple[int, bytes, Kind], ...]] = (
    (0, rb"%PDF-\d", _PDF),
    (0, rb"%!PS-Adobe-", Kind("application/postscript", "a PostScript document")),
    (0, rb"\{\\rtf1", Kind("application/rtf", "an RTF document")),
    (0, rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
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
    (0, rb"PK\x03\x04.{26}" + packages.FIRST_NAMES, _PACKAGE),
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
_HTML: Final = Kind(kinds.HTML, "HTML")
_TEXT: Final = Kind(kinds.PLAIN_TEXT, "plain text")
_JSON: Final = Kind(kinds.JSON, "JSON")
_XML: Final = Kind(kinds.XML, "an XML document")
_SITEMAP: Final = Kind("application/x-sitemap", "a sitemap")
# a list for robots: as a text it says nothing
_XML_ROOTS: Final = {
    "rss": Kind(kinds.RSS, "a feed (RSS)"),
    "rdf": Kind(kinds.RSS, "a feed (RSS)"),
    "feed": Kind(kinds.ATOM, "a feed (Atom)"),
    "urlset": _SITEMAP,
    "sitemapindex": _SITEMAP,
    "svg": Kind("image/svg+xml", "an image (SVG)"),
}
_PDF_LATER: Final = re.compile(rb"%PDF-\d")
# readers of PDF look for it in the first kilobyte
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


def is_one_of(kind: Kind, media_types: frozenset[str]) -> bool:
    """Return whether a body that begins like that kind may be of one of these: archives are looked into when they are there."""
    return bool(media_types & PACKAGES) if kind is _PACKAGE else kind.media_type in media_types


def agrees(declared: str, kind: Kind) -> bool:
    """Return whether a header said what a body was found to be, or less."""
    said = kinds.canonical(declared)
    if is_undeclared(declared) or said == kind.media_type or (said in _XML_FAMILY and kind.media_type in _XML_FAMILY):
        return True
    return (said == kinds.XML and kind.media_type == kinds.XHTML) or (
        said == kinds.PLAIN_TEXT and kind.media_type in _BY_ENDING.values()
    )


def unsupported(kind: Kind, declared: str) -> UnsupportedContentTypeError:
    """Return the error for a body of a kind that there is no reader for."""
    header = f"its header says {declared[:100]}" if declared else "it has no Content-Type"
    return UnsupportedContentTypeError(
        f"the page is {kind.name}, told by its bytes ({header}); what can be read is {kinds.NAMES}"
    )


def kind_of(body: bytes, declared: str, charset: str | None = None, url: str = "") -> Kind:
    """Return what a body is.

    What is one of many kinds of text is what the header says, and where that is nothing or "text" what the address ends
    in: Markdown is not told from text, nor text from a text that shows markup.

    Parameters
    ----------
    declared
        Media type of the header; empty for none.
    charset
        Character set of the header: in some, half of a text's bytes look like no text.
    url
        Where it comes from.
    """
    said = kinds.canonical(declared)
    known = signature(body[:HEAD_BYTES])
    if known is None and said == kinds.PDF and _PDF_LATER.search(body[:HEAD_BYTES]):
        known = _PDF
    if known is not None:
        return _of_archive(body, known) if known in (_PACKAGE, _ZIP) else known
    if not (charset or "").lower().startswith(_WIDE_CHARSETS) and _is_rubbish(body):
        return _BINARY
    start = _BEFORE_MARKUP.match(body[: 4 * HEAD_BYTES])
    first = _narrow(body[start.end() if start else 0 :][:HEAD_BYTES])
    if said in _MARKUP:
        return _of_markup(body, first, said)
    if is_undeclared(declared):
        return _of_anything(body, first, url)
    # a manual in Markdown may begin with an element, a page begins with the whole's
    if _begins_a_page(first):
        return Kind(kinds.XHTML, "XHTML") if said in _XML_FAMILY else _HTML
    if said in _XML_FAMILY:
        return _of_xml(first) if first.startswith(b"<") else _TEXT
    if said in _ONLY_BY_BYTES:
        return Kind("application/octet-stream", "not what its header says")
    return _of_text(said, url)


def _of_archive(body: bytes, known: Kind) -> Kind:
    try:
        media_type = packages.media_type_of(body)
    except ServiceError:
        if known is _ZIP:
            return _ZIP  # damaged or endless, and no document by its beginning
        raise
    return Kind(media_type, "a document") if media_type is not None else _ZIP


def _of_text(said: str, url: str) -> Kind:
    by_ending = _BY_ENDING.get(urlsplit(url).path.rpartition("/")[2].rpartition(".")[2].lower())
    media_type = by_ending if by_ending is not None and said == kinds.PLAIN_TEXT else said
    return Kind(media_type, media_type)


def _of_xml(first: bytes) -> Kind:
    root = _root(first)
    return _XML_ROOTS.get(root or "", _XML)


def _of_markup(body: bytes, first: bytes, said: str) -> Kind:
    markup = Kind(said, "HTML")
    root = _xml_root(first)
    if root is not None:
        return markup if root in _HTML_ROOTS else _XML_ROOTS.get(root, _XML)
    if _is_json(body, first):
        return _JSON
    return markup if _TAG.search(body) else _TEXT


def _of_anything(body: bytes, first: bytes, url: str) -> Kind:
    if _begins_a_page(first) or _HTML_LIKE.match(first):
        return _HTML
    root = _xml_root(first)
    if root is not None:
        return _XML_ROOTS.get(root, _XML)
    return _JSON if _is_json(body, first) else _of_text(kinds.PLAIN_TEXT, url)


def _begins_a_page(first: bytes) -> bool:
    declaration = _DECLARATION.match(first)
    rest = first[declaration.end() :] if declaration else first
    start = _BEFORE_MARKUP.match(rest)
    return _HTML_START.match(rest, start.end() if start else 0) is not None


def _xml_root(first: bytes) -> str | None:
    """Return the name of an XML document's outermost element; `None` unless it is declared as XML, or known as such."""
    name = _root(first)
    return name if _DECLARATION.match(first) is not None or name in _XML_ROOTS else None


def _root(first: bytes) -> str | None:
    declaration = _DECLARATION.match(first)
    rest = first[declaration.end() :] if declaration else first
    while (step := _BEFORE_ROOT.match(rest)) and step.end():
        rest = rest[step.end() :]
    root = _DOCTYPE.match(rest) or _ROOT.match(rest)
    return root[1].decode("ascii").lower() if root else None


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
