"""RTF: paragraphs, headings by their outline level or style, code by its style, tables.

A reader of our own, since none tells headings. Lost: pictures, embedded objects, headers, footers, comments,
colours and fonts, what is hidden or deleted.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from app.core.errors import ExtractionError
from app.core.extraction.kinds import Source
from app.core.extraction.kinds.styles import CodeLines, is_code_style
from app.core.extraction.links import field_href
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

_TOKEN: Final = re.compile(
    rb"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-f]{2})|\\([^a-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.IGNORECASE
)
_SKIPPED: Final = frozenset(
    b"fonttbl colortbl pict object objdata header headerl headerr headerf footer footerl footerr footerf annotation "
    b"listtable listoverridetable revtbl rsidtbl generator themedata colorschememapping latentstyles datastore xmlnstbl "
    b"bkmkstart bkmkend filetbl mmathPr pntext listtext nonshppict atnid atnauthor pgdsctbl shppict "
    b"wgrffmtfilter userprops docvar template tc xe".split()
)
_CHARACTERS: Final = {
    b"tab": "\t", b"line": "\n", b"emdash": "—", b"endash": "–", b"bullet": "•", b"lquote": "‘", b"rquote": "’",
    b"ldblquote": "“", b"rdblquote": "”", b"emspace": " ", b"enspace": " ", b"qmspace": " ",
}  # fmt: skip
_ESCAPED: Final = {b"~": " ", b"_": "-", b"{": "{", b"}": "}", b"\\": "\\", b"-": "", b"\n": "\n", b"\r": "\n"}
_CODE_PAGES: Final = {b"mac": "mac-roman", b"pc": "cp437", b"pca": "cp850"}
_CHARSETS: Final = {
    128: "cp932", 129: "cp949", 134: "gbk", 136: "big5", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255",
    178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_HEADING: Final = re.compile(r"heading (\d)", re.IGNORECASE)
_DEPTH_MAX: Final = 1_000
# of groups; deeper ones are passed over, as long as there is no text in them
_INFO: Final = (b"title", b"author")


@dataclass
class _Group:
    """What holds until a group ends; `font` is the document's own unless one was chosen."""

    skipped: bool = False
    optional: bool = False
    skip_after_unicode: int = 1
    font: int | None = None
    hidden: bool = False
    deleted: bool = False
    info: bytes = b""
    destination: bytes = b""


@dataclass
class _Paragraph:
    """What is known of the paragraph that is being read."""

    text: list[str] = field(default_factory=list)
    level: int | None = None
    style: int = 0
    in_table: bool = False
    listed: bool = False
    depth: int = 0
    numbered: bool = False


def read(body: bytes, source: Source) -> Extract:
    """Return a document's text."""
    reading = _Reading()
    reading.read(body)
    author = "".join(reading.info[b"author"]).strip()[:500]
    title = "".join(reading.info[b"title"]).strip()
    return reading.writer.finished(source, title=title or None, author=author or None, hrefs=reading.hrefs)


