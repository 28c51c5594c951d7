"""PDF: reading order, headings, tables over pages, what runs along every page, pages that lie on their side."""

from collections.abc import Sequence

import pytest
from fpdf import FPDF
from hostile import page_of

from app.core.extraction.extract import extract
from app.core.extraction.result import Extract

FONT = b"/Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>/F2<</Type/Font/Subtype/Type1/BaseFont/Courier>>>>"
LEFT = [
    "The harbour of the town is old",
    "and its mole was built by monks",
    "who sold fish to the hills and",
    "bought wool for their habits.",
    "Their boats were flat and wide",
    "and lay on the sand at low tide.",
]
RIGHT = [
    "Later on a railway came and the",
    "fish went to the city overnight.",
    "The monks had left by that time",
    "and the mole fell into the sea.",
    "Today there is a new one that is",
    "made of concrete and of steel.",
]


def read(body: bytes) -> Extract:
    return extract(body, url="https://harbour.example/a.pdf", media_type="application/pdf", charset=None)


def shown(*texts: tuple[float, float, float, str]) -> bytes:
    """Return a page's content: sizes, places from the lower left corner, and texts."""
    return b"\n".join(
        b"BT /F1 %g Tf %g %g Td (%s) Tj ET"
        % (size, x, y, text.replace("(", "\\(").replace(")", "\\)").encode("cp1252"))
        for size, x, y, text in texts
    )


def test_two_columns_are_read_one_after_the_other_however_they_were_written() -> None:
    rows = [
        text
        for index, (left, right) in enumerate(zip(LEFT, RIGHT, strict=True))
        for text in ((11.0, 50.0, 650.0 - 14 * index, left), (11.0, 310.0, 650.0 - 14 * index, right))
    ]
    found = read(
        page_of(shown((20, 50, 700, "A town and its harbour"), *rows, (11, 50, 500, "This line is below both.")), FONT)
    )
    text = found.content.replace("\n\n", " ")
    assert text == f"# A town and its harbour {' '.join(LEFT)} {' '.join(RIGHT)} This line is below both."


def test_a_word_that_a_lines_end_parts_is_one_word_and_a_compound_keeps_its_hyphen() -> None:
    lines = [
        "A well-known captain came to the har-",
        "bour of the town and was soon well-",
        "known to its people as a ferry-",
        "Man of great skill.",
    ]
    found = read(page_of(shown(*((11, 50, 700 - 14 * index, line) for index, line in enumerate(lines))), FONT))
    assert found.content == (
        "A well-known captain came to the harbour of the town and was soon well-known to its people as a ferry-Man of great skill."
    )


class _Book(FPDF):
    def header(self) -> None:
        self.set_font("Helvetica", size=9)
        self.cell(
            0, 8, "Rules of the port" if self.page_no() % 2 else f"Edition of {2_000 + self.page_no()}", align="C"
        )
        self.ln(12)

    def footer(self) -> None:
        self.set_y(-15)
        self.cell(0, 8, f"- {self.page_no()} -", align="C")


def book() -> _Book:
    made = _Book()
    made.add_page()
    made.set_font("Helvetica", size=11)
    return made


def test_what_runs_along_every_page_is_no_text_and_a_paragraph_goes_on_over_it() -> None:
    made = book()
    for number in range(6):
        made.set_font("Helvetica", "B", 16)
        made.cell(0, 10, f"Part {number}", new_x="LMARGIN", new_y="NEXT")
        made.set_font("Helvetica", size=11)
        made.multi_cell(0, 6, " ".join(f"word{number}x{index}" for index in range(600)))
        made.ln(8)
    found = read(bytes(made.output()))
    assert "Rules of the port" not in found.content
    assert "Edition" not in found.content
    assert [line for line in found.content.split("\n") if line.strip("- ").isdecimal()] == []
    assert len(found.pages) > 5
    for number in range(6):
        assert " ".join(f"word{number}x{index}" for index in range(600)) in found.content
    assert [page for page, _ in found.pages] == list(range(1, len(found.pages) + 1))
    assert [start for _, start in found.pages] == sorted(start for _, start in found.pages)
    for _, start in found.pages[1:]:  # each begins with a word of its own
        assert found.content[start : start + 4] in ("word", "# Pa")
        assert found.content[start - 1].isspace()


