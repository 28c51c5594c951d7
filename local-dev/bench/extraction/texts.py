"""Words, and what a Markdown text and a piece of HTML are made of, in the same terms."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest

from lxml.html import HtmlElement
from markdown_it import MarkdownIt
from markdown_it.token import Token

_NO_BLANKS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# scripts that put no blanks between words: each character counts as one
_TOKEN = re.compile(rf"[{_NO_BLANKS}]|(?:(?![{_NO_BLANKS}])[^\W_])+")
_TARGETS = re.compile(r"!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)\s]*(?:\s+\"[^\"]*\")?\)|<https?://[^>]*>")
_FENCE = re.compile(r"^([ >]*)(```+|~~~+)[^\n`]*$", re.MULTILINE)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_EMPHASIS = re.compile(r"[*`\u200b\u00ad]+")
# they stand within words, in Markdown: **g**lobal
_NUMBER = re.compile(r"^([\s>#*+-]*)\d+[.)](?=\s)", re.MULTILINE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_NUMBERS_ALONE = re.compile(r"[\d\s]+")
# a column of line numbers beside code
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "caption", "center", "dd", "details", "dialog", "div", "dl"}
    | {"dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr"}
    | {"legend", "li", "main", "nav", "ol", "option", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot"}
    | {"th", "thead", "title", "tr", "ul"}
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LISTS = ("ul", "ol", "dl", "table", "pre")
_LAYOUT = frozenset({"memname", "mlabels", "memberdecls", "directory", "linenos", "highlighttable", "navigation"})
# tables that lay out, by the class that generators give them
LIST_ITEM_WORDS = 8
# how much of its first line says which item it is


def words(text: str) -> list[str]:
    """Return a text's words in lower case, without the numbers that count its paragraphs."""
    return _TOKEN.findall(_EMPHASIS.sub("", _NUMBER.sub(r"\1", text)).lower())


def markdown_words(markdown: str) -> list[str]:
    """Return a Markdown text's words, without the targets of its links and the languages of its code."""
    return words(_ESCAPE.sub(r"\1", _BREAK.sub(" ", _TARGETS.sub(" ", _FENCE.sub(r"\1", markdown)))))


def text_of(element: HtmlElement) -> str:
    """Return an element's text, with a line break wherever a block begins or ends."""
    return "".join(_pieces(element, frozenset()))


def _pieces(element: HtmlElement, without: frozenset[str]) -> Iterator[str]:
    block = element.tag in _BLOCKS
    if block:
        yield "\n"
    yield element.text or ""
    for child in element:
        if isinstance(child.tag, str) and child.tag not in without:
            yield from _pieces(child, without)
        yield child.tail or ""
    if block:
        yield "\n"


@dataclass
class Structure:
    """What is more than words."""

    headings: list[tuple[int, str]] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    items: list[str] = field(default_factory=list)


def _lays_out(item: HtmlElement) -> bool:
    """Return whether a list's item is a section of the page, as Javadoc's are."""
    return "blockList" in (item.get("class") or "").split() or next(item.iter(*_HEADINGS), None) is not None


def _said(text: str) -> str:
    return " ".join(words(text))


def _lines(text: str) -> str:
    text = text.replace("\xa0", " ").replace("\u200b", "")
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def structure_of(parts: Iterable[HtmlElement]) -> Structure:
    """Return what HTML elements are made of."""
    found = Structure()
    for part in parts:
        for element in part.iter():
            if element.tag in _HEADINGS:
                if said := _said(text_of(element)):
                    found.headings.append((int(element.tag[1]), said))
            elif element.tag == "li" and not _lays_out(element):
                if said := _said("".join(_pieces(element, frozenset(_LISTS)))):
                    found.items.append(" ".join(said.split()[:LIST_ITEM_WORDS]))
            elif element.tag == "tr":
                row = _row(element)
                if len(row) > 1:
                    found.rows.append(row)
            elif (code := _code(element)).strip():
                found.code.append(code)
    return found


def _code(element: HtmlElement) -> str:
    above = [*element.iterancestors()]
    if element.tag == "pre" and not any(one.tag == "pre" or "lineno" in (one.get("class") or "") for one in above):
        code = _lines("".join(_code_pieces(element)))
        return "" if _NUMBERS_ALONE.fullmatch(code) else code
    if element.tag == "div" and element.get("class") == "fragment":  # Doxygen's
        lines = element.xpath("./div[contains(concat(' ', @class, ' '), ' line ')]")
        return _lines("\n".join(line.text_content() for line in lines))
    return ""


def _code_pieces(element: HtmlElement) -> Iterator[str]:
    """Return the text of code as a browser shows it: some highlighters make an element of each line."""
    yield element.text or ""
    for child in element:
        if child.tag == "br":
            yield "\n"
        elif isinstance(child.tag, str):
            yield from _code_pieces(child)
            if child.tag in ("div", "p", "li"):
                yield "\n"
        yield child.tail or ""


def _row(element: HtmlElement) -> tuple[str, ...]:
    table = next(element.iterancestors("table"), None)
    if table is None or table.get("role") == "presentation" or _LAYOUT & set((table.get("class") or "").split()):
        return ()
    if table.find(".//table") is not None or element.find(".//pre") is not None:
        return ()
    return tuple(filter(None, (_said(text_of(cell)) for cell in element if cell.tag in ("td", "th"))))


@lru_cache(1)
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def structure_of_markdown(markdown: str) -> Structure:
    """Return what a Markdown text is made of, as a reader of Markdown sees it."""
    found, tokens = Structure(), _parser().parse(markdown)
    row: list[str] = []
    for token, after in zip_longest(tokens, tokens[1:]):
        if token.type == "heading_open" and after is not None:
            found.headings.append((int(token.tag[1]), _said(_inline(after))))
        elif token.type in ("fence", "code_block"):
            found.code.append(_lines(token.content))
        elif token.type == "tr_open":
            row = []
        elif token.type in ("th_open", "td_open") and after is not None:
            row.append(_said(_inline(after)))
        elif token.type == "tr_close":
            found.rows.append(tuple(filter(None, row)))
    for position, token in enumerate(tokens):
        if token.type == "list_item_open":
            found.items.append(_first_words(tokens, position))
    return found


def _first_words(tokens: list[Token], position: int) -> str:
    """Return the words of a list item, up to what is nested in it."""
    said: list[str] = []
    for token in tokens[position + 1 :]:
        if token.type in ("list_item_open", "list_item_close", "fence", "table_open") or len(said) >= LIST_ITEM_WORDS:
            break
        if token.type == "inline":
            said += words(_inline(token))
    return " ".join(said[:LIST_ITEM_WORDS])


def _inline(token: Token) -> str:
    return "".join(_shown(child) for child in token.children or ())


def _shown(token: Token) -> str:
    if token.type in ("text", "code_inline"):
        return token.content
    if token.type == "html_inline":
        return " " if _BREAK.match(token.content) else token.content
    return " " if token.type in ("softbreak", "hardbreak") else ""
