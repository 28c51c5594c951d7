"""What no reader sees of a page, taken out of its tree; and what only looks hidden, brought to light.

Everything here goes by the markup's own meaning. What is text and what is furniture is for `selection` to say.
"""

import re
from collections.abc import Callable
from typing import Final

from lxml import etree
from lxml.html import HtmlElement

from app.core.extraction.blocks import HEADINGS
from app.core.extraction.code import flatten_code, join_lines
from app.core.extraction.mathematics import to_tex, unwrapped
from app.core.extraction.metadata import SOFT_HYPHEN
from app.core.extraction.panels import unfold

NOTE_NAMES: Final = re.compile(
    r"(?:^|[-_ ])(?:note|tip|hint|warning|caution|danger|important|info|attention|seealso|admonition\w*|callout\w*|alert"
    r"|example|quote|pullquote|sidenote|marginnote|footnotes?|topic)(?:[-_ ]|$)",
    re.IGNORECASE,
)
_NEVER_TEXT: Final = (
    *(
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "iframe",
        "frame",
        "object",
        "embed",
        "canvas",
        "video",
        "audio",
    ),
    *(
        "select",
        "textarea",
        "input",
        "button",
        "dialog",
        "datalist",
        "map",
        "meter",
        "progress",
        "head",
        "link",
        "meta",
    ),
)
_READ_ALOUD_MAX: Final = 80
_WITH_SOFT_HYPHENS: Final = etree.XPath(f".//text()[contains(., '{SOFT_HYPHEN}')]")
_CODE: Final = ("pre", "code")
_WITH_STATES: Final = etree.XPath(".//*[@hidden or @aria-hidden or @style]")
_WITH_CLASS: Final = etree.XPath(".//*[@class]")
_INVISIBLE: Final = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)
_FOR_READERS_ALOUD: Final = re.compile(
    r"(?:^|\s)(?:sr-only|screen-reader-(?:text|only)|visually-?hidden|assistive-text|a11y-hidden|offscreen)(?:\s|$)"
)
_PERMALINK: Final = re.compile(
    r"(?:^|[\s_-])(?:headerlink|header-?anchor|heading-?anchor|permalink|hash-?link|anchor(?:js)?-?(?:link)?|self-?link|plink)(?:[\s_-]|$)",
    re.IGNORECASE,
)
_MARK: Final = re.compile(r"[\s¶#§\u2693\u260d\ue000-\uf8ff\U0001f517\ufe0e\ufe0f\u200b]*")
_MARK_WORD: Final = re.compile(r"\s*\[?(?:link|permalink|edit|source)\]?\s*", re.IGNORECASE)
_EDIT_NAMES: Final = re.compile(r"(?:^|[\s_-])(?:mw-editsection|editsection|edit-?link|edit-?section)(?:[\s_-]|$)")
_NUMBERS: Final = re.compile(r"[\d\s]+")
_LINE_NUMBER_NAMES: Final = re.compile(
    r"(?:^|[\s_-])(?:linenos?|lineno|linenodiv|line-?numbers?(?:-rows)?|ln-num\w*|hljs-ln-n|gutter|blob-num|LineNr)(?:[\s_-]|$)",
    re.IGNORECASE,
)
_CODE_NUMBER_NAMES: Final = re.compile(r"(?:^|\s)lnt?(?:\s|$)")
_UNSELECTABLE: Final = re.compile(r"user-select\s*:\s*none", re.IGNORECASE)
_HOVER_CARD_NAMES: Final = re.compile(
    r"(?:^|\s)(?:ttc|tooltip-?(?:text|content|body|inner)|popover(?:-content|-body)?|hover-?card)(?:\s|$)"
)
# Doxygen's are the first: they stand amid the lines of code whose names they explain
_MATHJAX: Final = re.compile(r"math/tex", re.IGNORECASE)
_KATEX: Final = etree.XPath(".//span[contains(concat(' ', @class, ' '), ' katex ')]")
_FORMULA_NAMES: Final = re.compile(r"mwe-math-fallback|latex|^tex$|(?:^|\s)math(?:\s|$)")
_DISPLAY_NAMES: Final = re.compile(r"mwe-math-fallback-image-display")
# of pictures of formulas
_TEX: Final = re.compile(r"[\\^_{}=+]|^\S{1,3}$")
_WRAPPED_MAX: Final = 3
# a formula's box holds it, a picture of it, and little else


def body_of(tree: HtmlElement) -> HtmlElement:
    """Return what is to be read of a page."""
    body = tree.find("body")
    return tree if body is None else body


def clean(body: HtmlElement) -> None:
    """Take out of a page what is never text, in place."""
    _drop_soft_hyphens(body)
    _write_formulas(body)
    unfold(body)
    for element in list(body.iter(*_NEVER_TEXT)):
        _drop(element)
    for element in _WITH_STATES(body):
        if _is_hidden(element) or (_UNSELECTABLE.search(element.get("style") or "") and _is_number_in_code(element)):
            _drop(element)
    _drop_by_class(body)
    flatten_code(body)
    join_lines(body)
    for link in list(body.iter("a")):
        _mend_link(link)


def _drop_soft_hyphens(body: HtmlElement) -> None:
    """Drop the marks of where a word may be parted: with them, nobody finds it. In code they are what its author wrote."""
    found = _WITH_SOFT_HYPHENS(body)
    code = {inner for block in body.iter(*_CODE) for inner in block.iter()} if found else set()
    for text in found:
        holder = text.getparent()
        if text.is_tail and holder.getparent() not in code:
            holder.tail = holder.tail.replace(SOFT_HYPHEN, "")
        elif text.is_text and holder not in code:
            holder.text = holder.text.replace(SOFT_HYPHEN, "")


