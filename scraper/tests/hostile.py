"""Documents that want more than they should get, made by script."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from documents import DOCUMENTS
from fpdf import FPDF
from producers import archive, make_docx, make_epub, make_odt, make_pdf, make_pptx, make_xlsx

from app.core.extraction import kinds
from app.core.extraction.kinds import epub, pptx

REPORT: Final = next(document for document in DOCUMENTS if document.name == "report")
PRICES: Final = next(document for document in DOCUMENTS if document.name == "prices")
SECRET: Final = "root:x:0:0"
_LAUGHS: Final = '<!DOCTYPE a [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
)
_EXTERNAL: Final = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">'
_WORD: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def with_part(body: bytes, name: str, content: bytes) -> bytes:
    """Return an archive with another part of that name."""
    with zipfile.ZipFile(io.BytesIO(body)) as old:
        return archive({each: old.read(each) for each in old.namelist() if each != name} | {name: content})


def with_sheet(rows: bytes) -> bytes:
    """Return a workbook whose sheet has these rows."""
    sheet = (
        b'<?xml version="1.0"?><worksheet xmlns="'
        + _SHEET.encode()
        + b'"><sheetData>'
        + rows
        + b"</sheetData></worksheet>"
    )
    return with_part(make_xlsx(PRICES), "xl/worksheets/sheet1.xml", sheet)


def with_body(text: bytes) -> bytes:
    """Return a file of Word with this in its body."""
    head = b'<w:document xmlns:w="' + _WORD.encode() + b'"><w:body>'
    return with_part(make_docx(REPORT), "word/document.xml", head + text + b"</w:body></w:document>")


def with_cells(rows: str) -> bytes:
    """Return an OpenDocument sheet with these rows."""
    content = f'<d xmlns="o"><body><spreadsheet><table name="t">{rows}</table></spreadsheet></body></d>'
    return with_part(archive({"mimetype": kinds.ODS}), "content.xml", content.encode())


def many_chapters(count: int) -> bytes:
    """Return a book that names so many chapters, of which it has some."""
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(count))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(count))
    book = f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>"
    return with_part(make_epub(REPORT), "OEBPS/book.opf", book.encode())


def bomb(mebibytes: int) -> bytes:
    """Return a file of Word whose text unpacks to so many MiB of blanks."""
    made, text = io.BytesIO(), "word/document.xml"
    with zipfile.ZipFile(io.BytesIO(make_docx(REPORT))) as old, zipfile.ZipFile(made, "w", compresslevel=1) as new:
        for name in old.namelist():
            if name != text:
                new.writestr(name, old.read(name))
        part = zipfile.ZipInfo(text)
        part.compress_type = zipfile.ZIP_DEFLATED
        with new.open(part, "w") as written:  # in pieces: as a whole it would take a gigabyte here
            written.write(b'<w:document xmlns:w="' + _WORD.encode() + b'"><w:body><w:p/>')
            for _ in range(mebibytes):
                written.write(b" " * 2**20)
            written.write(b"</w:body></w:document>")
    return made.getvalue()


def lying_bomb() -> bytes:
    """Return one that says that it unpacks to ten bytes."""
    body = bytearray(bomb(80))
    at = 0
    while (at := body.find(b"word/document.xml", at)) >= 0:
        for offset, mark in ((30, b"PK\x03\x04"), (46, b"PK\x01\x02")):
            if body[at - offset : at - offset + 4] == mark:
                size = at - offset + (22 if mark == b"PK\x03\x04" else 24)
                body[size : size + 4] = struct.pack("<I", 10)
        at += 1
    return bytes(body)


def many_pages(count: int) -> bytes:
    """Return a PDF of so many pages, all of which are the same object's children."""
    kids = b" ".join(b"%d 0 R" % (number + 4) for number in range(count))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, kids),
        b"<</Length 0>>stream\n\nendstream",
        *(b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 3 0 R>>" for _ in range(count)),
    ]
    return _pdf(objects)


def _pdf(objects: list[bytes]) -> bytes:
    file = io.BytesIO()
    file.write(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(file.tell())
        file.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.writelines(b"%010d 00000 n \n" % place for place in places)
    file.write(b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return file.getvalue()


def page_of(content: bytes, resources: bytes = b"") -> bytes:
    """Return a PDF of one page, with this on it."""
    packed = zlib.compress(content)
    return _pdf(
        [
            b"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/Launch/F(/bin/sh)>>>>",
            b"<</Type/Pages/Count 1/Kids[4 0 R]>>",
            b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed),
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 3 0 R/Resources<<%s>>>>" % resources,
        ]
    )


def scanned() -> bytes:
    """Return a PDF whose page is a picture."""
    return page_of(b"q 600 0 0 800 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID x EI Q")


def encrypted_pdf() -> bytes:
    """Return a PDF that opens with a password."""
    paper = FPDF()
    paper.set_encryption(owner_password="captain", user_password="pilot")
    paper.add_page()
    paper.set_font("Helvetica", size=12)
    paper.cell(0, 10, "Secrets of the port")
    return bytes(paper.output())


def locked(body: bytes) -> bytes:
    """Return an archive whose parts say that they are encrypted."""
    changed = bytearray(body)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := changed.find(mark, at + 1)) >= 0:
            changed[at + offset] |= 1
    return bytes(changed)


