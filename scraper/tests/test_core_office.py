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
from hostile import with_body, with_cells, with_part, with_sheet
from producers import PRODUCERS, make_odp, make_odt, make_pptx
from producers import archive as archived

from app.core.errors import EncryptedError
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


def test_a_sheets_numbers_keep_their_digits_and_passed_time_is_no_date() -> None:
    numbers = {
        "12345678901.23": "12345678901.23", "123456789.123456": "123456789.123456", "0.30000000000000004": "0.3",
        "4111111111111111": "4111111111111111", "12345678901234567890": "12345678901234567890",
        "4.1111111111111111E+15": "4111111111111111", "1E+20": "100000000000000000000", "1000000000000000.5": "1000000000000000",
        "1E-7": "0.0000001", "1.5E-10": "1.5E-10", "1.5E+300": "1.5E+300", "-2.5": "-2.5", "5.0": "5",
    }  # fmt: skip
    row = "".join(f"<c><v>{written}</v></c>" for written in numbers)
    content = read(with_sheet(f'<row r="1">{row}</row>'.encode()), kinds.XLSX).content
    assert content.split("\n")[-2] == f"| {' | '.join(numbers.values())} |"

    made = openpyxl.Workbook()
    shown = {
        "[h]:mm": "36:00:00",
        "[mm]:ss": "36:00:00",
        "[s]": "36:00:00",
        '[Red][h]"h"': "36:00:00",
        "[h]:mm:ss": "36:00:00",
        "h:mm": "1900-01-01 12:00:00",
        "[$-409]0.0": "1.5",
    }
    for column, form in enumerate(shown, start=1):
        made.active.cell(1, column, 1.5).number_format = form
    made.active.cell(1, len(shown) + 1, -0.0625).number_format = "[h]:mm"
    content = read(saved(made), kinds.XLSX).content
    assert content.split("\n")[-2] == f"| {' | '.join(shown.values())} | -1:30:00 |"


def test_an_open_sheets_numbers_and_dates_are_their_values() -> None:
    cells = (
        ('value-type="float" value="12345678901.23"', "12345678901.2", "12345678901.23"),
        ('value-type="float" value="4111111111111111"', "4.11E+15", "4111111111111111"),
        ('value-type="float" value="7"', "###", "7"),
        ('value-type="float" value="8"', "", "8"),
        ('value-type="float" value="1234.5"', "1,234.50 kg", "1,234.50 kg"),
        ('value-type="percentage" value="0.5"', "50%", "50%"),
        ('value-type="date" date-value="2024-05-06"', "06/05/24", "2024-05-06"),
        ('value-type="time" time-value="PT36H00M00S"', "36:00:00", "36:00:00"),
        ('value-type="string"', "007", "007"),
    )
    row = "".join(f"<table-cell {said}><p>{shown}</p></table-cell>" for said, shown, _ in cells)
    content = (
        f'<d xmlns="o"><body><spreadsheet><table name="t"><table-row>{row}</table-row></table></spreadsheet></body></d>'
    )
    body = with_part(archived({"mimetype": kinds.ODS}), "content.xml", content.encode())
    assert read(body, kinds.ODS).content.split("\n")[-2] == f"| {' | '.join(value for *_, value in cells)} |"


def test_what_a_sheet_repeats_is_read_as_often_as_it_stands_there() -> None:
    cells = '<table-cell><p>0</p></table-cell><table-cell number-columns-repeated="1500"><p>1</p></table-cell>'
    empty = '<table-row number-rows-repeated="900000"><table-cell number-columns-repeated="16000"/></table-row>'
    rows = f'<table-row number-rows-repeated="1200">{cells}<table-cell number-columns-repeated="14000"/></table-row>{empty}'
    lines = read(with_cells(rows), kinds.ODS).content.split("\n")[2:]
    assert len(lines) == 1200 + 1
    assert {line.count("|") for line in lines} == {1500 + 2}


