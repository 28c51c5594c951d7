"""A page of HTML: what of it is text, and what came in a page's place."""

import re
from typing import Final

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from app.core.errors import EmptyContentError, ExtractionError
from app.core.extraction import metadata, refreshes, verdicts
from app.core.extraction.charset import decode
from app.core.extraction.cleaning import body_of, clean
from app.core.extraction.conversion import to_markdown
from app.core.extraction.facts import Facts
from app.core.extraction.kinds import Source
from app.core.extraction.result import Extract
from app.core.extraction.selection import select
from app.core.extraction.shape import shape_of

_CLASSES: Final = etree.ElementDefaultClassLookup(element=HtmlElement)
# lxml's own asks Python for the class of every element, each time that it is come by
_XML_DECLARATION: Final = re.compile(r"\A\s*<\?xml[^>]*\?>", re.IGNORECASE)
_OF_A_HEAD: Final = frozenset(
    ("base", "basefont", "bgsound", "link", "meta", "noframes", "noscript", "script", "style", "template", "title")
)
# what HTML lets stand in a head; anything else ends it
_DEPTH_MAX: Final = 2_048
# libxml2's own bound with `huge_tree`; it drops what is deeper, and says so in its log alone
_ATX_TITLE: Final = re.compile(r"^# +(.+?)(?: +#+)? *$", re.MULTILINE)
_ANY_HEADING: Final = re.compile(r"\A#{2,6} +(.+?)(?: +#+)? *$", re.MULTILINE)
_WORDS: Final = re.compile(r"\w+")
_WORD: Final = re.compile(r"\w")


def read(body: bytes, source: Source) -> Extract:
    """Return the text of a page, or where the page sends its reader."""
    tree = parsed(decode(body, source.charset, markup=True))
    title = metadata.page_title(tree)
    facts = Facts(tree, shape_of(tree), source.url, title, metadata.heading(tree, title))
    verdicts.refuse_challenge(facts)
    onward = refreshes.target(tree, source.refresh, source.url, says_little=facts.says_little)
    if onward is not None:
        return Extract("", media_type=source.media_type, refresh=onward)
    verdicts.refuse_stand_in(facts)
    base = metadata.base_url(tree, source.url)
    links = metadata.page_links(tree, base)
    found = Extract(
        content="",
        title=title,
        language=metadata.page_language(tree),
        author=metadata.page_author(tree),
        published_at=metadata.published_at(tree),
        canonical_url=metadata.canonical_url(tree, base),
        links=links.all,
        nofollow_links=links.nofollow,
        links_left_out=links.left_out,
        links_too_long=links.too_long,
        media_type=source.media_type,
        robots=metadata.robots_rules(tree, source.agent),
    )
    nothing = verdicts.empty(facts) if facts.is_short else None  # told before the page is taken apart
    body_element = body_of(tree)
    clean(body_element)
    heading = metadata.heading(body_element, found.title)
    selection = select(tree, body_element)
    content = to_markdown(selection.part)
    if not _WORD.search(content):
        raise nothing or EmptyContentError("the page holds no text that can be told from furniture")
    found.content = _with_heading(content, heading, found.title)
    verdicts.refuse_notice(found.content, facts)
    found.method, found.kept_share = selection.method, selection.kept_share
    found.warnings = verdicts.warnings_of(facts, content, found.canonical_url)
    return found


def parsed(text: str) -> HtmlElement:
    """Return a page's tree."""
    parser = HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
    parser.set_element_class_lookup(_CLASSES)
    try:
        tree = document_fromstring(_XML_DECLARATION.sub("", text), parser=parser)
    except etree.ParserError as error:
        raise EmptyContentError("the page is empty") from error
    if any("depth" in entry.message for entry in parser.error_log):
        raise ExtractionError(f"the page's elements are nested more than {_DEPTH_MAX} deep")
    _end_head(tree)
    return tree


def _end_head(tree: HtmlElement) -> None:
    """Move what is no part of a head to where HTML has it.

    A page need not write `<body>`: its first element that can't stand in a head begins it. libxml2, which knows HTML 4, does so
    at `<p>` and not at `<main>`, `<article>` or any other newer name.
    """
    head = tree.find("head")
    first = next((child for child in head if child.tag not in _OF_A_HEAD), None) if head is not None else None
    if head is None or first is None:
        return
    body = tree.find("body")
    if body is None:
        body = tree.makeelement("body")
        head.addnext(body)
    moved = [first, *first.itersiblings()]
    if body.text is not None:  # it comes after what is moved before it
        moved[-1].tail = (moved[-1].tail or "") + body.text
        body.text = None
    body[:0] = moved


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
