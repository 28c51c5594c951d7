"""What a body is, whatever its header says."""

import codecs
import random

import pytest

from app.core.errors import UnsupportedContentTypeError
from app.core.extraction import kinds
from app.core.extraction.extract import extract
from app.core.extraction.kinds import NAMES, READABLE, reader_of
from app.core.extraction.result import Extract
from ml_shared.contracts.scraping import ExtractionWarning

URL = "https://harbour.example/file"
TEXT = "The harbour is closed on Monday from nine to five, and the ferry goes every hour."
HTML = f"<!DOCTYPE html><html><head><title>Port</title></head><body><h1>Closed</h1><p>{TEXT}</p></body></html>"
BINARY = {
    "PostScript": b"%!PS-Adobe-3.0\n%%Title: harbour\n",
    "office": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500),
    "PNG": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01",
    "JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "GIF": b"GIF89a\x01\x00\x01\x00\x80\x00\x00",
    "WebP": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "BMP": b"BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36\x00\x00\x00",
    "icon": b"\x00\x00\x01\x00\x01\x00\x10\x10",
    "TIFF": b"II*\x00\x08\x00\x00\x00",
    "AVIF": b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00",
    "MP4": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00",
    "WebM": b"\x1a\x45\xdf\xa3\x01\x00\x00\x00",
    "Ogg": b"OggS\x00\x02\x00\x00",
    "WAVE": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "MP3": b"ID3\x04\x00\x00\x00\x00\x00\x00",
    "FLAC": b"fLaC\x00\x00\x00\x22",
    "ZIP": b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "bzip2": b"BZh91AY&SY\x01\x02",
    "xz": b"\xfd7zXZ\x00\x00\x04",
    "Zstandard": b"\x28\xb5\x2f\xfd\x04\x58",
    "RAR": b"Rar!\x1a\x07\x01\x00",
    "7-Zip": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "tar": b"notes.txt".ljust(257, b"\0") + b"ustar\x0000",
    "Debian package": b"!<arch>\ndebian-binary",
    "ELF": b"\x7fELF\x02\x01\x01\x00",
    "Windows": b"MZ\x90\x00\x03\x00\x00\x00",
    "WebAssembly": b"\x00asm\x01\x00\x00\x00",
    "WOFF": b"wOF2\x00\x01\x00\x00",
    "TrueType": b"\x00\x01\x00\x00\x00\x0f\x00\x80",
    "SQLite": b"SQLite format 3\x00\x10\x00",
    "rubbish": random.Random(7).randbytes(5_000),
    "zeros": bytes(5_000),
}


def read(body: bytes, media_type: str = "text/html", charset: str | None = None) -> Extract:
    return extract(body, url=URL, media_type=media_type, charset=charset)


@pytest.mark.parametrize("declared", ["text/html", "application/xhtml+xml", "text/plain", "text/markdown", ""])
@pytest.mark.parametrize("name", BINARY)
def test_bytes_that_are_no_text_are_refused_whatever_the_header_says(name: str, declared: str) -> None:
    with pytest.raises(UnsupportedContentTypeError) as caught:
        read(BINARY[name], declared)
    assert (caught.value.code, caught.value.retryable) == ("unsupported_content_type", False)
    assert (declared or "no Content-Type") in caught.value.detail


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('\ufeff<?xml version="1.0"?><?xml-stylesheet href="a.xsl"?><!-- x --><urlset></urlset>', "a sitemap"),
        ('<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x"><svg></svg>', "an image (SVG)"),
    ],
)
def test_what_is_no_text_under_a_pages_header_is_named(body: str, name: str) -> None:
    for declared in ("text/html", "application/xml", ""):
        with pytest.raises(UnsupportedContentTypeError) as caught:
            read(body.encode(), declared)
        assert f"the page is {name}, told by its bytes" in caught.value.detail
        assert caught.value.detail.endswith(NAMES)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ('<?xml version="1.0"?><rss version="2.0"><channel><title>News</title></channel></rss>', kinds.RSS),
        ('<rss version="2.0"><channel><title>News</title></channel></rss>', kinds.RSS),
        ('<?xml version="1.0"?>\n<feed xmlns="http://www.w3.org/2005/Atom"><title>News</title></feed>', kinds.ATOM),
        ('<?xml version="1.0"?><soap:Envelope xmlns:soap="x">words</soap:Envelope>', kinds.XML),
        ('{"message": "<p>The harbour is closed</p>"}', kinds.JSON),
        ('  [{"boat": 1}, {"boat": 2}]', kinds.JSON),
        ("{\\rtf1\\ansi The harbour is closed.\\par}", kinds.RTF),
    ],
)
def test_data_under_a_pages_header_are_read_as_what_they_are(body: str, media_type: str) -> None:
    found = read(body.encode(), "text/html")
    assert found.media_type == media_type
    assert ExtractionWarning.WRONG_CONTENT_TYPE in found.warnings
    assert ExtractionWarning.WRONG_CONTENT_TYPE not in read(body.encode(), "").warnings


@pytest.mark.parametrize("declared", ["text/plain", "text/markdown"])
@pytest.mark.parametrize(
    "body",
    [
        HTML,
        f"\n <!-- made by hand -->\n{HTML}",
        f'<?xml version="1.0"?>{HTML}',
        HTML.replace("<!DOCTYPE html>", ""),
        "\ufeff" + HTML,
    ],
)
def test_a_page_that_is_served_as_text_is_read_as_a_page(body: str, declared: str) -> None:
    found = read(body.encode(), declared)
    assert (found.title, found.media_type) == ("Port", "text/html")
    assert "<p>" not in found.content
    assert ExtractionWarning.WRONG_CONTENT_TYPE in found.warnings