def encrypted_odt() -> bytes:
    """Return an OpenDocument text that says in its manifest that it is encrypted."""
    manifest = b'<manifest xmlns="m"><file-entry full-path="content.xml"><encryption-data/></file-entry></manifest>'
    return with_part(make_odt(REPORT), "META-INF/manifest.xml", manifest)


def encrypted_office() -> bytes:
    """Return how Office keeps an archive that has a password: in a container of the nineties."""
    return bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500) + "EncryptedPackage".encode("utf-16-le") + bytes(500)


def macro() -> bytes:
    """Return a workbook with a program in it."""
    return with_part(make_xlsx(PRICES), "xl/vbaProject.bin", b"\xd0\xcf\x11\xe0" + b"Sub Auto_Open() Shell(1)" * 50)


def nested() -> bytes:
    """Return a file of Word with an archive in it, with one in it, and so on."""
    inner = b"x" * 1_000
    for level in range(30):
        inner = archive({f"level{level}.zip": inner})
    return with_part(make_docx(REPORT), "word/embeddings/inner.zip", inner)


def _laughing(root: str) -> bytes:
    return f'<?xml version="1.0"?>{_LAUGHS}]><{root}>&a9;</{root}>'.encode()


def _stealing(root: str) -> bytes:
    return f'<?xml version="1.0"?>{_EXTERNAL}]><{root}>&e;</{root}>'.encode()