NAMES = ["Pump A10", "Valve B20", "Motor C30", "Tank D40"]
SAME = "Read all of this sheet before you begin, and keep it where others find it."


def sheets(heads: Sequence[tuple[str, float, str]], feet: Sequence[tuple[str, float, str]] = ()) -> str:
    """Return the text of a document of four pages, each of which begins and ends with these lines; {} is the page's name."""
    made = FPDF()
    made.set_auto_page_break(False)
    for name in NAMES:
        made.add_page()
        lines = [("", 11.0, f"The {name} is number {index} of its kind, and is old.") for index in range(9)]
        for style, size, text in (*heads, *lines):
            made.set_font("Helvetica", style, size)
            made.cell(0, 7, text.replace("{}", name), new_x="LMARGIN", new_y="NEXT")
        made.set_y(-12 - 7 * len(feet))
        for style, size, text in feet:
            made.set_font("Helvetica", style, size)
            made.cell(0, 7, text.replace("{}", name), new_x="LMARGIN", new_y="NEXT")
    return read(bytes(made.output())).content


@pytest.mark.parametrize("above", [("", 16, "{}"), ("B", 11, "{}"), ("", 11, "Of the {}.")])
@pytest.mark.parametrize("line", [("B", 12, "Overview"), ("", 11, SAME)])
def test_what_each_page_has_below_a_line_of_its_own_is_text(
    above: tuple[str, float, str], line: tuple[str, float, str]
) -> None:
    assert sheets([above, line]).count(line[2]) == 4
    assert sheets([("", 9, "Works of the port"), above, line]).count(line[2]) == 4
    assert "Works of the port" not in sheets([("", 9, "Works of the port"), above, line])
    assert sheets([], [("", 11, SAME), ("", 11, "So ends the {}.")]).count(SAME) == 4


HEAD_LINE = ("", 9, "Works of the port")


@pytest.mark.parametrize(
    "heads",
    [
        [HEAD_LINE, ("", 9, "Edition of 2024")],
        [("", 9, "{}"), HEAD_LINE],  # a chapter's title, in small letters at the edge
        [("B", 20, "The Port"), HEAD_LINE],  # a large name that is the same on all pages
    ],
)
def test_heads_and_feet_of_two_lines_are_no_text(heads: list[tuple[str, float, str]]) -> None:
    content = sheets(heads, [*heads[::-1], ("", 9, "17")])
    assert not any(text in content for text in (HEAD_LINE[2], "Edition", "17"))
    assert content.count("is number 0 of its kind") == 4


def test_a_note_that_each_page_has_below_its_own_table_is_text_and_a_foot_is_none() -> None:
    made = FPDF()
    made.set_auto_page_break(False)
    for name in NAMES:
        made.add_page()
        made.set_font("Helvetica", size=11)
        made.multi_cell(0, 6, f"The {name} is old. " * 60)
        made.set_y(230)
        with made.table() as table:
            for row in (("Part", "Mass"), (f"{name} wheel", "2 kg"), (f"{name} shaft", "3 kg")):
                table.row(row)
        made.cell(0, 7, "All masses without packing.", new_x="LMARGIN", new_y="NEXT")
        made.set_y(-18)
        made.cell(0, 7, "Works of the harbour")
    content = read(bytes(made.output())).content
    assert [content.count(text) for text in ("without packing", "Works of the harbour", "| Part | Mass |")] == [4, 0, 4]


def test_a_head_below_a_chapters_title_that_one_page_alone_has_is_no_text() -> None:
    made = FPDF()
    made.set_font("Helvetica", size=11)
    for index, title in enumerate(["On boats"] * 3 + ["On ropes"] + ["On people"] * 3):
        made.add_page()
        for text in (title, "Works of the port", *(f"{'abcdefg'[index]}: {line}" for line in LEFT)):
            made.cell(0, 7, text, new_x="LMARGIN", new_y="NEXT")
    content = read(bytes(made.output())).content
    assert "Works of the port" not in content
    assert f"d: {LEFT[0]}" in content


def test_a_table_over_pages_is_one_table_whose_header_stands_there_once() -> None:
    made = book()
    with made.table() as table:
        for row in [("Boat", "Berth"), *((f"Boat {index}", str(index)) for index in range(150))]:
            line = table.row()
            for cell in row:
                line.cell(cell)
    found = read(bytes(made.output()))
    lines = found.content.split("\n")
    assert lines.count("| Boat | Berth |") == 1
    assert lines.count("| --- | --- |") == 1
    assert [page for page, _ in found.pages] == list(range(1, len(found.pages) + 1))
    assert len(found.pages) > 3
    assert [line for line in lines if line.startswith("| Boat ")][1:] == [f"| Boat {n} | {n} |" for n in range(150)]