@pytest.mark.parametrize(
    "text",
    [
        f'<p align="center">\n  <b>Harbour</b>\n</p>\n\n{TEXT}',
        f"<!-- a comment -->\n# Harbour\n\n{TEXT}",
        f"To begin write <!doctype html>. {TEXT}",
        f"BM is a sign, GIF89a as well, and so is PK. {TEXT}",
        f"GIF89a: {TEXT}",
        f"MZ, ID3, OTTO, Rar! and RIFF are names. {TEXT}",
        f"[1, 2] {TEXT}",
    ],
)
def test_a_text_stays_a_text(text: str) -> None:
    for declared in ("text/plain", "text/markdown"):
        found = read(text.encode(), declared)
        assert (found.content, found.media_type, found.method) == (text, declared, "plain text")
        assert ExtractionWarning.WRONG_CONTENT_TYPE not in found.warnings


def test_a_text_that_is_served_as_a_page_keeps_its_lines() -> None:
    found = read(f"The harbour\n===========\n\n{TEXT}\n    a  <  b\n".encode())
    assert found.content == f"The harbour\n===========\n\n{TEXT}\n    a  <  b"
    assert (found.media_type, found.warnings) == ("text/plain", [ExtractionWarning.WRONG_CONTENT_TYPE])


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (HTML, "text/html"),
        (f"<h1>Closed</h1><p>{TEXT}</p>", "text/html"),
        (f"<!-- x --><div>{TEXT}</div>", "text/html"),
        (TEXT, "text/plain"),
        (f"# Closed\n\n{TEXT}", "text/plain"),
    ],
)
@pytest.mark.parametrize("declared", ["", "*/*", "unknown/unknown", "html"])
def test_where_the_header_says_nothing_the_bytes_do(body: str, media_type: str, declared: str) -> None:
    found = read(body.encode(), declared)
    assert (found.media_type, TEXT in found.content, found.warnings) == (media_type, True, [])


@pytest.mark.parametrize(
    "body",
    [
        codecs.BOM_UTF16_LE + HTML.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + HTML.encode("utf-16-be"),
        HTML.encode("utf-8-sig"),
        codecs.BOM_UTF16_LE + HTML.replace("<p>", "<p>" + "Москва столица. " * 200).encode("utf-16-le"),
        HTML.replace("harbour", "har\0bour").encode(),
        ("<p>" + "Größe " * 100 + TEXT).encode("windows-1252"),
        ("<p>" + "東京は日本の首都である。" * 20 + TEXT).encode("shift_jis"),
        ("<p>" + "東京は日本の首都である。" * 20 + TEXT).encode("iso-2022-jp"),
        ("<p>" + "Москва столица. " * 30 + TEXT).encode("koi8-r"),
    ],
)
def test_a_page_in_any_character_set_is_no_rubbish(body: bytes) -> None:
    found = read(body)
    assert found.media_type == "text/html"
    assert "is closed on Monday" in found.content


def test_a_page_whose_header_names_a_wide_character_set_is_no_rubbish() -> None:
    found = read(HTML.replace("<p>", "<p>" + "Москва столица. " * 200).encode("utf-16-le"), charset="UTF-16LE")
    assert "Москва столица." in found.content


def test_a_manual_in_bold_by_backspaces_is_no_rubbish() -> None:
    manual = "N\bNA\bAM\bME\bE\n     tide - " + "".join(f"{letter}\b{letter}" for letter in "harbour") + TEXT
    assert TEXT in read(manual.encode(), "text/plain").content


def test_there_is_a_reader_for_every_kind_that_is_fetched() -> None:
    assert len(READABLE) > 15
    assert all(callable(reader_of(media_type)) for media_type in READABLE)
    assert reader_of("image/png") is None


@pytest.mark.parametrize(
    ("declared", "url", "media_type"),
    [
        ("text/plain", "https://h.example/a.csv?x=1", "text/csv"),
        ("text/plain", "https://h.example/a.md", "text/markdown"),
        ("text/plain", "https://h.example/a.rst", "text/x-rst"),
        ("", "https://h.example/a.tsv", "text/tab-separated-values"),
        ("application/octet-stream", "https://h.example/A.CSV", "text/csv"),
        ("text/markdown", "https://h.example/a.csv", "text/markdown"),
        ("text/plain", "https://h.example/a.csv/", "text/plain"),
        ("text/x-markdown", URL, "text/markdown"),
    ],
)
def test_kinds_of_text_are_told_by_the_end_of_the_address_where_the_header_says_no_more(
    declared: str, url: str, media_type: str
) -> None:
    found = extract(b"name,price\nboat,3\n", url=url, media_type=declared, charset=None)
    assert (found.media_type, ExtractionWarning.WRONG_CONTENT_TYPE in found.warnings) == (media_type, False)


def test_a_header_alone_makes_no_document_of_a_text() -> None:
    for declared in ("application/pdf", "application/epub+zip", "application/rtf"):
        with pytest.raises(UnsupportedContentTypeError, match="not what its header says"):
            read(TEXT.encode(), declared)
        assert read(HTML.encode(), declared).media_type == "text/html"