def test_numbers_of_data_are_as_they_are_written() -> None:
    written = "12345678901234567890123, 1.10, 1E40, -0.50, 3, 0.5"
    found = read(f'{{"a": [{written}], "b": [[{written}]]}}'.encode(), kinds.JSON)
    assert found.content.split("\n") == [f"- a: {written}", "", "# b", "", f"- {written}"]
    inner = f'{{"b": [{written}], "c": {{}}}}'
    deep = read(b'{"a":' * 7 + inner.encode() + b"}" * 7, kinds.JSON)
    assert written.replace(" ", "") in deep.content
    assert "- 1.10" in read(b"1.10\n2.20\n", "application/jsonl").content


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


def test_a_row_that_begins_further_right_has_its_cells_in_their_columns() -> None:
    def row(*texts: str, before: int = 0) -> str:
        cells = "".join(f"<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>" for text in texts)
        return f'<w:tr><w:trPr><w:gridBefore w:val="{before}"/></w:trPr>{cells}</w:tr>'

    rows = row("Boat", "Length", "Price") + row("3 m", "5", before=1) + row("6", before=2)
    assert read(with_body(f"<w:tbl>{rows}</w:tbl>".encode()), kinds.DOCX).content.split("\n")[2:] == [
        *("| Boat | Length | Price |", "| --- | --- | --- |", "|  | 3 m | 5 |", "|  |  | 6 |"),
    ]


def test_cells_of_restructured_text_stay_in_their_columns_below_one_that_reaches_down() -> None:
    text = """
+--------+--------+-------+-------+
| Boat   | Length         | Price |
+========+========+=======+=======+
| Dinghy | 3 m    | old   | 5     |
|        +--------+-------+-------+
|        | 4 m    | new   | 6     |
+--------+--------+-------+       |
| Yacht  | big            |       |
|        |                +-------+
|        |                | 8     |
+--------+--------+-------+-------+
"""
    assert read(text.encode(), kinds.RST).content.split("\n") == [
        "| Boat | Length |  | Price |",
        "| --- | --- | --- | --- |",
        "| Dinghy | 3 m | old | 5 |",
        "|  | 4 m | new | 6 |",
        "| Yacht | big |  |  |",
        "|  |  |  | 8 |",
    ]


def test_text_of_rich_text_is_in_the_code_page_of_its_own_font() -> None:
    fonts = rb"{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial Cyr;}{\f2\fcharset161 Arial Greek;}}"
    text = (
        rb"{\rtf1\ansi\ansicpg1252\deff0" + fonts + rb"{\f1 \'cf\'f0} caf\'e9\par"
        rb"\f1\'cf\'f0\plain  caf\'e9 {\f2 \'e1{\f1 \'e1\plain \'e1}\'e1}\'e1\par {\u8212}dash}"
    )
    assert read(text, kinds.RTF).content == "Пр café\n\nПр café αбáαá\n\n—dash"
    russian = rb"{\rtf1\ansi\deff1" + fonts + rb"\'cf\'f0 {\f0 caf\'e9\plain \'cf}\'f0\par}"
    assert read(russian, kinds.RTF).content == "Пр caféПр"


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;,,"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_line_that_tells_excel_the_separator_is_no_header(first: str, ending: str) -> None:
    text = ending.join((first, "Boat,Name;Note", "a,b;c", ""))
    for media_type in (kinds.CSV, kinds.TSV):
        found = read(text.encode("utf-8-sig"), media_type).content
        assert found == "| Boat,Name | Note |\n| --- | --- |\n| a,b | c |"
    assert read(f"sep=;price{ending}1;2".encode(), kinds.CSV).content.startswith("| sep= | price |")


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


def locked(body: bytes, *names: str) -> bytes:
    """Return a book of which these parts are encrypted."""
    references = "".join(f'<EncryptedData><CipherReference URI="{name}"/></EncryptedData>' for name in names)
    return with_part(body, "META-INF/encryption.xml", f"<encryption>{references}</encryption>".encode())