HOSTILE: Final[Mapping[str, tuple[str, Callable[[], bytes], str]]] = {
    "a ZIP bomb": (kinds.DOCX, lambda: bomb(500), "too_large"),
    "a smaller one": (kinds.DOCX, lambda: bomb(80), "too_large"),
    "one that lies": (kinds.DOCX, lying_bomb, "extraction_failed"),
    "very many parts": (
        kinds.DOCX,
        lambda: with_part(archive({f"word/{n}": b"" for n in range(12_000)}), "[Content_Types].xml", b""),
        "too_large",
    ),
    "laughs in Word": (
        kinds.DOCX,
        lambda: with_part(make_docx(REPORT), "word/document.xml", _laughing("a")),
        "extraction_failed",
    ),
    "laughs in XML": (kinds.XML, lambda: _laughing("data"), "extraction_failed"),
    "laughs in a feed": (kinds.RSS, lambda: _laughing("rss"), "extraction_failed"),
    "a file in XML": (kinds.XML, lambda: _stealing("data"), "extraction_failed"),
    "a file in a feed": (kinds.ATOM, lambda: _stealing("feed"), "extraction_failed"),
    "a file in a book": (
        kinds.EPUB,
        lambda: with_part(make_epub(REPORT), "OEBPS/book.opf", _stealing("package")),
        "extraction_failed",
    ),
    "deep XML": (kinds.XML, lambda: b"<a>" * 5_000 + b"x" + b"</a>" * 5_000, "extraction_failed"),
    "deep JSON": (kinds.JSON, lambda: b"[" * 100_000 + b"1" + b"]" * 100_000, "extraction_failed"),
    "deep tables in Word": (
        kinds.DOCX,
        lambda: with_body(b"<w:tbl><w:tr><w:tc>" * 60 + b"<w:p/>" + b"</w:tc></w:tr></w:tbl>" * 60),
        "extraction_failed",
    ),
    "a cell said a million times": (
        kinds.ODS,
        lambda: with_part(
            archive({"mimetype": kinds.ODS}),
            "content.xml",
            b'<d xmlns="o"><body><spreadsheet><table name="t"><table-row number-rows-repeated="999999999">'
            b'<table-cell number-columns-repeated="999999999"><p>'
            + b"word " * 10
            + b"</p></table-cell></table-row></table></spreadsheet></body></d>",
        ),
        "too_large",
    ),
    "a cell far away": (
        kinds.XLSX,
        lambda: with_sheet(b'<row r="1"><c r="ZZZZZZ1"><v>1</v></c></row>'),
        "empty_content",
    ),
    "a cell said three million times": (
        kinds.ODS,
        lambda: with_cells(
            "".join(
                f'<table-row><table-cell number-columns-repeated="{n}"><p>1</p></table-cell></table-row>'
                for n in (900_000,) * 3
            )
        ),
        "too_large",
    ),
    "thousands of slides": (
        kinds.PPTX,
        lambda: with_part(
            make_pptx(REPORT), "ppt/presentation.xml", b"<p><l>" + b"<sldId/>" * (pptx.SLIDES_MAX + 1) + b"</l></p>"
        ),
        "too_large",
    ),
    "thousands of chapters": (kinds.EPUB, lambda: many_chapters(epub.CHAPTERS_MAX + 1), "too_large"),
    "deep text in Word": (
        kinds.DOCX,
        lambda: with_body(
            b"<w:p><w:r><w:t>Words </w:t></w:r>"
            + (b"<w:smartTag>" * 60 + b"<w:r><w:t>lost</w:t></w:r>" + b"</w:smartTag>" * 60)
            + b"</w:p>"
        ),
        "extraction_failed",
    ),
    "deep text in an ODT": (
        kinds.ODT,
        lambda: with_part(
            archive({"mimetype": kinds.ODT}),
            "content.xml",
            b'<d xmlns="o"><body><text><p>Words '
            + b"<span>" * 90
            + b"lost"
            + b"</span>" * 90
            + b"</p></text></body></d>",
        ),
        "extraction_failed",
    ),
    "deep text in RTF": (
        kinds.RTF,
        lambda: b"{\\rtf1 Words\\par" + b"{" * 2_000 + b"lost" + b"}" * 2_000 + b"}",
        "extraction_failed",
    ),
    "ten thousand pages": (kinds.PDF, lambda: many_pages(10_000), "too_large"),
    "a scanned page": (kinds.PDF, scanned, "no_text_layer"),
    "an encrypted PDF": (kinds.PDF, encrypted_pdf, "encrypted"),
    "an encrypted ODT": (kinds.ODT, encrypted_odt, "encrypted"),
    "an encrypted DOCX": (kinds.DOCX, encrypted_office, "encrypted"),
    "locked parts": (kinds.DOCX, lambda: locked(make_docx(REPORT)), "encrypted"),
    "half a PDF": (kinds.PDF, lambda: make_pdf(REPORT)[:300], "extraction_failed"),
    "half a DOCX": (kinds.DOCX, lambda: make_docx(REPORT)[:-2_000], "extraction_failed"),
    "half an XLSX": (kinds.XLSX, lambda: make_xlsx(PRICES)[:900], "extraction_failed"),
    "half a PPTX": (kinds.PPTX, lambda: make_pptx(REPORT)[:-500], "extraction_failed"),
    "half a JSON": (kinds.JSON, lambda: b'{"boats": [1, 2', "extraction_failed"),
    "half an XML": (kinds.XML, lambda: b"<a><b>x</b>", "extraction_failed"),
    "a PDF of nothing": (kinds.PDF, lambda: b"%PDF-1.7\n" + bytes(range(256)) * 40, "extraction_failed"),
    "a page of blanks": (kinds.PDF, lambda: page_of(b" " * 50 * 2**20), "empty_content"),
    "an endless field": (kinds.CSV, lambda: b'a,"' + b"x" * 2_000_000, "extraction_failed"),
}
"""By what it is: its header, who makes it, and the code that it is refused with."""
HARMLESS: Final[Mapping[str, tuple[str, Callable[[], bytes]]]] = {
    "a macro": (kinds.XLSX, macro),
    "archives in archives": (kinds.DOCX, nested),
    "a million empty rows": (
        kinds.XLSX,
        lambda: with_sheet(
            b"".join(b'<row r="%d"/>' % n for n in range(1_000_000))
            + b'<row r="1000001"><c><v>1</v></c><c><v>2</v></c></row>'
        ),
    ),
    "deep RTF": (kinds.RTF, lambda: b"{\\rtf1 Words of the port\\par" + b"{" * 200_000 + b"}" * 200_000 + b"}"),
    "a file in reStructuredText": (
        kinds.RST,
        lambda: (
            b"Port\n====\n\nWords.\n\n.. include:: /etc/passwd\n\n.. raw:: html\n   :file: /etc/passwd\n\n.. csv-table::\n   :file: /etc/passwd\n"
        ),
    ),
    "an address in a book": (
        kinds.EPUB,
        lambda: with_part(
            make_epub(REPORT),
            "OEBPS/c1.xhtml",
            b'<html><body><p>Words</p><iframe src="file:///etc/passwd"/></body></html>',
        ),
    ),
    "as many chapters as may be": (kinds.EPUB, lambda: many_chapters(epub.CHAPTERS_MAX)),
    "a PDF that starts a program": (
        kinds.PDF,
        lambda: page_of(
            b"BT /F1 12 Tf 50 700 Td (Words of the port) Tj ET",
            b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>",
        ),
    ),
    "a drawing of many lines": (
        kinds.PDF,
        lambda: page_of(
            b"BT /F1 12 Tf 50 700 Td (Words of the port) Tj ET "
            + b"".join(
                b"%d 10 m %d 700 l S 10 %d m 500 %d l S " % (n % 500, n % 500, n % 700, n % 700) for n in range(40_000)
            ),
            b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>",
        ),
    ),
}
"""What is read all the same."""
