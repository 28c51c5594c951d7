"""What no reader sees of a page, taken out of its tree; and what only looks hidden, brought to light.

Everything here goes by the markup's own meaning. What is text and what is furniture is for `selection` to say.
"""

import re
from typing import Final

from lxml import etree
from lxml.html import HtmlElement

from app.core.extraction.mathematics import to_tex

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
_BUTTON_LABEL_MAX: Final = 12
# a shorter one is "Copy", "Edit" and their like
_HIDDEN: Final = etree.XPath(
    ".//*[@hidden or @aria-hidden='true' or contains(@style, 'none') or contains(@style, 'hidden')]"
)
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
_MATHJAX: Final = re.compile(r"math/tex", re.IGNORECASE)


def body_of(tree: HtmlElement) -> HtmlElement:
    """Return what is to be read of a page."""
    body = tree.find("body")
    return tree if body is None else body


def clean(body: HtmlElement) -> None:
    """Take out of a page what is never text, in place."""
    _write_formulas(body)
    _unfold_tabs(body)
    for button in body.xpath("(.//h1|.//h2|.//h3|.//h4|.//h5|.//h6|.//dt|.//summary)//button"):
        if len(button.text_content().strip()) > _BUTTON_LABEL_MAX:
            button.drop_tag()  # what opens an answer is the question
    for element in list(body.iter(*_NEVER_TEXT)):
        _drop(element)
    for element in _HIDDEN(body):
        if element is not body and _is_hidden(element):
            _drop(element)
    for element in body.xpath(".//*[@class]"):
        names = element.get("class") or ""
        if (
            (_FOR_READERS_ALOUD.search(names) and len(element.text_content()) < 80)
            or (_EDIT_NAMES.search(names) and element.tag in ("span", "a", "div"))
            or (_LINE_NUMBER_NAMES.search(names) and _is_line_number(element))
        ):
            _drop(element)
    for link in list(body.iter("a")):
        _mend_link(link)


def _drop(element: HtmlElement) -> None:
    if element.getparent() is not None:
        element.drop_tree()


def _is_hidden(element: HtmlElement) -> bool:
    if element.get("role") == "tabpanel" or element.tag == "details":
        return False
    if element.get("hidden") is not None and element.get("hidden") != "until-found":
        return True
    return element.get("aria-hidden") == "true" or _INVISIBLE.search(element.get("style") or "") is not None


def _unfold_tabs(body: HtmlElement) -> None:
    """Show every tab's panel, under the label that stood on its tab."""
    labels = {}
    for tab in body.xpath(".//*[@role='tab']"):
        text = " ".join(tab.text_content().split())
        panel = tab.get("aria-controls")
        if panel and text:
            labels[panel] = text
    for panel in body.xpath(".//*[@role='tabpanel']"):
        for name in ("hidden", "aria-hidden", "style"):
            panel.attrib.pop(name, None)
        label = labels.get(panel.get("id") or "")
        if label:
            heading = panel.makeelement("p")
            strong = etree.SubElement(heading, "strong")
            strong.text = label
            heading.tail, panel.text = panel.text, None
            panel.insert(0, heading)
    for tabs in body.xpath(".//*[@role='tablist']"):
        _drop(tabs)


def _is_line_number(element: HtmlElement) -> bool:
    """Whether it holds numbers alone, and code stands beside it: a class may be called anything."""
    text = element.text_content()
    if element.tag == "pre" and element.find(".//code") is not None:
        return False
    return not text.strip() or _NUMBERS.fullmatch(text) is not None


def _mend_link(link: HtmlElement) -> None:
    """Drop a mark that only says where its heading is; keep links that follow each other apart."""
    text = link.text_content()
    is_mark = _MARK.fullmatch(text) or (_MARK_WORD.fullmatch(text) and _PERMALINK.search(_names(link)))
    if is_mark and link.find(".//img") is None:
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
    for katex in body.xpath(".//*[contains(concat(' ', @class, ' '), ' katex ')]"):
        annotation = katex.find(".//annotation")
        if annotation is not None and annotation.text and katex.getparent() is not None:
            display = "katex-display" in (katex.getparent().get("class") or "")
            _replace(katex, annotation.text, display=display)
    for image in body.xpath(
        ".//img[contains(@class, 'mwe-math-fallback') or contains(@class, 'latex') or @class='tex']"
    ):
        _drop(image)
    for formula in list(body.iter("math")):
        if formula.getparent() is None:
            continue
        tex = to_tex(formula)
        if tex:
            _replace(formula, tex, display=formula.get("display") == "block")


def _replace(element: HtmlElement, tex: str, *, display: bool) -> None:
    signs = "$$" if display else "$"
    span = element.makeelement("span")
    span.text = f"{signs}{' '.join(tex.split())}{signs}"
    span.tail = element.tail
    element.getparent().replace(element, span)