def _drop_by_class(body: HtmlElement) -> None:
    """Drop what its class says is for screen readers, for editing, or a line's number."""
    known: dict[str, list[Callable[[HtmlElement], bool]]] = {}
    for element in _WITH_CLASS(body):
        names = element.get("class")
        if names not in known:  # a page has few different ones, on many elements
            known[names] = [is_it for named, is_it in _NAMED if named.search(names)]
        if any(is_it(element) for is_it in known[names]):
            _drop(element)


def _drop(element: HtmlElement) -> None:
    if element.getparent() is not None:
        element.drop_tree()


def _is_hidden(element: HtmlElement) -> bool:
    if element.get("role") == "tabpanel" or element.tag == "details":
        return False
    if element.get("hidden") is not None and element.get("hidden") != "until-found":
        return True
    return element.get("aria-hidden") == "true" or _INVISIBLE.search(element.get("style") or "") is not None


def _is_line_number(element: HtmlElement) -> bool:
    """Whether it holds numbers alone, and code stands beside it: a class may be called anything."""
    text = element.text_content()
    if element.tag == "pre" and element.find(".//code") is not None:
        return False
    return not text.strip() or _NUMBERS.fullmatch(text) is not None


def _is_number_in_code(element: HtmlElement) -> bool:
    return (
        _NUMBERS.fullmatch(element.text_content()) is not None and next(element.iterancestors("pre"), None) is not None
    )


_NAMED: Final[tuple[tuple[re.Pattern[str], Callable[[HtmlElement], bool]], ...]] = (
    (_FOR_READERS_ALOUD, lambda element: len(element.text_content()) < _READ_ALOUD_MAX),
    (_EDIT_NAMES, lambda element: element.tag in ("span", "a", "div")),
    (_LINE_NUMBER_NAMES, _is_line_number),
    (_CODE_NUMBER_NAMES, _is_number_in_code),
    (_HOVER_CARD_NAMES, lambda element: element.tag in ("span", "div")),
)
# what a class says, and whether it is true of the element


def _mend_link(link: HtmlElement) -> None:
    """Drop a mark that only says where its heading is; keep links that follow each other apart."""
    text = link.text_content()
    is_mark = _MARK.fullmatch(text) or (_MARK_WORD.fullmatch(text) and _PERMALINK.search(_names(link)))
    if is_mark and link.find(".//img") is None:
        around, place = link.getparent(), link.get("id") or link.get("name")
        if place and around is not None and around.tag in HEADINGS and not around.get("id"):
            around.set("id", place)  # where its links lead to
        _drop(link)
        return
    following = link.getnext()
    if following is not None and following.tag == "a" and not link.tail:
        link.tail = " "


def _names(element: HtmlElement) -> str:
    return f"{element.get('class') or ''} {element.get('rel') or ''}"


def _write_formulas(body: HtmlElement) -> None:
    """Write formulas as TeX between dollar signs, whichever way the page has them."""
    for script in list(body.iter("script")):
        if _MATHJAX.match(script.get("type") or "") and script.text:
            display = "mode=display" in (script.get("type") or "")
            _replace(script, script.text, display=display)
    for katex in _KATEX(body):
        annotation = katex.find(".//annotation")
        if annotation is not None and annotation.text and katex.getparent() is not None:
            display = "katex-display" in (katex.getparent().get("class") or "")
            _replace(katex, annotation.text, display=display)
    for image in list(body.iter("img")):
        _write_picture(image)
    for formula in list(body.iter("math")):
        if formula.getparent() is None:
            continue
        tex = to_tex(formula)
        if tex:
            _show(_replace(formula, tex, display=formula.get("display") == "block"))


def _write_picture(image: HtmlElement) -> None:
    """Write what a picture of a formula says, if that does not stand beside it as MathML."""
    names, around = image.get("class") or "", image.getparent()
    is_block = not names and _is_math_block(around)
    if around is None or not (is_block or _FORMULA_NAMES.search(names)):
        return
    tex = unwrapped((image.get("alt") or "").strip())
    before, after = image.getprevious(), image.getnext()
    beside = [one for one in (before, after) if one is not None]
    if tex and _TEX.search(tex) and not any(True for one in beside for _ in one.iter("math")):
        _replace(image, tex, display=is_block or _DISPLAY_NAMES.search(names) is not None)
    else:
        _drop(image)


def _is_math_block(paragraph: HtmlElement | None) -> bool:
    around = paragraph.getparent() if paragraph is not None and paragraph.tag == "p" else paragraph
    return around is not None and around.tag == "div" and "math" in (around.get("class") or "").split()


def _show(formula: HtmlElement) -> None:
    """Show a formula whose MathML was hidden behind a picture of it."""
    around = formula.getparent()
    while around is not None and not (around.text or "").strip() and len(around) <= _WRAPPED_MAX:
        inner = [(one.tag == "img" or one is formula, one.tail) for one in around]
        if not all(alone and not (tail or "").strip() for alone, tail in inner):
            return
        following = around.getnext()
        shown = following is not None and following.tag != "img" and not (around.tail or "").strip()
        if _is_hidden(around) and shown and following.text_content().strip():
            return  # as text of its own
        for name in ("hidden", "aria-hidden", "style"):
            around.attrib.pop(name, None)
        formula, around = around, around.getparent()


def _replace(element: HtmlElement, tex: str, *, display: bool) -> HtmlElement:
    signs = "$$" if display else "$"
    span = element.makeelement("span")
    span.text = f"{signs}{' '.join(tex.split())}{signs}"
    span.tail = element.tail
    element.getparent().replace(element, span)
    return span
