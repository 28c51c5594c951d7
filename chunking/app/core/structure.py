"""The parts of a text that matter for where to cut it: headings, paragraphs, code blocks, tables.

One pass over the lines. It reads as much of CommonMark as decides where a section begins and what hangs together;
offsets are code points of the text as it came.
"""

import re
from array import array
from dataclasses import dataclass, field
from typing import Final

from app.core.cancellation import Cancellation

TITLE_MAX_CHARACTERS: Final = 200
# a title is repeated with every chunk below it, so a heading of a megabyte must not be
LINES_BETWEEN_CHECKS: Final = 1_000

_LINE: Final = re.compile(r"[^\n]+")
_PARAGRAPH_GAP: Final = re.compile(r"\n[^\S\n]*+\n\s*+")
_ATX: Final = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE: Final = re.compile(
    r"(?P<within>(?:[ \t]*+(?:>|(?:[-*+]|\d{1,9}[.)])(?=[ \t])))*+)(?P<indent>[ \t]*+)(?P<mark>`{3,}+|~{3,}+)"
)
# it may begin on the line of the list item, or in the quotation, that it stands in
_QUOTE_MARKS: Final = re.compile(r"(?:[ \t]*+>)*+")
_NO_TITLE: Final = re.compile(r"\s{0,3}(?:>|(?:[-*+|]|\d{1,9}[.)])(?:\s|$))|    |\t")
# begins a list, a quotation, a table or code: what a line below underlines is no heading's text
_INTERRUPTING: Final = re.compile(r" {0,3}(?:>|(?:[-*+]|1[.)])[ \t]+\S)")
# ends a paragraph that is directly above
_LIST_ITEM: Final = re.compile(r"[ \t>]*+(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_BYTE_ORDER_MARK: Final = "\ufeff"
_FRONT_MATTER: Final = re.compile(
    r"\ufeff?(?P<mark>---|\+\+\+)[ \t]*\n(?P<lines>(?:(?!---|\.\.\.|\+\+\+)[^\n]{0,2000}\n){1,200}?)(?:(?P=mark)|\.\.\.)[ \t]*(?:\n|\Z)"
)
_SETTING: Final = re.compile(
    r"(?:[^\W\d][\w. /()-]{0,60}+|[$@][\w-]{1,60}+|<<|\"[^\"\n]{1,60}+\"|'[^'\n]{1,60}+')[ \t]*+(?:=|:(?!//))"
)
_SETTING_OR_ITEM: Final = re.compile(rf"{_SETTING.pattern}|-(?:[ \t]|$)|[\]}}]")
_RAW_HTML: Final = re.compile(
    r" {0,3}<(?:(?P<comment>!--)|(?P<tag>pre|script|style|textarea)(?=[\s>]|$))", re.IGNORECASE
)
_RULE: Final = re.compile(r" {0,3}(?:(?:-[ \t]*+){3,}+|(?:\*[ \t]*+){3,}+|(?:_[ \t]*+){3,}+)")
_CODE_INDENT: Final = 4
# from so many blanks on, a line is code and no fence, unless a list item is what it is indented for


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading's place, and where it stands in the tree.

    Attributes
    ----------
    start, body
        Its first character, and the first one after its line.
    stack
        `start` of the first of the headings that stand directly above one another with this one as the last.
    parent
        Index of the heading above it in the tree; -1 for none.
    """

    start: int
    body: int
    level: int
    title: str
    stack: int
    parent: int


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that hang together: code, a table, a comment, the settings above a text.

    Attributes
    ----------
    lead
        Where the heading directly above begins, or `start`.
    header_end
        Where a table's header ends, with the line below it; 0 for what is no table.
    """

    start: int
    end: int
    lead: int
    header_end: int = 0


@dataclass(slots=True)
class Structure:
    """What was found, each in the order of the text."""

    headings: list[Heading] = field(default_factory=list)
    paragraphs: "array[int]" = field(default_factory=lambda: array("q"))
    blocks: list[Block] = field(default_factory=list)

    def path(self, index: int) -> list[str]:
        """Return the titles from the outermost heading to this one; [] for -1. Empty titles are left out."""
        titles: list[str] = []
        while index >= 0:
            titles.append(self.headings[index].title)
            index = self.headings[index].parent
        return [title for title in reversed(titles) if title]


def with_plain_line_ends(text: str) -> str:
    """Return the text with only `\\n` as line end, every character at the offset it had."""
    return text.replace("\r\n", " \n").replace("\r", "\n")


def scan_text(text: str, cancellation: Cancellation) -> Structure:
    """Find the paragraphs of a text that is not Markdown."""
    gaps = cancellation.through(_PARAGRAPH_GAP.finditer(text), every=LINES_BETWEEN_CHECKS)
    return Structure(paragraphs=array("q", (gap.end() for gap in gaps)))


def scan_markdown(text: str, cancellation: Cancellation) -> Structure:
    """Find headings (ATX and setext), paragraphs, fenced code and tables; headings inside code are none."""
    scanner = _Scanner(text)
    begin = scanner.take_front_matter()
    for match in cancellation.through(_LINE.finditer(text, begin), every=LINES_BETWEEN_CHECKS):
        scanner.take(match.start(), match.end())
    scanner.finish()
    return scanner.structure


class _Scanner:
    def __init__(self, text: str) -> None:
        self.structure = Structure()
        self._text = text
        self._fence = ""
        self._in_table = False
        self._quotes = 0  # around the fence or table that is open
        self._header_end = 0
        self._block_start = self._lead = -1
        self._paragraph = self._paragraph_stack = self._stack = -1
        self._is_title = False  # what the paragraph is if it is underlined
        self._previous = (-1, -1)
        self._open: list[tuple[int, int]] = []
        self._in_list = self._fence_in_list = False
        self._raw_end = -1
        self._unclosed: set[str] = set()

    def take_front_matter(self) -> int:
        """Take in the settings that a text may begin with, between two rules, and return where they end."""
        matter = _FRONT_MATTER.match(self._text)
        if matter is None or not _are_settings(matter["mark"], matter["lines"]):
            return 0
        self.structure.blocks.append(Block(0, matter.end(), 0))
        self._previous = (0, matter.end() - 1)
        self._blank_line()
        return matter.end()

    def take(self, start: int, end: int) -> None:
        """Take in the next line that is not empty."""
        line = self._text[start:end]
        if not start:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        bare = line.strip()
        if start >= self._raw_end:  # before that it is HTML as it stands, and nothing in it is Markdown
            self._take_markdown(line, bare, start, end)
        if bare:  # a line of blanks is an empty one: each is where a text has Windows line ends
            self._previous = (start, end)

    def _take_markdown(self, line: str, bare: str, start: int, end: int) -> None:
        if self._fence and not (self._leaves_quote(line, start) or self._leaves_list(line, bare, start)):
            self._within_fence(line, bare, end)
            return
        if not bare or start > self._previous[1] + 1:
            self._blank_line()
        if bare:
            self._outside_fence(line, bare, start, end)

    def _leaves_quote(self, line: str, start: int) -> bool:
        """Close a fence that a quotation holds where the quotation ends: nothing goes on with it that is not quoted."""
        if not self._quotes or (start == self._previous[1] + 1 and _quotes(line)[0] >= self._quotes):
            return False
        self._close_block(self._previous[1])
        return True

    def _leaves_list(self, line: str, bare: str, start: int) -> bool:
        """Close a fence that a list item holds where the list ends: at a line without indentation, after a blank one."""
        if self._quotes or not self._fence_in_list or not bare or line[0] in " \t" or start <= self._previous[1] + 1:
            return False
        if bare.startswith(self._fence):
            return False
        self._close_block(self._previous[1])
        return True

    def finish(self) -> None:
        """Close what is open at the end of the text; an unclosed fence goes to it."""
        if self._fence:
            self._close_block(len(self._text))
        self._blank_line()

    def _blank_line(self) -> None:
        if self._in_table:
            self._close_block(self._previous[1])
        self._paragraph = -1

    def _within_fence(self, line: str, bare: str, end: int) -> None:
        if self._quotes:
            quotes, bare = _quotes(line)
            if quotes > self._quotes:  # the code is a quotation
                return
        if bare.startswith(self._fence) and not bare.strip(self._fence[0]):
            self._close_block(end)

    def _outside_fence(self, line: str, bare: str, start: int, end: int) -> None:
        first = bare[0]
        quotes, inner = _quotes(line) if first == ">" else (0, bare)
        if self._in_table:
            if self._is_row(line, quotes, inner):
                return
            self._close_block(self._previous[1])
        self._note_list(line, start)
        if self._opens_fence(line, start):
            return
        if first == "<" and self._opens_raw_html(line, start):
            return
        if first == "#" and (atx := _ATX.match(line)):
            self._add_heading(start, end, len(atx[1]), _atx_title(bare))
            self._in_list = self._in_list and line[0] == " "
        elif first in "=-" and self._underlines(line, bare):
            title = self._text[self._paragraph : min(start, self._paragraph + 2 * TITLE_MAX_CHARACTERS)]
            title = title.removeprefix(_BYTE_ORDER_MARK)
            self._add_heading(self._paragraph, end, 1 if first == "=" else 2, " ".join(title.split()))
        elif first in "-*_" and _RULE.fullmatch(line):
            self._take_rule(line, start)
        elif "|" in inner and self._delimits_table(quotes, inner):
            self._open_block(self._previous[0])
            self._in_table, self._header_end, self._quotes = True, end, quotes
        elif self._paragraph < 0:
            self._begin(start)
            self._paragraph, self._paragraph_stack, self._stack = start, self._stack, -1
            self._is_title = not _NO_TITLE.match(line)
        elif self._is_title:
            self._is_title = not _INTERRUPTING.match(line)

    def _take_rule(self, line: str, start: int) -> None:
        """Take in a rule: it is no paragraph's first line. A heading directly above goes with what follows it."""
        self._begin(start)
        self._paragraph = -1
        if line[0] not in " \t":
            self._in_list = False

    def _begin(self, start: int) -> None:
        """Note that a paragraph or block begins. Directly below a heading none does: the heading goes with it."""
        paragraphs = self.structure.paragraphs
        if self._stack < 0 and start and (not paragraphs or paragraphs[-1] < start):
            paragraphs.append(start)

    def _stack_above(self, start: int) -> int:
        """Return where the headings directly above a line begin, or -1.

        A table's first row and a setext heading's text were taken for a paragraph until the line below them.
        """
        return self._paragraph_stack if self._paragraph == start else self._stack

    def _fence_of(self, line: str) -> "re.Match[str] | None":
        """Return the fence that a line opens."""
        fence = _FENCE.match(line) if "```" in line or "~~~" in line else None
        if fence is None or (fence["mark"][0] == "`" and "`" in line[fence.end() :]):
            return None
        begins_item = bool(fence["within"].strip(" \t>"))
        if self._in_list and not begins_item:
            return fence
        # one blank belongs to the mark of the list item, or of the quotation
        most = _CODE_INDENT + bool(fence["within"])
        return fence if len(fence["indent"].expandtabs(_CODE_INDENT)) < most else None

    def _opens_fence(self, line: str, start: int) -> bool:
        fence = self._fence_of(line)
        if fence is None:
            return False
        self._open_block(start)
        self._fence, self._quotes = fence["mark"], fence["within"].count(">")
        self._fence_in_list = self._in_list and fence.start("mark") > 0
        return True

    def _note_list(self, line: str, start: int) -> None:
        """Note whether a list item is open: until a line that is not indented, after a blank one."""
        if _LIST_ITEM.match(line):
            self._in_list = True
        elif self._in_list and line[0] not in " \t>" and start > self._previous[1] + 1:
            self._in_list = False

    def _opens_raw_html(self, line: str, start: int) -> bool:
        """Note a comment, or code in HTML, up to where it is closed; one that never is hides nothing."""
        opened = _RAW_HTML.match(line)
        if opened is None:
            return False
        closed = "-->" if opened["comment"] else f"</{opened['tag'].lower()}>"
        if closed in self._unclosed:
            return False
        place = _find_folded(self._text, closed, start + opened.end())
        if place < 0:
            self._unclosed.add(closed)  # nor is a later one
            return False
        line_end = self._text.find("\n", place)
        self._raw_end = line_end if line_end >= 0 else len(self._text)
        self._open_block(start)
        self._close_block(self._raw_end)
        return True

    def _underlines(self, line: str, bare: str) -> bool:
        return (
            self._paragraph >= 0
            and self._is_title
            and not bare.strip(bare[0])
            and not line.startswith(("    ", "\t"))
            and not self._leaves_item(line)
        )

    def _leaves_item(self, line: str) -> bool:
        """Whether a line is outside of the list item that the paragraph above is in."""
        return self._in_list and line[0] not in " \t" and self._text.startswith(("  ", "\t"), self._paragraph)

    def _delimits_table(self, quotes: int, bare: str) -> bool:
        if self._paragraph < 0 or "-" not in bare or bare.strip("|:- \t"):
            return False
        quotes_above, above = _quotes(self._text[self._previous[0] : self._previous[1]])
        return "|" in above and quotes_above == quotes

    def _is_row(self, line: str, quotes: int, bare: str) -> bool:
        """Whether a line goes on with the table: one that begins something else does not, whatever it holds."""
        return "|" in bare and quotes == self._quotes and not _ATX.match(line) and not self._fence_of(line)

    def _open_block(self, start: int) -> None:
        stack = self._stack_above(start)
        if self._paragraph != start:
            self._begin(start)
        self._block_start, self._lead = start, stack if stack >= 0 else start
        self._paragraph = self._stack = -1

    def _close_block(self, end: int) -> None:
        header_end = self._header_end if self._in_table else 0
        self.structure.blocks.append(Block(self._block_start, end, self._lead, header_end))
        self._fence, self._in_table, self._quotes, self._paragraph = "", False, 0, -1

    def _add_heading(self, start: int, end: int, level: int, title: str) -> None:
        headings = self.structure.headings
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        parent = self._open[-1][1] if self._open else -1
        above = self._stack_above(start)
        stack = above if above >= 0 else start
        self._open.append((level, len(headings)))
        headings.append(Heading(start, end, level, title[:TITLE_MAX_CHARACTERS].rstrip(), stack, parent))
        self._stack, self._paragraph = stack, -1


def _are_settings(mark: str, text: str) -> bool:
    """Tell front matter from Markdown that stands between two rules.

    It begins directly below the mark, and has nothing in the first column but settings, their items, and comments. These
    look like headings: one that stands by itself is, if there is a blank line above the second mark too, as a rule has.
    """
    lines = [line.rstrip() for line in text.split("\n")[:-1]]
    if not any(_SETTING.match(line) for line in lines):
        return False
    if mark != "---":  # no rule
        return True
    if not lines[0] or not all(line[:1] in ("", " ", "\t", "#") or _SETTING_OR_ITEM.match(line) for line in lines):
        return False
    above = ["", *lines]
    alone = (line for before, line, after in zip(above, lines, lines[1:], strict=False) if not before and not after)
    return bool(lines[-1]) or not any(_ATX.match(line) for line in alone)


def _quotes(line: str) -> tuple[int, str]:
    """Return how many quotations a line says that it is in, and what stands there."""
    marks = _QUOTE_MARKS.match(line)
    end = marks.end() if marks else 0
    return line.count(">", 0, end), line[end:].strip()


def _find_folded(text: str, tag: str, start: int) -> int:
    """Return where a closing mark stands, in either case, or -1."""
    found = re.compile(re.escape(tag), re.IGNORECASE).search(text, start)
    return found.start() if found else -1


def _atx_title(bare: str) -> str:
    title = bare.lstrip("#").strip()
    unclosed = title.rstrip("#")
    return unclosed.rstrip() if unclosed == "" or unclosed[-1] in " \t" else title
