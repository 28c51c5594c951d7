"""A page's bytes in, Markdown and metadata out.

This runs in a process of its own (`worker`), because what strangers write can keep a parser busy for minutes
and fill a gigabyte. Here only depth is bounded; bytes were when the page was fetched, time and memory are by the
process.
"""

import re
from typing import Final

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from app.core.errors import EmptyContentError, ExtractionError, PageTooLargeError
from app.core.extraction import metadata
from app.core.extraction.charset import decode
from app.core.extraction.cleaning import body_of, clean
from app.core.extraction.conversion import to_markdown
from app.core.extraction.result import Extract
from app.core.extraction.selection import select
from ml_shared.contracts.chunking import MAX_TEXT_CHARACTERS

MARKUP_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})
_MARKDOWN_TYPES: Final = frozenset({"text/markdown", "text/x-markdown"})
_XML_DECLARATION: Final = re.compile(r"\A\s*<\?xml[^>]*\?>", re.IGNORECASE)
_DEPTH_MAX: Final = 2_048
# libxml2's own bound with `huge_tree`; it drops what is deeper, and says so in its log alone
_ATX_TITLE: Final = re.compile(r"^# +(.+?)(?: +#+)?\s*$", re.MULTILINE)
_ANY_HEADING: Final = re.compile(r"\A#{2,6} +(.+?)(?: +#+)?\s*$", re.MULTILINE)
_WORDS: Final = re.compile(r"\w+")
_WORD: Final = re.compile(r"\w")


def extract(body: bytes, *, url: str, media_type: str, charset: str | None) -> Extract:
    """Turn a page into text.

    Parameters
    ----------
    body
        Decoded from its Content-Encoding, not yet from its character set.
    url
        What links are relative to.
    charset
        What the Content-Type header declares.

    Raises
    ------
    EmptyContentError
        If there is no text.
    ExtractionError
        If the page is nested too deeply.
    PageTooLargeError
        If its text is longer than what can be split into chunks: a table's spans make megabytes of a few bytes.
    """
    markup = media_type in MARKUP_TYPES
    text = decode(body, charset, markup=markup)
    found = _from_html(text, url) if markup else _from_text(text, media_type)
    if len(found.content) > MAX_TEXT_CHARACTERS:
        raise PageTooLargeError(f"the page's text is longer than {MAX_TEXT_CHARACTERS} characters")
    return found


def _from_text(text: str, media_type: str) -> Extract:
    if not _WORD.search(text):
        raise EmptyContentError("the page holds no text")
    title = _ATX_TITLE.search(text) if media_type in _MARKDOWN_TYPES else None
    return Extract(text.strip("\n"), title=title[1][:500] if title else None)


def _from_html(text: str, url: str) -> Extract:
    tree = _parsed(text)
    base = metadata.base_url(tree, url)
    found = Extract(
        content="",
        title=metadata.page_title(tree),
        language=metadata.page_language(tree),
        author=metadata.page_author(tree),
        published_at=metadata.published_at(tree),
        canonical_url=metadata.canonical_url(tree, base),
        links=metadata.page_links(tree, base),
    )
    body = body_of(tree)
    clean(body)
    heading = metadata.heading(body, found.title)
    selection = select(tree, body)
    found.content = _with_heading(to_markdown(selection.part), heading, found.title)
    if not _WORD.search(found.content):
        raise EmptyContentError("the page holds no text; one that is made by JavaScript looks like this")
    return found


def _parsed(text: str) -> HtmlElement:
    parser = HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        tree = document_fromstring(_XML_DECLARATION.sub("", text), parser=parser)
    except etree.ParserError as error:
        raise EmptyContentError("the page is empty") from error
    if any("depth" in entry.message for entry in parser.error_log):
        raise ExtractionError(f"the page's elements are nested more than {_DEPTH_MAX} deep")
    return tree


def _with_heading(content: str, heading: str | None, title: str | None) -> str:
    """Put the page's heading on top if the text came without it: search goes by it, and so do readers."""
    wanted = heading or title
    top = _ATX_TITLE.search(content)
    if wanted is None or (
        top is not None and (top.start() == 0 or heading is None or _folded(heading) in _folded(content))
    ):
        return content
    first = _ANY_HEADING.match(content)
    if first is not None and title is not None and _folded(first[1]) in _folded(title):
        return f"# {first[1]}{content[first.end() :]}"  # the page's title, on a site that keeps <h1> for its own
    return f"# {wanted}\n\n{content}"


def _folded(text: str) -> str:
    return " ".join(_WORDS.findall(text.casefold()))
