"""Code, whichever way a page shows it: with its lines numbered in a table or by marks, or as boxes of their own."""

import re
from itertools import islice
from typing import Final

from lxml import etree
from lxml.html import HtmlElement

from app.core.extraction.blocks import HEADINGS, INLINE

_LANGUAGE: Final = re.compile(
    r"(?:^|\s)(?:(?:language|lang|highlight)-|brush:\s*|sourceCode\s+)([A-Za-z0-9+#_.-]{1,20})(?=[\s;]|$)"
)
_NO_LANGUAGE: Final = frozenset({"default", "none", "text", "plain", "source", "notranslate", "plaintext"})
_STATED: Final = ("data-lang", "data-language")
_STATED_LANGUAGE: Final = re.compile(r"[A-Za-z0-9+#_.-]{1,20}")
_LINES: Final = frozenset({"div", "p", "li", "ol"})
_OF_TABLES: Final = frozenset({"table", "tbody", "thead", "tr", "td", "th", "pre", "colgroup", "col"})
_IN_CODE: Final = (_LINES - {"p"}) | _OF_TABLES
# the boxes that code is made of; what holds others (a heading, paragraphs) is a page in one block
_CODE_LINE: Final = re.compile(r"(?:^|\s)(?:code-?line|view-line|CodeMirror-line|line)(?:\s|$)")
_CODE_BLOCK: Final = re.compile(
    r"(?:^|[-_ ])(?:fragment|[^\W_]*code[^\W_]*|highlight[^\W_]*|source[^\W_]*|listing|snippet|view-lines|shiki|prism)(?:[-_ ]|$)",
    re.IGNORECASE,
)
# no word of it goes over `_`, which begins the next: a class of a million of these is gone through once
# who calls nothing but the lines by their name may mean a verse, or a row of a grid
_CODE_TABLES: Final = re.compile(
    r"(?:^|[-_ ])(?:hljs-ln|highlight\w*|js-file-line-container|rouge-table|codehilite\w*|syntaxhighlighter|lntable)(?:[-_ ]|$)"
)


_WRAPPERS_MAX: Final = 3
# so many elements may stand between a table of code and the block of code that it is all of


def code_of(table: HtmlElement) -> list[str] | None:
    """Return the lines of a table that is there to number them: a cell of numbers beside one of code, or a row a line."""
    blocks = [block for block in table.iter("pre") if block.text_content().strip()]
    rows = list(table.iter("tr"))
    if len(rows) == 1 and len(blocks) == 2 and re.fullmatch(r"[\d\s]+", blocks[0].text_content()):
        return [_code_text(blocks[1])]
    if (
        len(rows) == 1
        and len(blocks) == 1
        and len(table.text_content().strip()) == len(blocks[0].text_content().strip())
    ):
        return [_code_text(blocks[0])]
    named = _CODE_TABLES.search(table.get("class") or "") or table.find(".//td[@data-line-number]") is not None
    if named and rows and all(len(row) <= 2 for row in rows) and (len(rows) > 1 or table.find(".//code") is not None):
        return [row[-1].text_content().rstrip("\n") if len(row) else "" for row in rows]
    return None


def become_code(table: HtmlElement, lines: list[str]) -> None:
    """Put a block with these lines in a table's place."""
    names = " ".join(element.get("class") or "" for element in table.iter() if isinstance(element.tag, str))
    tail = table.tail
    table.clear()
    table.tail = tail
    table.tag = "pre"
    table.set("class", names[:500])
    table.text = "\n".join(lines)
    for around in islice(table.iterancestors(), _WRAPPERS_MAX):
        if around.tag in ("pre", "code"):
            around.tag = "div"


def _code_text(block: HtmlElement) -> str:
    """Return the text of a block of code, with the line breaks that are made of elements."""
    parts: list[str] = []
    starts_line, ends_line = True, False
    # whether what comes next stands at the start of a line; whether it would, were it not for a line break of its own

    def write(text: str) -> None:
        nonlocal starts_line, ends_line
        if text:
            parts.append(f"\n{text}" if ends_line and not text.startswith("\n") else text)
            starts_line, ends_line = text.endswith("\n"), False

    written: list[int] = []
    for event, element in etree.iterwalk(block, events=("start", "end")):
        is_line = element.tag in _LINES and element is not block
        if event == "start":
            if is_line:
                if ends_line:
                    write("\n")
                ends_line = not starts_line
                written.append(len(parts))
            if element.tag == "br":
                write("\n")
            elif not _is_between_lines(element.text, next(element.iterchildren(), None)):
                write(element.text or "")
        elif element is not block:
            if is_line and written.pop() == len(parts) and _is_one_of_lines(element):
                write("\n")  # an empty one
            elif is_line:
                ends_line = not starts_line
            if not (is_line and _is_between_lines(element.tail, element.getnext())):
                write(element.tail or "")
    return "".join(parts)