def test_a_book_that_is_encrypted_in_part_says_so_with_the_share_that_is_read() -> None:
    book = PRODUCERS["epub"][1](DOCUMENTS[0])
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        chapters = [name for name in archive.namelist() if name.startswith("OEBPS/c")]
    whole = read(book, kinds.EPUB)
    assert (whole.warnings, whole.kept_share) == ([], None)
    assert read(locked(book, "OEBPS/font.otf"), kinds.EPUB).warnings == []
    share = round(1 - 1 / len(chapters), 3)
    gone = locked(book, f"/{chapters[0]}")
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        lacking = archived({name: archive.read(name) for name in archive.namelist() if name != chapters[0]})
    for body in (gone, lacking):
        found = read(body, kinds.EPUB)
        assert (found.warnings, found.kept_share) == (["incomplete"], share)
        assert len(found.content) < len(whole.content)
    cover = with_part(book, chapters[0], b"<html><body><img src='cover.png'/></body></html>")
    for body in (locked(book, *chapters), locked(cover, *chapters[1:])):
        with pytest.raises(EncryptedError):
            read(body, kinds.EPUB)


def related(body: bytes, part: str, **targets: str) -> bytes:
    """Return an Office file whose part leads outside, by these ids."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"
    relations = "".join(
        f'<Relationship Id="{name}" Type="{kind}" Target="{target}" TargetMode="External"/>'
        for name, target in targets.items()
    )
    folder, _, name = part.rpartition("/")
    return with_part(body, f"{folder}/_rels/{name}.rels", f"<Relationships>{relations}</Relationships>".encode())


def links_of(body: bytes, media_type: str) -> list[str]:
    return read(body, media_type).links


def test_where_a_file_of_word_links_to_is_told() -> None:
    note = (
        f'<w:footnotes xmlns:w="{WORD["w"]}" xmlns:r="r"><w:footnote w:id="1"><w:p><w:hyperlink r:id="r1"><w:r><w:t>it</w:t></w:r>'
        "</w:hyperlink></w:p></w:footnote></w:footnotes>"
    )
    body = with_body(
        b"""<w:p xmlns:r="r"><w:hyperlink r:id="r1"><w:r><w:t>Berths</w:t></w:r></w:hyperlink>
        <w:hyperlink w:anchor="top"><w:r><w:t>top</w:t></w:r></w:hyperlink>
        <w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> HYPERLINK "https://h.exam</w:instrText></w:r>
        <w:r><w:instrText>ple/tides#now" </w:instrText></w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r>
        <w:r><w:t>Tides</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>
        <w:fldSimple w:instr='HYPERLINK "ropes.docx"'><w:r><w:t>Ropes</w:t></w:r></w:fldSimple>
        <w:fldSimple w:instr='HYPERLINK \\l "place"'><w:r><w:t>Place</w:t></w:r></w:fldSimple>
        <w:hyperlink r:id="r2"><w:r><w:t>Letters</w:t></w:r></w:hyperlink>
        <w:del><w:hyperlink r:id="r3"><w:r><w:delText>gone</w:delText></w:r></w:hyperlink></w:del>
        <w:r><w:footnoteReference w:id="1"/></w:r></w:p>"""
    )
    body = related(
        with_part(body, "word/footnotes.xml", note.encode()), "word/footnotes.xml", r1="https://h.example/note"
    )
    body = related(body, "word/document.xml", r1="berths%20.html", r2="mailto:a@h.example", r3="https://h.example/gone")
    found = read(body, kinds.DOCX)
    assert "BerthstopTidesRopesPlaceLetters[1]" in found.content
    assert found.links == [
        *("https://harbour.example/berths%20.html", "https://h.example/tides", "https://harbour.example/ropes.docx"),
        "https://h.example/note",
    ]


def test_where_the_formulas_of_a_sheet_lead_is_told() -> None:
    formulas = {
        'HYPERLINK("https://h.example/a","The tides")': "https://h.example/a",
        'IF(B1>0, hyperlink( "b.html" ; "x"), "")': "https://harbour.example/b.html",
        'HYPERLINK("https://h.example/"&amp;B1,"put together")': "",
        'HYPERLINK("#Sheet2!A1","there")': "",
        'MYHYPERLINK("https://h.example/d")': "",
    }
    wanted = [href for href in formulas.values() if href]
    row = "".join(f'<c t="str"><f>{formula}</f><v>words</v></c>' for formula in formulas)
    assert links_of(with_sheet(f'<row r="1">{row}</row>'.encode()), kinds.XLSX) == wanted
    row = "".join(
        f'<table-cell formula="of:={formula.replace(chr(34), "&quot;")}"><p>words</p></table-cell>'
        for formula in formulas
    )
    assert links_of(with_cells(f"<table-row>{row}</table-row>"), kinds.ODS) == wanted[:1]


def test_where_sheets_slides_books_and_texts_link_to_is_told() -> None:
    sheet = b"<hyperlinks><hyperlink ref='A1' r:id='r1' xmlns:r='r'/></hyperlinks></worksheet>"
    book = with_sheet(b'<row r="1"><c r="A1"><v>1</v></c></row>')
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        rows = archive.read("xl/worksheets/sheet1.xml").replace(b"</worksheet>", sheet)
    book = related(
        with_part(book, "xl/worksheets/sheet1.xml", rows), "xl/worksheets/sheet1.xml", r1="https://h.example/x"
    )
    assert links_of(book, kinds.XLSX) == ["https://h.example/x"]

    made = pptx.Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    run = slide.placeholders[1].text_frame.paragraphs[0].add_run()
    run.text, run.hyperlink.address = "Tides", "https://h.example/p"
    assert links_of(saved(made), kinds.PPTX) == ["https://h.example/p"]

    text = b"""<d xmlns:x="xlink"><body><text><p><a x:href="https://h.example/o">a</a> <a x:href="../b.odt">b</a> <a x:href="#c">c</a>
        </p></text></body></d>"""
    assert links_of(with_part(make_odt(DOCUMENTS[0]), "content.xml", text), kinds.ODT) == [
        *("https://h.example/o", "https://harbour.example/b.odt"),
    ]

    chapter = b"<html><body><p><a href='c2.xhtml'>Next</a> <a href='https://h.example/e'>Words</a></p></body></html>"
    assert links_of(with_part(PRODUCERS["epub"][1](DOCUMENTS[0]), "OEBPS/c1.xhtml", chapter), kinds.EPUB) == [
        "https://h.example/e"
    ]

    text = (
        b"Port\n====\n\nSee `tides <tides.html>`_, https://h.example/r and ropes_.\n\n.. _ropes: https://h.example/s\n"
    )
    rich = (
        rb'{\rtf1 See {\field{\*\fldinst {\rsid1 HYPERLINK "https://h.example/t"\par}}{\fldrslt{\ul tides}}} and'
        rb' {\field\flddirty{\*\fldinst HYPERLINK \\l "place"}{\fldrslt a place}}{\*\unknown HYPERLINK "https://h.example/u"}.}'
    )
    assert read(rich, kinds.RTF).content == "See tides and a place."
    assert links_of(rich, kinds.RTF) == ["https://h.example/t"]
    assert links_of(text, kinds.RST) == [
        *("https://harbour.example/tides.html", "https://h.example/r", "https://h.example/s"),
    ]


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


def test_what_a_member_of_data_calls_itself_stands_beside_its_name() -> None:
    body = (
        b'{"primary": {"name": "db1", "port": 5432}, "fallback": {"name": "db2", "port": 5433},'
        b' "paths": {"/": {"get": {"name": "root", "tags": {"x": 1}}}}, "User": {"title": "user"},'
        b' "boats": [{"name": "Ferry", "crew": {"title": "Two"}}, {"name": "-", "crew": {}}]}'
    )
    headings = [line for line in read(body, kinds.JSON).content.split("\n") if line.startswith("#")]
    assert headings == [
        *("# primary: db1", "# fallback: db2", "# paths", "## paths › /", "### get: root", "#### tags", "# User"),
        *("# boats", "## Ferry", "### crew: Two", "## boats 2", "### crew"),
    ]
    markup = (
        b"<config name='Port'><primary><name>db1</name><port>1</port></primary><fallback label='db2'><port>2</port></fallback>"
        b"<user name='a'><name>b</name></user></config>"
    )
    content = read(markup, kinds.XML).content
    assert [line for line in content.split("\n") if line.startswith("#")] == [
        *("# config: Port", "## primary: db1", "## fallback: db2", "## user: a, b"),
    ]


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
