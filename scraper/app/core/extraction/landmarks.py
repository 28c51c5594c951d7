"""A page's main part, found by its landmarks and kept whole.

Trafilatura finds the article on pages that do not say where it is. On documentation, which says so, it drops headings,
tables and the blank lines of code. So both are made, and where trafilatura lost something this one is taken.
"""

import copy
import re
from typing import Final

from html_to_markdown import ConversionOptions, convert
from lxml import etree
from lxml.html import HtmlElement, tostring

from app.core.errors import ExtractionError

_LANDMARKS: Final = (
    ".//main",
    ".//*[@role='main']",
    ".//article",
    ".//*[@id='content']",
    ".//*[@id='main-content']",
)
_FURNITURE: Final = etree.XPath(
    ".//nav | .//aside | .//footer | .//form | .//script | .//style | .//noscript | .//template | .//svg | .//iframe"
    " | .//button | .//dialog | .//canvas | .//object | .//video | .//audio | .//img | .//picture"
    " | .//*[@hidden] | .//*[@aria-hidden='true']"
    " | .//*[@role='navigation' or @role='search' or @role='contentinfo' or @role='complementary']"
    " | .//a[contains(concat(' ', @class, ' '), ' headerlink ') or contains(concat(' ', @class, ' '), ' anchor ')"
    " or contains(concat(' ', @class, ' '), ' hash-link ')]"
)
_LINK_DENSITY_MAX: Final = 0.5
# above it, what looks like the main part is an index of other pages
_WORDS_MIN: Final = 50
_KEPT_WORDS: Final = 0.9
_KEPT_HEADINGS: Final = 0.5
_KEPT_CODE: Final = 0.7
# the shares below which trafilatura's result counts as having lost something
_LANGUAGE: Final = re.compile(r"(?:^|\s)(?:language|lang|highlight|brush:)-?\s*([A-Za-z0-9+#_.-]{1,20})(?=\s|$)")
_NO_LANGUAGE: Final = frozenset({"default", "none", "text", "plain", "source", "notranslate", "plaintext"})
_OPTIONS: Final = ConversionOptions(extract_metadata=False, compact_tables=True, skip_images=True, autolinks=False)
_DEPTH_MAX: Final = 1_000
# the converter leaves out what is deeper than 1,024, and does not say so
_WORD: Final = re.compile(r"\w+")
_HEADING_LINE: Final = re.compile(r"^#{1,6} ", re.MULTILINE)


def main_part(tree: HtmlElement) -> HtmlElement | None:
    """Return a pruned copy of the page's main part, or `None` if the page does not say which it is."""
    for path in _LANDMARKS:
        found = tree.findall(path)
        if len(found) != 1:
            continue  # several articles are a list of articles
        part = copy.deepcopy(found[0])
        part.tail = None
        for element in _FURNITURE(part):
            if element.getparent() is not None:
                element.drop_tree()
        words = _words(part.text_content())
        linked = sum(_words(link.text_content()) for link in part.iter("a"))
        return part if words >= _WORDS_MIN and linked <= words * _LINK_DENSITY_MAX else None
    return None


def lost_something(markdown: str, part: HtmlElement) -> bool:
    """Return whether a page's Markdown lacks words, headings or code of its main part."""
    if _words(markdown) < _KEPT_WORDS * _words(part.text_content()):
        return True
    headings = sum(1 for _ in part.iter("h1", "h2", "h3", "h4", "h5", "h6"))
    if len(_HEADING_LINE.findall(markdown)) < _KEPT_HEADINGS * headings:
        return True
    blocks = [text for text in (block.text_content().strip() for block in part.iter("pre")) if text]
    whole = sum(1 for text in blocks if text in markdown)
    return whole < _KEPT_CODE * len(blocks)


def to_markdown(part: HtmlElement) -> str:
    """Convert a main part; it is changed on the way.

    Raises
    ------
    ExtractionError
        If it is nested too deeply.
    """
    if _depth(part) > _DEPTH_MAX:
        raise ExtractionError(f"the page's elements are nested more than {_DEPTH_MAX} deep")
    for block in part.iter("pre"):
        _name_language(block)
    for link in list(part.iter("a")):
        link.drop_tag()
    return convert(tostring(part, encoding="unicode"), _OPTIONS).content or ""


def _name_language(block: HtmlElement) -> None:
    """Put a code block's language where the converter looks for it; documentation tools write it on an outer element."""
    code = block.find("code")
    around = [element for element in (code, block, block.getparent()) if element is not None]
    if len(around) and around[-1].getparent() is not None:
        around.append(around[-1].getparent())
    for element in around:
        for name in _LANGUAGE.findall(element.get("class") or ""):
            if name.lower() not in _NO_LANGUAGE:
                block.set("class", f"language-{name.lower()}")
                if code is not None:
                    code.set("class", f"language-{name.lower()}")
                return


def _depth(part: HtmlElement) -> int:
    depth = deepest = 0
    for event, _ in etree.iterwalk(part, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
    return deepest


def _words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))
