"""Code, whichever way a page shows it: with its lines numbered in a table or by marks, or as boxes of their own."""

import re
from itertools import islice
from typing import Final

from lxml.html import HtmlElement

from app.core.extraction.blocks import HEADINGS, INLINE

_LANGUAGE: Final = re.compile(
    r"(?:^|\s)(?:(?:language|lang|highlight)-|brush:\s*|sourceCode\s+)([A-Za-z0-9+#_.-]{1,20})(?=[\s;]|$)"
)
_NO_LANGUAGE: Final = frozenset({"default", "none", "text", "plain", "source", "notranslate", "plaintext"})
_CODE_LINE: Final = re.compile(r"(?:^|\s)(?:code-?line|view-line|CodeMirror-line|line)(?:\s|$)")
_CODE_BLOCK: Final = re.compile(
    r"(?:^|[-_ ])(?:fragment|\w*code\w*|highlight\w*|source\w*|listing|snippet|view-lines|shiki|prism)(?:[-_ ]|$)",
    re.IGNORECASE,
)
# who calls nothing but the lines by their name may mean a verse, or a row of a grid
_CODE_TABLES: Final = re.compile(
    r"(?:^|[-_ ])(?:hljs-ln|highlight\w*|js-file-line-container|rouge-table|codehilite\w*|syntaxhighlighter|lntable)(?:[-_ ]|$)"
)


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
    around = table.getparent()
    if around is not None and around.tag == "pre":
        around.tag = "div"


def _code_text(block: HtmlElement) -> str:
    """Return the text of a block of code, with the line breaks that are made of elements."""
    parts: list[str] = []

    def walk(element: HtmlElement) -> None:
        parts.append(element.text or "")
        for child in element:
            if child.tag == "br":
                parts.append("\n")
            elif child.tag in ("div", "p", "li") and parts and parts[-1] and not "".join(parts[-3:]).endswith("\n"):
                parts.append("\n")
                walk(child)
            else:
                walk(child)
            parts.append(child.tail or "")

    walk(block)
    return "".join(parts)


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
