"""What stands on a page of a PDF: words with their places, and the lines that are drawn. All of pdfium is in here.

Distances are points, from the upper left corner of the page as it is read: a page of text that lies on its side is
turned first.
"""

import ctypes
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pypdfium2.raw as pdfium

_WORD_MAX_CHARACTERS: Final = 2_000
_OBJECTS_MAX: Final = 20_000
_HREF_MAX_BYTES: Final = 8_192
_SEGMENTS_MAX: Final = 64
# a shape of more is a drawing
_LINES_MAX: Final = 1_500
# a page with more is one
_FORMS_DEPTH_MAX: Final = 4
_THIN: Final = 3.0
_SHORTEST: Final = 6.0
_STRAIGHT: Final = 0.6
_EDGE: Final = 2.0
_TURNED_MIN: Final = 0.087
# 5 degrees, as a sine
_FIXED_PITCH, _FORCE_BOLD = 1 << 0, 1 << 18
_BLANK: Final = frozenset({0, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0xA0, 0x2028, 0x2029, 0x3000, *range(0x2000, 0x200C)})
_HYPHENS: Final = frozenset({0x2, 0xFFFE})
# what pdfium puts where a word goes on in the next line
_LIGATURES: Final = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_BOLD_NAMES: Final = ("bold", "black", "heavy", "semibold", "demi", "cmbx", "sfbx", "ecbx", "-bd")
_MONO_NAMES: Final = ("mono", "courier", "consol", "menlo", "typewriter", "cmtt", "sftt", "ectt", "code", "fixed")


@dataclass(slots=True)
class Word:
    """A word.

    Attributes
    ----------
    y
        Of its base line.
    size
        Of its font, as it is shown.
    """

    text: str
    x0: float
    x1: float
    y: float
    size: float
    bold: bool
    mono: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line that is drawn: where it is, and from where to where it goes in the other direction."""

    at: float
    start: float
    end: float


@dataclass(slots=True)
class Sheet:
    """What stands on a page.

    Attributes
    ----------
    pictures
        How many there are.
    """

    number: int
    width: float
    height: float
    words: list[Word]
    across: list[Rule]
    down: list[Rule]
    pictures: int


class _Fonts:
    """What names and flags of fonts say, by what pdfium gives."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()
        self._known: dict[tuple[bytes, int], tuple[bool, bool]] = {}

    def of(self, text: Any, index: int) -> tuple[bool, bool]:
        """Return whether a character is bold, and whether all of its font's are equally wide."""
        pdfium.FPDFText_GetFontInfo(text, index, self._buffer, 128, ctypes.byref(self._flags))
        key = (self._buffer.value, self._flags.value)
        if key not in self._known:
            name = key[0].decode("utf-8", "replace").lower()
            bold = any(part in name for part in _BOLD_NAMES) or bool(key[1] & _FORCE_BOLD)
            mono = any(part in name for part in _MONO_NAMES) or bool(key[1] & _FIXED_PITCH)
            self._known[key] = (bold, mono)
        return self._known[key]


def sheet_of(page: Any, number: int) -> Sheet:
    """Return what stands on a page.

    Parameters
    ----------
    page
        pypdfium2's.
    number
        From 1.
    """
    text = page.get_textpage()
    try:
        found = list(_words(text.raw))
    finally:
        text.close()
    turn = Counter(quarter for _, quarter in found if quarter is not None).most_common(1)
    turned = _Turning(turn[0][0] if turn else 0, page.get_bbox())
    words = [turned.word(word) for word, quarter in found if quarter == turned.quarters]
    width, height = turned.size
    # printers' marks lie outside
    inside = [word for word in words if -_EDGE <= word.x0 <= width + _EDGE and -_EDGE <= word.y <= height + _EDGE]
    drawing = _Drawing(turned)
    drawing.look(page.raw, (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), 0)
    many = len(drawing.across) + len(drawing.down) > _LINES_MAX
    return Sheet(
        number,
        width,
        height,
        inside,
        [] if many else drawing.across,
        [] if many else drawing.down,
        drawing.pictures,
    )