class _Reading:
    """One document, read from its beginning to its end."""

    def __init__(self) -> None:
        self.writer = Writer()
        self.info: dict[bytes, list[str]] = {name: [] for name in _INFO}
        self.hrefs: list[str] = []
        self._groups = [_Group()]
        self._field: list[str] = []
        self._too_deep = 0
        self._code_page = "cp1252"
        self._fonts: dict[int, str] = {}
        self._default_font = 0
        self._listed_font = 0
        self._bytes = bytearray()
        self._to_skip = 0
        self._paragraph = _Paragraph()
        self._cells: list[str] = []
        self._rows: list[list[str]] = []
        self._levels: dict[int, int] = {}
        self._codes: dict[int, str] = {}
        self._code = CodeLines(self.writer)
        self._style_name: list[str] = []
        self._high = 0

    def read(self, body: bytes) -> None:
        """Read all of it."""
        for token in _TOKEN.finditer(body):
            word, number, code, symbol, brace, text = token.groups()
            if brace:
                self._flush()
                self._brace(brace)
            elif self._too_deep:
                if (text and text.strip()) or code or word == b"u":
                    raise ExtractionError(f"the document's text is nested more than {_DEPTH_MAX} deep")
            elif code:
                self._character(int(code, 16))
            elif word:
                self._word(word.lower() if len(word) > 1 else word, int(number) if number else None)
            elif symbol:
                self._flush()
                if symbol == b"*":
                    self._groups[-1].optional = True
                else:
                    self._write(_ESCAPED.get(symbol, ""))
            elif text:
                for byte in text:
                    self._character(byte)
        self._flush()
        self._end_paragraph()
        self._end_table()
        self._code.end()

    def _brace(self, brace: bytes) -> None:
        self._to_skip = 0  # what stands for a letter that was told by number ends with its group
        if brace == b"{":
            if self._too_deep or len(self._groups) >= _DEPTH_MAX:
                self._too_deep += 1
            else:
                self._groups.append(replace(self._groups[-1], optional=False))
            return
        if self._too_deep:
            self._too_deep -= 1
        elif len(self._groups) > 1:
            ended = self._groups.pop()
            if ended.destination == b"style" and self._groups[-1].destination != b"style":
                self._name_style()
            elif ended.destination == b"field" and self._groups[-1].destination != b"field":
                self.hrefs.append(field_href("".join(self._field)))
                self._field = []

    def _character(self, byte: int) -> None:
        if self._to_skip:
            self._to_skip -= 1
        elif not self._groups[-1].skipped:
            self._bytes.append(byte)

    def _flush(self) -> None:
        if self._bytes:
            font = self._groups[-1].font
            codec = self._fonts.get(self._default_font if font is None else font, "") or self._code_page
            text, self._bytes = bytes(self._bytes).decode(codec, "replace"), bytearray()
            self._write(text)

    def _write(self, text: str) -> None:
        group = self._groups[-1]
        if group.skipped or not text:
            return
        if group.info:
            self.info[group.info].append(text)
        elif group.destination == b"style":
            self._style_name.append(text)
        elif group.hidden or group.deleted:
            pass
        elif group.destination == b"field":
            self._field.append(text)
        elif not group.destination:
            self._paragraph.text.append(text)

    def _word(self, word: bytes, number: int | None) -> None:
        group = self._groups[-1]
        if word == b"u" and number is not None:
            self._unicode(number)
            return
        self._flush()
        if word == b"bin":  # raw bytes: whatever follows is read as text of a group that is skipped
            group.skipped = True
        elif word in _SKIPPED:
            if word == b"fonttbl":
                group.destination = b"fonts"
            else:
                group.skipped = True
        elif word == b"fldinst":
            group.destination, group.optional = b"field", False
        elif group.destination == b"field":
            pass  # formatting words: of a field its instruction alone is read, for a link
        elif word == b"stylesheet":
            group.destination = b"styles"
        elif word == b"info":
            group.destination = b"info"
        elif group.destination == b"info" and word in _INFO:
            group.info = word
        elif group.destination in (b"styles", b"style"):
            self._style(group, word, number)
        elif group.destination == b"fonts":
            self._font_table(word, number)
        elif group.optional:
            group.skipped = True
        elif word in _CHARACTERS:
            self._write(_CHARACTERS[word])
        else:
            self._control(word, number)

    def _unicode(self, number: int) -> None:
        code = number % 65_536
        if 0xD800 <= code < 0xDC00:
            self._high = code
            self._to_skip = self._groups[-1].skip_after_unicode
            return
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((self._high - 0xD800) << 10) + (code - 0xDC00) if self._high else 0xFFFD
        self._high = 0
        self._flush()
        self._write(chr(code))
        self._to_skip = self._groups[-1].skip_after_unicode

    def _control(self, word: bytes, number: int | None) -> None:
        paragraph = self._paragraph
        if word in (b"par", b"sect", b"page"):
            self._end_paragraph()
        elif word in (b"cell", b"nestcell"):
            self._cells.append("".join(paragraph.text).strip())
            self._paragraph = _Paragraph(in_table=True)
        elif word in (b"row", b"nestrow"):
            self._rows.append(self._cells)
            self._cells = []
        elif word == b"pard":
            self._paragraph = _Paragraph(text=paragraph.text)
        elif word == b"intbl":
            paragraph.in_table = True
        elif word == b"s" and number is not None:
            paragraph.style = number
        elif word == b"outlinelevel" and number is not None:
            paragraph.level = number + 1
        elif word in (b"ls", b"pn"):
            paragraph.listed = number != 0
        elif word == b"ilvl":
            paragraph.depth = min(number or 0, 8)
        elif word == b"uc" and number is not None:
            self._groups[-1].skip_after_unicode = min(max(number, 0), 16)
        elif word == b"f" and number is not None:
            self._groups[-1].font = number
        elif word == b"deff" and number is not None:
            self._default_font = number
        elif word == b"ansicpg" and number:
            self._code_page = _codec(f"cp{number}") or self._code_page
        elif word in _CODE_PAGES:
            self._code_page = _CODE_PAGES[word]
        elif word == b"v":
            self._groups[-1].hidden = number != 0
        elif word == b"deleted":
            self._groups[-1].deleted = number != 0
        elif word == b"plain":
            self._groups[-1].font = None
            self._groups[-1].hidden = self._groups[-1].deleted = False

    def _font_table(self, word: bytes, number: int | None) -> None:
        if word == b"f" and number is not None:
            self._listed_font = number
        elif word == b"fcharset" and number in _CHARSETS:
            self._fonts[self._listed_font] = _CHARSETS[number]

    def _style(self, group: _Group, word: bytes, number: int | None) -> None:
        if word == b"s" and number is not None:
            group.destination = b"style"
            self._style_number = number
            self._style_name = []
        elif word == b"outlinelevel" and number is not None and group.destination == b"style" and number < 9:
            self._levels[self._style_number] = number + 1
        elif word in (b"cs", b"ds", b"ts"):
            group.skipped = True

    def _name_style(self) -> None:
        name = "".join(self._style_name).strip().rstrip(";").strip().lower()
        if found := _HEADING.fullmatch(name):
            self._levels[self._style_number] = int(found[1])
        elif name == "title":
            self._levels[self._style_number] = 1
        elif is_code_style(name):
            self._codes[self._style_number] = name

    def _end_paragraph(self) -> None:
        paragraph = self._paragraph
        text = "".join(paragraph.text)
        if paragraph.in_table:
            paragraph.text.append(" ")  # more follows in the same cell
            return
        self._end_table()
        self._paragraph = replace(paragraph, text=[])
        level = paragraph.level or self._levels.get(paragraph.style)
        if not level and paragraph.style in self._codes:
            self._code.add(text, self._codes[paragraph.style])
            return
        self._code.end()
        if level and level <= 9 and text.strip():
            self.writer.heading(level, text)
        elif paragraph.listed:
            self.writer.item(text.lstrip("•·-\t "), paragraph.depth)
        else:
            for line in _lines(text):
                self.writer.paragraph(line)

    def _end_table(self) -> None:
        if self._rows:
            self._code.end()
            rows, self._rows = self._rows, []
            self.writer.table(rows)


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())


def _codec(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        return ""
    return name
