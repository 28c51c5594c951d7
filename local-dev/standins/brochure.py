"""The demo's brochure: a PDF of two pages, written by hand, with headings, a table with lines, and numbers of pages."""

from typing import Final

TITLE: Final = "CloudCIX ML Services: the brochure"
_TEXT: Final = (
    (
        (20, TITLE),
        (11, "Submit the pages of a site, and search them a minute later by what they mean."),
        (
            11,
            "Nothing that you submit leaves the machines of the operator: pages are fetched, cut, embedded and kept here.",
        ),
        (15, "Who it is for"),
        (
            11,
            "Teams that answer questions from manuals, price lists and contracts, whichever format these are kept in.",
        ),
        (15, "Opening hours of the help desk"),
    ),
    (
        (15, "How to order a guided tour"),
        (11, "Guided tours of the data centre in Cork take place every second Thursday. Wear sturdy shoes, and bring"),
        (11, "a passport: visitors are let in by its number alone."),
    ),
)
_HOURS: Final = (("Day", "Opens", "Closes"), ("Monday to Friday", "09:00", "17:30"), ("Saturday", "10:00", "13:00"))
_LEFT: Final = 60
_COLUMN: Final = 150
_ROW: Final = 20


def brochure() -> bytes:
    """Return the file."""
    contents = [_page(number, lines) for number, lines in enumerate(_TEXT, start=1)]
    first = 4
    kids = " ".join(f"{first + 2 * index} 0 R" for index in range(len(contents)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(contents)}/Kids[{kids}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for index, content in enumerate(contents):
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
            f"/Contents {first + 2 * index + 1} 0 R>>".encode(),
            b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        ]
    return _file(objects)


def _page(number: int, lines: tuple[tuple[int, str], ...]) -> bytes:
    height, drawn = 780, []
    for size, text in lines:
        drawn.append(_at(_LEFT, height, size, text))
        height -= 16 if size == 11 else 34
    if number == 1:
        drawn += _table(height + 12)
    drawn.append(_at(285, 40, 9, str(number)))
    return "\n".join(drawn).encode("cp1252")


def _table(top: int) -> list[str]:
    right, bottom = _LEFT + 3 * _COLUMN, top - _ROW * len(_HOURS)
    lines = [f"{_LEFT} {top - _ROW * row} m {right} {top - _ROW * row} l S" for row in range(len(_HOURS) + 1)]
    lines += [f"{_LEFT + _COLUMN * x} {top} m {_LEFT + _COLUMN * x} {bottom} l S" for x in range(4)]
    cells = [
        _at(_LEFT + _COLUMN * x + 5, top - _ROW * y - 14, 11, text)
        for y, row in enumerate(_HOURS)
        for x, text in enumerate(row)
    ]
    return lines + cells


def _at(x: int, y: int, size: int, text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /F1 {size} Tf {x} {y} Td ({escaped}) Tj ET"


def _file(objects: list[bytes]) -> bytes:
    body, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    body += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(body + b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