def hrefs_of(page: Any, most: int) -> Iterator[str]:
    """Go through where a page leads out of its document, as it is written; so many links are looked at.

    Parameters
    ----------
    page
        pypdfium2's.
    """
    document, position, link = page.pdf.raw, ctypes.c_int(0), pdfium.FPDF_LINK()
    for _ in range(most):
        if not pdfium.FPDFLink_Enumerate(page.raw, ctypes.byref(position), ctypes.byref(link)):
            return
        action = pdfium.FPDFLink_GetAction(link)
        if not action or pdfium.FPDFAction_GetType(action) != pdfium.PDFACTION_URI:
            continue
        length = pdfium.FPDFAction_GetURIPath(document, action, None, 0)
        if 1 < length <= _HREF_MAX_BYTES:
            written = ctypes.create_string_buffer(length)
            pdfium.FPDFAction_GetURIPath(document, action, written, length)
            yield written.value.decode("utf-8", "replace")


def _words(text: Any) -> Iterator[tuple[Word, int | None]]:
    """Go through words as pdfium has them, and how many quarters of a turn each is written at; `None` for aslant."""
    count = pdfium.FPDFText_CountChars(text)
    letter = pdfium.FPDFText_GetUnicode
    fonts = _Fonts()
    letters: list[str] = []
    start = 0
    high = 0
    for index in range(count + 1):
        code = letter(text, index) if index < count else 0x20
        if code in _BLANK or len(letters) > _WORD_MAX_CHARACTERS:
            if letters:
                yield _word(text, "".join(letters), start, index - 1, fonts)
                letters = []
            continue
        if code in _HYPHENS:  # the word goes on in the next line
            if letters:
                yield _word(text, "".join(letters) + "\xad", start, index - 1, fonts)
                letters = []
            continue
        if not letters:
            start = index
        if 0xD800 <= code < 0xDC00:
            high = code
        elif 0xDC00 <= code < 0xE000:
            letters.append(chr(0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00)) if high else "\ufffd")
            high = 0
        else:
            letters.append(_LIGATURES.get(code) or (chr(code) if code >= 0x20 and code != 0xFFFF else ""))


_doubles = [ctypes.c_double() for _ in range(4)]
_LEFT, _RIGHT, _BOTTOM, _TOP = _doubles
_matrix = pdfium.FS_MATRIX()


def _word(text: Any, letters: str, first: int, last: int, fonts: _Fonts) -> tuple[Word, int | None]:
    pdfium.FPDFText_GetCharBox(text, first, _LEFT, _RIGHT, _BOTTOM, _TOP)
    x0, y0, y1 = _LEFT.value, _BOTTOM.value, _TOP.value
    x1 = _RIGHT.value
    if last > first:
        pdfium.FPDFText_GetCharBox(text, last, _LEFT, _RIGHT, _BOTTOM, _TOP)
        x0, x1 = min(x0, _LEFT.value), max(x1, _RIGHT.value)
        y0, y1 = min(y0, _BOTTOM.value), max(y1, _TOP.value)
    pdfium.FPDFText_GetCharOrigin(text, first, _LEFT, _RIGHT)
    base_x, base_y = _LEFT.value, _RIGHT.value
    size = pdfium.FPDFText_GetFontSize(text, first)
    if pdfium.FPDFText_GetMatrix(text, first, _matrix):
        scale = math.hypot(_matrix.c, _matrix.d) or 1.0
        sine, cosine = (
            _matrix.b / (math.hypot(_matrix.a, _matrix.b) or 1.0),
            _matrix.a / (math.hypot(_matrix.a, _matrix.b) or 1.0),
        )
    else:
        scale, sine, cosine = 1.0, 0.0, 1.0
    bold, mono = fonts.of(text, first)
    if abs(sine) <= _TURNED_MIN:
        quarter: int | None = 0 if cosine > 0 else 2
        y = base_y
    elif abs(cosine) <= _TURNED_MIN:
        quarter = 1 if sine > 0 else 3
        x0, x1, y = y0, y1, base_x  # along what the text runs
    else:
        quarter, y = None, base_y
    return Word(letters, x0, x1, y, size * scale, bold, mono), quarter


