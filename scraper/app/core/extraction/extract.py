"""A page's bytes in, Markdown and metadata out.

This runs in a process of its own (`worker`), because what strangers write can keep a parser busy for minutes
and fill a gigabyte. Here only depth is bounded; bytes were when the page was fetched, time and memory are by the
process.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from app.core.errors import EmptyContentError, ExtractionError, PageTooLargeError
from app.core.extraction import kinds, metadata, refreshes, verdicts
from app.core.extraction.charset import decode
from app.core.extraction.cleaning import body_of, clean
from app.core.extraction.conversion import to_markdown
from app.core.extraction.facts import Facts
from app.core.extraction.result import Extract
from app.core.extraction.selection import select
from app.core.extraction.shape import shape_of
from ml_shared.contracts.chunking import MAX_TEXT_CHARACTERS
from ml_shared.contracts.scraping import ExtractionWarning

_CLASSES: Final = etree.ElementDefaultClassLookup(element=HtmlElement)
# lxml's own asks Python for the class of every element, each time that it is come by
_XML_DECLARATION: Final = re.compile(r"\A\s*<\?xml[^>]*\?>", re.IGNORECASE)
_DEPTH_MAX: Final = 2_048
# libxml2's own bound with `huge_tree`; it drops what is deeper, and says so in its log alone
_ATX_TITLE: Final = re.compile(r"^# +(.+?)(?: +#+)? *$", re.MULTILINE)
_ANY_HEADING: Final = re.compile(r"\A#{2,6} +(.+?)(?: +#+)? *$", re.MULTILINE)
_WORDS: Final = re.compile(r"\w+")
_WORD: Final = re.compile(r"\w")


@dataclass(frozen=True)
class _Source:
    """Where a text comes from: its address, what it was found to be, and the header that may lead on."""

    url: str
    media_type: str
    refresh: str | None


def extract(body: bytes, *, url: str, media_type: str, charset: str | None, refresh: str | None = None) -> Extract:
    """Turn a page into text.

    Parameters
    ----------
    body
        Decoded from its Content-Encoding, not yet from its character set.
    url
        What links are relative to.
    media_type
        What the Content-Type header says; empty if there is none.
    charset
        What the Content-Type header declares.
    refresh
        The header of that name.

    Raises
    ------
    ChallengePageError, LoginRequiredError
        If something else came in the page's place.
    EmptyContentError
        If there is no text.
    ExtractionError
        If the page is nested too deeply.
    PageTooLargeError
        If its text is longer than what can be split into chunks: a table's spans make megabytes of a few bytes.
    UnsupportedContentTypeError
        If the bytes are something else than what there is a reader for.
    """
    kind = kinds.kind_of(body, media_type, charset)
    read = _READERS.get(kind.media_type)
    if read is None:
        raise kinds.unsupported(kind, media_type)
    text = decode(body, charset, markup=read is _from_html)
    found = read(text, _Source(url, kind.media_type, refresh))
    if len(found.content) > MAX_TEXT_CHARACTERS:
        raise PageTooLargeError(f"the page's text is longer than {MAX_TEXT_CHARACTERS} characters")
    if kind.media_type != media_type and not kinds.is_undeclared(media_type):
        return replace(found, warnings=[*found.warnings, ExtractionWarning.WRONG_CONTENT_TYPE])
    return found


def _from_text(text: str, source: _Source) -> Extract:
    if not _WORD.search(text):
        raise EmptyContentError("the page holds no text")
    title = _ATX_TITLE.search(text) if source.media_type in kinds.MARKDOWN else None
    return Extract(
        text.strip("\n"),
        title=title[1][:500] if title else None,
        media_type=source.media_type,
        method="plain text",
        kept_share=1.0,
        warnings=verdicts.warnings_of_text(text),
    )


def _from_html(text: str, source: _Source) -> Extract:
    tree = _parsed(text)
    title = metadata.page_title(tree)
    facts = Facts(tree, shape_of(tree), source.url, title, metadata.heading(tree, title))
    verdicts.refuse_challenge(facts)
    onward = refreshes.target(tree, source.refresh, source.url, says_little=facts.says_little)
    if onward is not None:
        return Extract("", media_type=source.media_type, refresh=onward)
    verdicts.refuse_stand_in(facts)
    base = metadata.base_url(tree, source.url)
    found = Extract(
        content="",
        title=title,
        language=metadata.page_language(tree),
        author=metadata.page_author(tree),
        published_at=metadata.published_at(tree),
        canonical_url=metadata.canonical_url(tree, base),
        links=metadata.page_links(tree, base),
        media_type=source.media_type,
    )
    nothing = verdicts.empty(facts) if facts.is_short else None  # told before the page is taken apart
    body = body_of(tree)
    clean(body)
    heading = metadata.heading(body, found.title)
    selection = select(tree, body)
    content = to_markdown(selection.part)
    if not _WORD.search(content):
        raise nothing or EmptyContentError("the page holds no text that can be told from furniture")
    found.content = _with_heading(content, heading, found.title)
    verdicts.refuse_notice(found.content, facts)
    found.method, found.kept_share = selection.method, selection.kept_share
    found.warnings = verdicts.warnings_of(facts, content, found.canonical_url)
    return found


_READERS: Final[Mapping[str, Callable[[str, _Source], Extract]]] = {
    kinds.HTML: _from_html,
    kinds.XHTML: _from_html,
    kinds.PLAIN_TEXT: _from_text,
    **dict.fromkeys(kinds.MARKDOWN, _from_text),
}
"""Who reads which kind of body, by what its bytes are. A kind that is added is named in `kinds.READABLE` too."""


def _parsed(text: str) -> HtmlElement:
    parser = HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
    parser.set_element_class_lookup(_CLASSES)
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