@pytest.mark.parametrize(("size", "style"), [(20, ""), (14, ""), (10, "B")])
def test_what_stands_above_the_tables_of_a_document_of_tables_is_a_heading(size: int, style: str) -> None:
    made = FPDF()
    for name in ("Stations", "Keepers"):
        made.add_page()
        made.set_font("helvetica", style, size)
        made.cell(0, 12, name, new_x="LMARGIN", new_y="NEXT")
        made.set_font("helvetica", "", 10)
        with made.table() as table:
            for row in [("Number", "Name", "Place"), *((f"{n}", f"name {n}", f"place {n}") for n in range(90))]:
                table.row(row)
    text = read(bytes(made.output())).content
    assert [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")] == ["Stations", "Keepers"]
    assert text.count("| Number | Name | Place |") == 2


def test_text_above_a_large_table_in_smaller_letters_stays_text() -> None:
    made = FPDF()
    made.add_page()
    made.set_font("helvetica", "", 20)
    made.cell(0, 12, "Stations", new_x="LMARGIN", new_y="NEXT")
    made.set_font("helvetica", "", 11)
    made.multi_cell(
        0, 6, "These are the stations of this year. Each of them has a keeper.", new_x="LMARGIN", new_y="NEXT"
    )
    made.set_font("helvetica", "", 8)
    with made.table() as table:
        for row in [("Number", "Name", "Place"), *((f"{n}", f"name {n}", f"place {n}") for n in range(300))]:
            table.row(row)
    text = read(bytes(made.output())).content
    assert text.startswith("# Stations\n\nThese are the stations of this year. Each of them has a keeper.\n\n|")


def test_a_cell_over_columns_and_rows_stands_in_its_first() -> None:
    made = book()
    with made.table() as table:
        header = table.row()
        header.cell("Boats", colspan=2)
        header.cell("Price")
        for row in (("Dinghy", "3 m", "5"), ("Yacht", "12 m", "30")):
            line = table.row()
            for cell in row:
                line.cell(cell)
    found = read(bytes(made.output()))
    assert found.content.split("\n")[-4:] == [
        "| Boats |  | Price |",
        "| --- | --- | --- |",
        "| Dinghy | 3 m | 5 |",
        "| Yacht | 12 m | 30 |",
    ]


def test_columns_that_stand_exactly_below_each_other_are_a_table_without_a_line() -> None:
    rows = [("Boat", "Length", "Price"), ("Dinghy", "3 m", "5"), ("Yacht", "12 m", "30"), ("Barge", "30 m", "90")]
    texts = [(11.0, 50.0 + 150 * x, 700.0 - 15 * y, cell) for y, row in enumerate(rows) for x, cell in enumerate(row)]
    found = read(page_of(shown(*texts, (11, 50, 600, "That was the list of prices of the port.")), FONT))
    assert found.content.split("\n") == [
        "| Boat | Length | Price |",
        "| --- | --- | --- |",
        "| Dinghy | 3 m | 5 |",
        "| Yacht | 12 m | 30 |",
        "| Barge | 30 m | 90 |",
        "",
        "That was the list of prices of the port.",
    ]


@pytest.mark.parametrize(
    ("matrix", "start"), [(b"0 1 -1 0", (100, 100)), (b"0 -1 1 0", (100, 700)), (b"-1 0 0 -1", (500, 700))]
)
def test_a_page_that_lies_on_its_side_is_read_as_it_is_written(matrix: bytes, start: tuple[int, int]) -> None:
    a, b, c, d = map(int, matrix.split())
    parts = [
        b"BT /F1 11 Tf %s %d %d Tm (%s) Tj ET" % (matrix, start[0] + c * -14 * n, start[1] + d * -14 * n, line.encode())
        for n, line in enumerate(LEFT)
    ]
    assert (a, b) != (1, 0)
    assert read(page_of(b"\n".join(parts), FONT)).content == " ".join(LEFT)


def test_a_stamp_across_the_page_is_no_text() -> None:
    stamp = b"BT /F1 60 Tf 0.7 0.7 -0.7 0.7 100 300 Tm (DRAFT) Tj ET\n"
    lines = shown(*((11, 50, 700 - 14 * index, line) for index, line in enumerate(LEFT)))
    assert read(page_of(stamp + lines, FONT)).content == " ".join(LEFT)


def test_headings_are_as_deep_as_their_letters_are_small_and_bold_lines_are_the_deepest() -> None:
    made = book()
    for style, size, text in (
        ("B", 22, "Title of it all"),
        ("B", 15, "First part"),
        ("", 11, LEFT[0] + " and much more is told of it in the rest of this long line of the text."),
        ("B", 11, "Of monks"),
        ("", 11, LEFT[1] + " and much more is told of it in the rest of this long line of the text."),
        ("B", 15, "Second part"),
        ("", 11, LEFT[2] + " and much more is told of it in the rest of this long line of the text."),
    ):
        made.set_font("Helvetica", style, size)
        made.multi_cell(0, size * 0.6, text, new_x="LMARGIN", new_y="NEXT")
        made.ln(4)
    headings = [line for line in read(bytes(made.output())).content.split("\n") if line.startswith("#")]
    assert headings == ["# Title of it all", "## First part", "### Of monks", "## Second part"]


def test_a_title_that_its_program_made_up_is_none() -> None:
    made = book()
    made.set_title("Microsoft Word - letter_final(2).docx")
    made.multi_cell(0, 6, LEFT[0])
    found = read(bytes(made.output()))
    assert found.title is None
    assert "Microsoft" not in found.content


def test_dots_that_lead_to_a_page_are_no_text() -> None:
    titles = ["On boats", "On ropes and their knots", "On people"]
    lines = [(11.0, 50.0, 700.0 - 14 * index, f"{title} {'. ' * 40}{index + 3}") for index, title in enumerate(titles)]
    lines = [*lines, (11.0, 50.0, 600.0, "Here the text of the rules begins.")]
    content = read(page_of(shown(*lines), FONT)).content
    assert ". ." not in content
    assert [title in content for title in titles] == [True] * 3


BODY = [(11.0, 70.0, 700.0 - 14 * index, line) for index, line in enumerate([*LEFT, *RIGHT])]
HEAD, FOOT = "Harbour Board, yearly report", "Page 1 of 1"
NOTE = "Written by the chronicle of the abbey."


@pytest.mark.parametrize(
    ("placed", "kept"),
    [
        ([(9, 200, 780, HEAD), (9, 280, 40, FOOT)], False),
        ([(9, 200, 780, HEAD), (9, 200, 769, "No. 17"), (9, 280, 40, "1")], False),
        ([(9, 200, 780, HEAD)], True),  # a letter's address, maybe
        ([(9, 200, 780, HEAD), (7, 280, 40, FOOT)], True),
        ([(11, 200, 780, HEAD), (11, 280, 40, FOOT)], True),
        ([(9, 70, 715, HEAD), (9, 280, 40, FOOT)], True),  # right above the text
        ([(9, 200, 780, HEAD), (18, 70, 745, "A town and its harbour"), (9, 280, 40, FOOT)], False),
    ],
)
def test_the_head_of_an_only_page_is_no_text_where_its_number_shows_that_it_is_one(
    placed: list[tuple[float, float, float, str]], kept: bool
) -> None:
    content = read(page_of(shown(*placed, *BODY, (9, 70, 60, NOTE)), FONT)).content
    assert (HEAD in content) == kept
    assert LEFT[0] in content
    assert NOTE in content
    assert FOOT not in content


def test_where_a_documents_pages_link_to_is_told() -> None:
    paper = FPDF()
    for number, lines in enumerate((LEFT, RIGHT), start=1):
        paper.add_page()
        paper.set_font("Helvetica", size=12)
        for line in lines:
            paper.cell(0, 10, line, new_x="LMARGIN", new_y="NEXT")
        paper.cell(0, 10, f"Words of page {number} that leads on", link=f"https://h.example/{number}#x")
        paper.cell(0, 10, "and to the tides", link="tides.html")
        paper.cell(0, 10, "and back", link=paper.add_link(page=1))
        paper.cell(0, 10, "and to the captain", link="mailto:captain@h.example")
    assert read(bytes(paper.output())).links == [
        *("https://h.example/1", "https://harbour.example/tides.html", "https://h.example/2"),
    ]