def _is_between_lines(text: str | None, following: HtmlElement | None) -> bool:
    return text is not None and text.isspace() and following is not None and following.tag in _LINES


def _is_one_of_lines(element: HtmlElement) -> bool:
    beside = element.getprevious() if element.getprevious() is not None else element.getnext()
    return element.tag == "li" or (
        beside is not None and beside.tag == element.tag and beside.get("class") == element.get("class")
    )


def _lift_bars(block: HtmlElement) -> None:
    """Move what stands beside the code in a block, as a bar with its language or its file's name, out of it."""
    codes = [child for child in block if child.tag == "code"]
    if len(codes) != 1 or block.getparent() is None:
        return
    for move, beside in (
        (block.addprevious, [*codes[0].itersiblings(preceding=True)][::-1]),
        (block.addnext, [*codes[0].itersiblings()][::-1]),
    ):
        for bar in beside:
            if bar.tag == "div" and not (bar.tail or "").strip():
                bar.tail = None
                move(bar)


def flatten_code(body: HtmlElement) -> None:
    """Make text of each block of code whose lines are boxes, or rows of a table: it is one text, kept or left out as a whole."""
    for block in list(body.iter("pre")):
        if next(block.iterancestors("pre"), None) is not None:
            continue
        _lift_bars(block)
        inner = {element.tag for element in block.iterdescendants() if element.tag not in INLINE}
        tables = list(block.iter("table"))
        if not inner or inner - _IN_CODE or (inner & _OF_TABLES and not tables):
            continue
        codes = [code_of(table) if table.find(".//table") is None else None for table in tables]
        if None in codes:
            continue
        for table, lines in zip(tables, codes, strict=True):
            tail = table.tail
            table.clear()
            table.tag, table.text, table.tail = "div", "\n".join(lines or ()), tail
        text = _code_text(block)
        code = block.find(".//code")
        names = [one.get("class") for one in (block, code) if one is not None and one.get("class")]
        stated = [one.get(name) for one in (block, code) if one is not None for name in _STATED if one.get(name)]
        tail = block.tail
        block.clear()
        block.tail, block.text = tail, text
        block.set("class", " ".join(names))
        if stated:
            block.set(_STATED[0], stated[0])


def join_lines(part: HtmlElement) -> None:
    """Make a block of code of one whose lines are boxes of their own."""
    for line in part.xpath(".//div[contains(@class, 'line')]"):
        block = line.getparent()
        if block is None or block.tag == "pre" or not _CODE_LINE.search(line.get("class")):
            continue
        lines = list(block)
        if (block.text or "").strip() or not _is_code(block) or not all(_is_line(one) for one in lines):
            continue
        text = "\n".join(one.text_content().rstrip("\n") for one in lines)
        tail, names = block.tail, block.get("class") or ""
        block.clear()
        block.tag, block.tail, block.text = "pre", tail, text
        block.set("class", names)


def _is_code(block: HtmlElement) -> bool:
    around = [block, *islice(block.iterancestors(), 2)]
    return any(_CODE_BLOCK.search(f"{one.get('class') or ''} {one.tag}") for one in around)


def _is_line(element: HtmlElement) -> bool:
    """Whether it is called a line, and is one: grids have lines too, of boxes."""
    if not _CODE_LINE.search(element.get("class") or ""):
        return False
    return all(inner.tag in INLINE for inner in element.iterdescendants())


def mend_code(block: HtmlElement) -> None:
    """Name a block's language, and let nothing in it be a heading."""
    _name_language(block)
    for element in block.iter():
        if isinstance(element.tag, str) and element.tag in HEADINGS:
            element.tag = "div"


def _name_language(block: HtmlElement) -> None:
    """Put a code block's language where the converter looks for it; documentation tools write it on an outer element."""
    code = block.find("code")
    around = [element for element in (code, block, block.getparent()) if element is not None]
    if around[-1].getparent() is not None:
        around.append(around[-1].getparent())
    for element in around:
        for name in _LANGUAGE.findall(element.get("class") or ""):
            if name.lower() not in _NO_LANGUAGE:
                block.set("class", f"language-{name.lower()}")
                if code is not None:
                    code.set("class", f"language-{name.lower()}")
                return
    for element in around:
        for name in filter(None, map(element.get, _STATED)):
            if _STATED_LANGUAGE.fullmatch(name) and name.lower() not in _NO_LANGUAGE:
                block.set("class", f"language-{name.lower()}")
                return