class _Turning:
    """Turns places so that text runs from left to right, and counts from the upper left corner."""

    def __init__(self, quarters: int, box: tuple[float, float, float, float]) -> None:
        self.quarters = quarters
        self._left, self._bottom, self._right, self._top = box
        width, height = self._right - self._left, self._top - self._bottom
        self.size = (width, height) if quarters % 2 == 0 else (height, width)

    def point(self, x: float, y: float) -> tuple[float, float]:
        if self.quarters == 0:
            return x - self._left, self._top - y
        if self.quarters == 1:
            return y - self._bottom, x - self._left
        if self.quarters == 2:
            return self._right - x, y - self._bottom
        return self._top - y, self._right - x

    def word(self, word: Word) -> Word:
        along = (
            ((word.x0, word.y), (word.x1, word.y)) if self.quarters % 2 == 0 else ((word.y, word.x0), (word.y, word.x1))
        )
        (a, y), (b, _) = (self.point(*place) for place in along)
        word.x0, word.x1, word.y = min(a, b), max(a, b), y
        return word


class _Drawing:
    """Finds lines and pictures."""

    def __init__(self, turning: _Turning) -> None:
        self.across: list[Rule] = []
        self.down: list[Rule] = []
        self.pictures = 0
        self._turning = turning
        self._seen = 0

    def look(self, parent: Any, matrix: tuple[float, ...], depth: int) -> None:
        """Look at what a page is made of, or a form in it."""
        if depth == 0:
            count, get = pdfium.FPDFPage_CountObjects, pdfium.FPDFPage_GetObject
        else:
            count, get = pdfium.FPDFFormObj_CountObjects, pdfium.FPDFFormObj_GetObject
        for index in range(count(parent)):
            self._seen += 1
            if self._seen > _OBJECTS_MAX or len(self.across) + len(self.down) > _LINES_MAX:
                return
            part = get(parent, index)
            kind = pdfium.FPDFPageObj_GetType(part)
            if kind == pdfium.FPDF_PAGEOBJ_PATH:
                self._path(part, matrix)
            elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
                self.pictures += 1
            elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _FORMS_DEPTH_MAX:
                self.look(part, _product(_matrix_of(part), matrix), depth + 1)

    def _path(self, path: Any, outer: tuple[float, ...]) -> None:
        segments = pdfium.FPDFPath_CountSegments(path)
        if not 2 <= segments <= _SEGMENTS_MAX:
            return
        matrix = _product(_matrix_of(path), outer)
        x, y = ctypes.c_float(), ctypes.c_float()
        shape: list[tuple[float, float]] = []
        for index in range(segments):
            segment = pdfium.FPDFPath_GetPathSegment(path, index)
            kind = pdfium.FPDFPathSegment_GetType(segment)
            if kind == pdfium.FPDF_SEGMENT_BEZIERTO:
                return
            if kind == pdfium.FPDF_SEGMENT_MOVETO:
                self._shape(shape)
                shape = []
            pdfium.FPDFPathSegment_GetPoint(segment, x, y)
            a, b, c, d, e, f = matrix
            shape.append(self._turning.point(a * x.value + c * y.value + e, b * x.value + d * y.value + f))
            if pdfium.FPDFPathSegment_GetClose(segment) and len(shape) > 2:
                shape.append(shape[0])
        self._shape(shape)

    def _shape(self, points: list[tuple[float, float]]) -> None:
        if len(points) < 2:
            return
        xs, ys = [x for x, _ in points], [y for _, y in points]
        x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
        if y1 - y0 <= _THIN and x1 - x0 >= _SHORTEST:
            self.across.append(Rule((y0 + y1) / 2, x0, x1))
        elif x1 - x0 <= _THIN and y1 - y0 >= _SHORTEST:
            self.down.append(Rule((x0 + x1) / 2, y0, y1))
        else:
            for (ax, ay), (bx, by) in pairwise(points):
                if abs(ay - by) <= _STRAIGHT and abs(ax - bx) >= _SHORTEST:
                    self.across.append(Rule((ay + by) / 2, min(ax, bx), max(ax, bx)))
                elif abs(ax - bx) <= _STRAIGHT and abs(ay - by) >= _SHORTEST:
                    self.down.append(Rule((ax + bx) / 2, min(ay, by), max(ay, by)))


def _matrix_of(part: Any) -> tuple[float, ...]:
    pdfium.FPDFPageObj_GetMatrix(part, _matrix)
    return (_matrix.a, _matrix.b, _matrix.c, _matrix.d, _matrix.e, _matrix.f)


def _product(inner: tuple[float, ...], outer: tuple[float, ...]) -> tuple[float, ...]:
    a, b, c, d, e, f = inner
    g, h, i, j, k, m = outer
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)
