"""Office files, feeds and their kin: what is hidden, merged, noted or computed in them."""

import datetime as dt
import io
import re
import zipfile

import docx
import openpyxl
import pptx
import pytest
from documents import DOCUMENTS
from hostile import with_body, with_part, with_sheet
from producers import PRODUCERS, make_odp, make_odt, make_pptx
from producers import archive as archived

from app.core.extraction import kinds
from app.core.extraction.extract import extract
from app.core.extraction.result import Extract

WORD = {"w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main"}


def read(body: bytes, media_type: str) -> Extract:
    return extract(body, url="https://harbour.example/feed", media_type=media_type, charset=None)


def saved(made: object) -> bytes:
    file = io.BytesIO()
    made.save(file)  # type: ignore[attr-defined]
    return file.getvalue()


def test_a_workbooks_hidden_sheets_are_not_read_and_dates_and_formulas_are_values() -> None:
    made = openpyxl.Workbook()
    sheet = made.active
    sheet.title = "Berths"
    sheet.append(["Boat", "Since", "At", "Share", "Paid"])
    sheet.append(["Dinghy", dt.date(2024, 5, 6), dt.datetime.fromisoformat("2024-05-06T08:30"), 0.1 + 0.2, True])
    sheet["A5"], sheet["B5"] = "Other", "table"
    sheet["A6"], sheet["B6"] = "of", "two rows"
    hidden = made.create_sheet("Secrets")
    hidden["A1"], hidden["B1"] = "never", "told"
    hidden.sheet_state = "hidden"
    made.create_sheet("Empty")
    assert read(saved(made), kinds.XLSX).content == (
        "## Berths\n\n| Boat | Since | At | Share | Paid |\n| --- | --- | --- | --- | --- |\n"
        "| Dinghy | 2024-05-06 | 2024-05-06 08:30:00 | 0.3 | TRUE |\n\n| Other | table |\n| --- | --- |\n| of | two rows |"
    )
    formula = with_sheet(
        b'<row r="1"><c r="A1"><f>SUM(1,2)</f><v>3</v></c><c r="C1" t="str"><f>A</f><v>x</v></c></row>'
    )
    assert "| 3 | x |" in read(formula, kinds.XLSX).content


def as_strict(body: bytes) -> bytes:
    """Return an Office file as programs write it that are told to be strict."""
    transitional = re.compile(
        rb"http://schemas\.openxmlformats\.org/(?!package)(\w+)/2006/(main|relationships)(?=[\"'/])"
    )
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return archived(
        {
            name: part if name.startswith("[") else transitional.sub(rb"http://purl.oclc.org/ooxml/\1/\2", part)
            for name, part in parts.items()
        }
    )


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx"])
def test_a_strict_file_reads_as_any_other(kind: str) -> None:
    media_type, make, _ = PRODUCERS[kind]
    for document in [each for each in DOCUMENTS if each.tables][:2]:
        body = make(document)
        strict = as_strict(body)
        assert strict != body
        assert (found := read(strict, media_type)).content == read(body, media_type).content
        assert found.content


def test_a_strict_workbooks_dates_are_told_as_others_are() -> None:
    cells = ("2024-05-06T00:00:00.000Z", "2024-05-06T08:30:00", "2024-05-06")
    row = "".join(f'<c r="{column}1" t="d"><v>{cell}</v></c>' for column, cell in zip("ABC", cells, strict=True))
    content = read(as_strict(with_sheet(f'<row r="1">{row}</row>'.encode())), kinds.XLSX).content
    assert "| 2024-05-06 | 2024-05-06 08:30:00 | 2024-05-06 |" in content


def test_a_row_of_a_sheet_is_never_parted() -> None:
    made = openpyxl.Workbook()
    made.active.append(["Boat", "Note"])
    made.active.append(["Dinghy", "two\nlines | and a bar"])
    assert "| Dinghy | two lines \\| and a bar |" in read(saved(made), kinds.XLSX).content.split("\n")


def test_deleted_text_is_not_read_and_inserted_and_boxed_text_is() -> None:
    body = (
        b"<w:p><w:r><w:t>The harbour is </w:t></w:r><w:del><w:r><w:delText>closed</w:delText></w:r></w:del>"
        b"<w:ins><w:r><w:t>open</w:t></w:r></w:ins><w:r><w:t> today.</w:t></w:r></w:p>"
        b"<w:sdt><w:sdtContent><w:p><w:r><w:t>In a field.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        b'<w:p><w:r><w:instrText>HYPERLINK "x"</w:instrText><w:tab/><w:t>A link</w:t></w:r></w:p>'
        b"<w:p><w:r><w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p></w:txbxContent></w:r></w:p>"
    )
    assert read(with_body(body), kinds.DOCX).content == (
        "# Report on the harbour\n\nThe harbour is open today.\n\nIn a field.\n\nA link\n\nIn a box."
    )


def test_cells_over_columns_and_rows_leave_the_others_empty() -> None:
    made = docx.Document()
    table = made.add_table(3, 3)
    for y, row in enumerate((("Boats", "", "Price"), ("Dinghy", "3 m", "5"), ("", "4 m", "6"))):
        for x, text in enumerate(row):
            table.cell(y, x).text = text
    table.cell(0, 0).merge(table.cell(0, 1))
    table.cell(1, 0).merge(table.cell(2, 0))
    assert read(saved(made), kinds.DOCX).content.split("\n") == [
        "| Boats |  | Price |",
        "| --- | --- | --- |",
        "| Dinghy | 3 m | 5 |",
        "|  | 4 m | 6 |",
    ]


