"""How a part of a page becomes Markdown: its markup made regular first, then handed to the converter."""

import re
from typing import Final

from html_to_markdown import ConversionOptions, convert
from lxml import etree
from lxml.html import HtmlElement, tostring

from app.core.errors import ExtractionError
from app.core.extraction.arrangement import mend_lists, mend_quotes, mend_tables
from app.core.extraction.blocks import HEADINGS
from app.core.extraction.code import mend_code

_OPTIONS: Final = ConversionOptions(extract_metadata=False, compact_tables=True, skip_images=True, autolinks=False)
_DEPTH_MAX: Final = 1_000
# the converter leaves out what is deeper than 1,024, and does not say so
_ADMONITION: Final = re.compile(
    r"(?:^|[-_ ])(?:note|tip|hint|warning|caution|danger|important|info|attention|seealso|admonition\w*|callout\w*|alert)(?:[-_ ]|$)",
    re.IGNORECASE,
)
_NOTE_TITLE: Final = re.compile(r"(?:^|[-_ ])(?:[^\W_]*title|[^\W_]*heading|label)(?:[-_ ]|$)", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\s*\[?\(?\d{1,3}\)?\]?\s*")
_POWER: Final = re.compile(r"[-−+]?\d{1,4}|[n-z]")
_BLANK_LINES: Final = re.compile(r"\n{4,}")
_EDGE_RULES: Final = re.compile(r"\A(?:---\s*\n\s*)+|(?:\n\s*---)+\Z")
# what they set apart from the text is gone
_BACK: Final = re.compile(r"[\s↩↑^⤴︎\ufe0e]*")
_RENAMED: Final = {"form": "div", "fieldset": "div", "legend": "p", "label": "span", "center": "div", "aside": "div"}
# the converter leaves some of them out, or has no line of its own for them
_CODE: Final = ("pre", "code", "kbd", "samp", "tt")
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
_ESCAPED_TAG: Final = "\ue000<"
# the converter would escape a backslash that stands there by then


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
    return _EDGE_RULES.sub("", _BLANK_LINES.sub("\n\n\n", text).strip())


def _mend(part: HtmlElement) -> None:
    for element in list(part.iter("li", "p", "dt", "dd", "tr", "figcaption")):  # of a picture, or of what was left out
        if element is not part and element.getparent() is not None and not element.text_content().strip():
            element.drop_tree()
    for element in list(part.iter(*_RENAMED)):
        element.tag = _RENAMED[element.tag]
    mend_quotes(part)
    mend_lists(part)
    mend_tables(part)
    for block in part.iter("pre"):
        mend_code(block)
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
