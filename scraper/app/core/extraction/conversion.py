"""How a part of a page becomes Markdown: its markup made regular first, then handed to the converter."""

import re
from typing import Final

from html_to_markdown import ConversionOptions, convert
from lxml import etree
from lxml.html import HtmlElement, tostring

from app.core.errors import ExtractionError
from app.core.extraction.blocks import HEADINGS

_OPTIONS: Final = ConversionOptions(extract_metadata=False, compact_tables=True, skip_images=True, autolinks=False)
_DEPTH_MAX: Final = 1_000
# the converter leaves out what is deeper than 1,024, and does not say so
_LANGUAGE: Final = re.compile(
    r"(?:^|\s)(?:(?:language|lang|highlight)-|brush:\s*|sourceCode\s+)([A-Za-z0-9+#_.-]{1,20})(?=[\s;]|$)"
)
_NO_LANGUAGE: Final = frozenset({"default", "none", "text", "plain", "source", "notranslate", "plaintext"})
_ADMONITION: Final = re.compile(
    r"(?:^|[-_ ])(?:note|tip|hint|warning|caution|danger|important|info|attention|seealso|admonition\w*|callout\w*|alert)(?:[-_ ]|$)",
    re.IGNORECASE,
)
_NOTE_TITLE: Final = re.compile(r"(?:^|[-_ ])(?:\w*title|\w*heading|label)(?:[-_ ]|$)", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\s*\[?\(?\d{1,3}\)?\]?\s*")
_POWER: Final = re.compile(r"[-−+]?\d{1,4}|[n-z]")
_BLANK_LINES: Final = re.compile(r"\n{4,}")
_BACK: Final = re.compile(r"[\s↩↑^⤴︎\ufe0e]*")
_RENAMED: Final = {"form": "div", "fieldset": "div", "legend": "p", "label": "span", "center": "div", "aside": "div"}
# the converter leaves some of them out, or has no line of its own for them
_INDENTED: Final = frozenset({"ul", "ol", "dl", "pre", "table", "div"})
_CODE_LINE: Final = re.compile(r"(?:^|\s)(?:code-?)?(?:line|view-line|CodeMirror-line)(?:\s|$)")
_CODE: Final = ("pre", "code", "kbd", "samp", "tt")
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
_ESCAPED_TAG: Final = "\ue000<"
# the converter would escape a backslash that stands there by then
_TABLE_PARTS: Final = ("table", "tbody", "thead", "tfoot", "tr", "td", "th", "colgroup", "col")
_CODE_TABLES: Final = re.compile(
    r"(?:^|[-_ ])(?:hljs-ln|highlight\w*|js-file-line-container|rouge-table|codehilite\w*|syntaxhighlighter|lntable)(?:[-_ ]|$)"
)


def to_markdown(part: HtmlElement) -> str:
    """Convert a part of a page; it is changed on the way.

    Raises
    ------
    ExtractionError
        If it is nested too deeply.
    """
    if _depth(part) > _DEPTH_MAX:
        raise ExtractionError(f"the page's elements are nested more than {_DEPTH_MAX} deep")
    _mend(part)
    html = tostring(part, encoding="unicode", with_tail=False)
    text = (convert(html, _OPTIONS).content or "").replace(_ESCAPED_TAG, "\\<")
    return _BLANK_LINES.sub("\n\n\n", text).strip()


def _mend(part: HtmlElement) -> None:
    for element in list(part.iter("li", "p", "dt", "dd", "figcaption")):  # of a picture, or of what was left out
        if element is not part and element.getparent() is not None and not element.text_content().strip():
            element.drop_tree()
    for element in list(part.iter(*_RENAMED)):
        element.tag = _RENAMED[element.tag]
    for quote in part.iter("blockquote"):
        if len(quote) and not {child.tag for child in _unwrapped(quote)} - _INDENTED and not (quote.text or "").strip():
            quote.tag = "div"  # indentation, which documentation tools write like this
    _mend_lists(part)
    _mend_tables(part)
    _join_lines(part)
    for block in part.iter("pre"):
        _mend_code(block)
    for summary in part.iter("summary"):
        if any(True for _ in summary.iter(*HEADINGS)):
            summary.tag = "div"
    for element in part.xpath(".//*[@class]"):
        if _ADMONITION.search(element.get("class") or ""):
            _mend_note(element)
    for term in part.iter("dt"):
        _mend_term(term)
    for script in list(part.iter("sup")):
        _mend_superscript(script)
    for figure in part.iter("figure"):
        _describe(figure)
    _escape_tags(part)
    if part.tag == "a":
        part.tag = "div"
    for link in list(part.iter("a")):
        if _BACK.fullmatch(link.text_content()):
            link.drop_tree()
        else:
            link.drop_tag()


def _unwrapped(quote: HtmlElement) -> list[HtmlElement]:
    children = list(quote)
    return list(children[0]) if len(children) == 1 and children[0].tag == "div" else children


def _mend_lists(part: HtmlElement) -> None:
    """Take lists apart that only arrange a page: a heading in an item would head nothing."""
    for listing in list(part.iter("ul", "ol")):
        items = [item for item in listing if item.tag == "li"]
        if any(True for item in items for _ in item.iter("h1", "h2", "h3", "h4")):
            for element in (listing, *items):
                element.tag = "div"


def _nearest(element: HtmlElement, tag: str) -> HtmlElement | None:
    return next(element.iterancestors(tag), None)


def _mend_tables(part: HtmlElement) -> None:
    for table in list(part.iter("table")):
        if table.getparent() is None and table is not part:
            continue
        code = _code_of(table)
        if code is not None:
            _become_code(table, code)
            continue
        _lift_headings(table)
        if _is_layout(table):
            _take_apart(table)
        else:
            _mend_cells(table)


def _take_apart(table: HtmlElement) -> None:
    for element in list(table.iter(*_TABLE_PARTS)):
        if element is table or _nearest(element, "table") is table:
            element.tag = "div"


def _lift_headings(table: HtmlElement) -> None:
    """Put a heading that fills a row of its own above the rows that it heads."""
    rows = [row for row in table.iter("tr") if _nearest(row, "table") is table]
    if len(rows) < 2 or table.getparent() is None:
        return
    for row in rows:
        cells = [cell for cell in row if cell.tag in ("td", "th") and cell.text_content().strip()]
        heading = cells[0].find(".//h1") if len(cells) == 1 else None
        for name in ("h2", "h3", "h4", "h5", "h6") if len(cells) == 1 and heading is None else ():
            heading = cells[0].find(f".//{name}")
            if heading is not None:
                break
        if heading is None or len(heading.text_content().strip()) < len(row.text_content().strip()):
            continue
        above = table.makeelement("table")
        body = etree.SubElement(above, "tbody")
        for earlier in [one for one in table.iter("tr") if _nearest(one, "table") is table]:
            if earlier is row:
                break
            body.append(earlier)
        if len(body):
            table.addprevious(above)
        heading.tail = None
        table.addprevious(heading)
        row.drop_tree()


def _code_of(table: HtmlElement) -> list[str] | None:
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


def _become_code(table: HtmlElement, lines: list[str]) -> None:
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


def _is_layout(table: HtmlElement) -> bool:
    """Whether a table only arranges a page: what its cells hold would be lost in a table of Markdown."""
    if table.get("role") in ("presentation", "none"):
        return True
    if table.find(".//table") is not None:
        return True
    if table.find(".//th") is not None and table.find(".//pre") is None:
        return False
    if any("\n" in block.text_content().strip("\n") for block in table.iter("pre")):
        return True
    rows = list(table.iter("tr"))
    if all(len(row) <= 1 for row in rows):
        return True
    if any(cell.find(f".//{name}") is not None for row in rows for cell in row for name in HEADINGS):
        return True
    return len(rows) == 1 and any(sum(1 for _ in cell.iter("p")) > 1 for cell in rows[0])


def _mend_cells(table: HtmlElement) -> None:
    for item in table.iter("li"):
        following = item.getnext()
        if following is not None and following.tag == "li":
            item.append(item.makeelement("span"))
            item[-1].text = ";"
    for block in list(table.iter("pre")):
        block.tag = "code"


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


def _join_lines(part: HtmlElement) -> None:
    """Make a block of code of one whose lines are boxes of their own."""
    for line in part.xpath(".//div[contains(@class, 'line')]"):
        block = line.getparent()
        if block is None or block.tag == "pre" or not _CODE_LINE.search(line.get("class")):
            continue
        lines = list(block)
        if any(not _CODE_LINE.search(one.get("class") or "") for one in lines) or (block.text or "").strip():
            continue
        text = "\n".join(one.text_content().rstrip("\n") for one in lines)
        tail, names = block.tail, block.get("class") or ""
        block.clear()
        block.tag, block.tail, block.text = "pre", tail, text
        block.set("class", names)


def _mend_code(block: HtmlElement) -> None:
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


def _mend_note(note: HtmlElement) -> None:
    """Let a note's title be a line in bold: as a heading it would head all that follows the note."""
    for element in list(note.iterchildren())[:2]:
        if element.tag in HEADINGS or (
            element.tag in ("p", "div", "span", "strong", "summary") and _NOTE_TITLE.search(element.get("class") or "")
        ):
            text = " ".join(element.text_content().split())
            if not text or len(text) > 120:
                return
            tail = element.tail
            element.clear()
            element.tag, element.tail = "p", tail
            etree.SubElement(element, "strong").text = text
            return


def _mend_term(term: HtmlElement) -> None:
    """Set a term apart from what it means."""
    if any(
        term.find(f".//{name}") is not None for name in ("b", "strong", "pre", "p", "div", "table", "ul", *HEADINGS)
    ):
        return
    if not term.text_content().strip():
        return
    strong = term.makeelement("strong")
    strong.text, term.text = term.text, None
    for child in list(term):
        strong.append(child)
    term.append(strong)


def _mend_superscript(script: HtmlElement) -> None:
    """Keep a note's number, or a power, from running into the word before it."""
    text = script.text_content().strip()
    before = _text_before(script)
    if script.find(".//a") is not None and _DIGITS.fullmatch(text):
        number = text.strip("[]() ")
        tail = script.tail
        script.clear()
        script.tail, script.text = tail, f"[{number}]"
    elif len(script) == 0 and _POWER.fullmatch(text) and before[-1:].isalnum():
        script.text = f"^{text}"


def _text_before(element: HtmlElement) -> str:
    previous = element.getprevious()
    if previous is not None:
        return previous.tail or str(previous.text_content())
    parent = element.getparent()
    return (parent.text or "") if parent is not None else ""


def _describe(figure: HtmlElement) -> None:
    """Let what stands for a picture be read where it has no caption."""
    if figure.find(".//figcaption") is not None:
        return
    for image in figure.iter("img"):
        text = " ".join((image.get("alt") or "").split())
        if len(text.split()) > 2:
            caption = etree.SubElement(figure, "figcaption")
            caption.text = text[:500]
            return


def _escape_tags(part: HtmlElement) -> None:
    """Let what reads like a tag in the text be read: outside code, Markdown would take it for one."""
    code = {inner for block in part.iter(*_CODE) for inner in block.iter()}
    for element in part.iter():
        if element.text and "<" in element.text and element not in code:
            element.text = _TAG.sub(_ESCAPED_TAG, element.text)
        if element.tail and "<" in element.tail and element is not part and element.getparent() not in code:
            element.tail = _TAG.sub(_ESCAPED_TAG, element.tail)


def _depth(part: HtmlElement) -> int:
    depth = deepest = 0
    for event, _ in etree.iterwalk(part, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
    return deepest