def test_a_hidden_slide_is_not_read_and_a_slide_without_a_title_has_its_number() -> None:
    made = pptx.Presentation()
    for text in ("Shown", "Hidden", ""):
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = text
        slide.placeholders[1].text = f"Words of {text or 'the last'}"
    made.slides[1]._element.set("show", "0")
    found = read(saved(made), kinds.PPTX)
    assert found.content == "## Shown\n\nWords of Shown\n\n## Slide 3\n\nWords of the last"
    assert found.pages == [(1, 0), (3, found.content.index("## Slide 3"))]


def test_notes_come_after_their_slide() -> None:
    report = next(document for document in DOCUMENTS if document.name == "lists")
    content = read(make_pptx(report), kinds.PPTX).content
    assert (
        content.index("- a chart") < content.index("Notes: Before a boat leaves") < content.index("## What to do first")
    )


def test_footnotes_stand_after_the_text_with_their_numbers() -> None:
    note = (
        '<?xml version="1.0"?><d xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><body><text>'
        "<text:p>The mole<text:note><text:note-body><text:p>Built by monks.</text:p></text:note-body></text:note> is old.</text:p>"
        "</text></body></d>"
    )
    found = read(with_part(make_odt(DOCUMENTS[0]), "content.xml", note.encode()), kinds.ODT)
    assert found.content == "The mole[1] is old.\n\n[1] Built by monks."


def test_a_book_says_its_language_and_author() -> None:
    found = read(PRODUCERS["epub"][1](DOCUMENTS[0]), kinds.EPUB)
    assert (found.title, found.language, found.author) == (DOCUMENTS[0].title, "en-GB", "A. Mariner")
    assert "Contents of the book" not in found.content


@pytest.mark.parametrize("kind", ["rss", "atom"])
def test_a_feeds_entries_have_their_date_and_link(kind: str) -> None:
    media_type, make, _ = PRODUCERS[kind]
    found = read(make(DOCUMENTS[0]), media_type)
    address = "https://h.example/1" if kind == "rss" else "https://harbour.example/1"
    assert address in found.links
    line = next(line for line in found.content.split("\n") if address in line)
    assert "2024" in line
    assert (found.title, found.language) == ("News of the port", "en")


def test_data_are_sections_tables_and_lists() -> None:
    body = b'{"title": "Port", "open": true, "tags": ["a", "b"], "boats": [{"name": "x", "len": 3}, {"name": "y", "len": 4}], "a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}'
    assert read(body, kinds.JSON).content == (
        "- title: Port\n- open: true\n- tags: a, b\n\n# boats\n\n| name | len |\n| --- | --- |\n| x | 3 |\n| y | 4 |\n\n"
        "# a\n\n## b\n\n### c\n\n#### d\n\n##### e\n\n###### f\n\n- g: 1"
    )
    lines = b'{"boat": "x"}\n{"boat": "y"}\n'
    assert "x" in read(lines, "application/x-ndjson").content
    mixed = b'<?xml version="1.0"?><note lang="en"><p>Of <b>two</b> boats.</p><p>Of one.</p></note>'
    assert read(mixed, kinds.XML).content == "# note\n\n- lang: en\n- p: Of two boats., Of one."


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_of_lines_is_read_whatever_parts_its_cells(separator: str) -> None:
    text = "\r\n".join(separator.join(row) for row in (("Boat", "Note"), ("Dinghy", '"a, b; c"'), ("Yacht", "x")))
    assert read(text.encode(), kinds.CSV).content.split("\n") == [
        "| Boat | Note |",
        "| --- | --- |",
        "| Dinghy | a, b; c |",
        "| Yacht | x |",
    ]


def test_sphinx_is_read_for_its_text() -> None:
    text = (
        "Port\n====\n\nSee :ref:`the mole <mole>` and :py:func:`~port.moor`.\n\n.. toctree::\n   :maxdepth: 2\n\n   a\n\n"
        ".. versionadded:: 3.2\n\n   Mooring at night.\n\n.. warning:: Ropes burn.\n\nberth\n   where a boat lies\n"
    )
    content = read(text.encode(), kinds.RST).content
    assert content == (
        "# Port\n\nSee the mole and port.moor.\n\n3.2\n\nMooring at night.\n\nRopes burn.\n\n**berth**\n\nwhere a boat lies"
    )


def test_a_hidden_slide_of_an_open_document_is_not_read() -> None:
    body = make_odp(DOCUMENTS[1])
    style = (
        '<style:style style:name="dp2"><style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
    )
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        content = archive.read("content.xml").decode()
    changed = content.replace("<office:automatic-styles>", f"<office:automatic-styles>{style}")
    changed = changed.replace("<draw:page>", '<draw:page draw:style-name="dp2">', 1)
    assert "What to bring along" in read(body, kinds.ODP).content
    found = read(with_part(body, "content.xml", changed.encode()), kinds.ODP)
    assert "What to bring along" not in found.content
    assert [number for number, _ in found.pages] == [2]
