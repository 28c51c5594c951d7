"""RSS and Atom: an entry is a section with its date, its link and its text."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urljoin

from app.core.errors import EmptyContentError
from app.core.extraction.cleaning import body_of, clean
from app.core.extraction.conversion import to_markdown
from app.core.extraction.kinds import Source
from app.core.extraction.kinds.pages import parsed
from app.core.extraction.markup import attribute, local, xml_tree
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer, inline

_DATES: Final = ("pubDate", "published", "date", "updated", "issued", "modified")
_TEXTS: Final = ("encoded", "content", "description", "summary")
# the longest of what there is, in this order: some say less in one than in another
_URL_MAX_CHARACTERS: Final = 2_048


def read(body: bytes, source: Source) -> Extract:
    """Return a feed's entries."""
    tree = xml_tree(body)
    channel = next((each for each in tree if local(each) == "channel"), tree)
    writer, links = Writer(), []
    title = inline(_first(channel, "title"))
    if title:
        writer.heading(1, title)
    about = _first(channel, "description", "subtitle")
    if about:
        writer.markdown(_markdown(about))
    for entry in (each for each in tree.iter() if local(each) in ("item", "entry")):
        link = entry_link(entry, source.url)
        _entry(writer, entry, link)
        links += [link] if link else []
    language = _first(channel, "language") or attribute(tree, "lang") or ""
    return writer.finished(source, title=title, language=language.strip()[:35] or None, links=links)


def _entry(writer: Writer, entry: Any, link: str) -> None:
    writer.heading(2, inline(_plain(_first(entry, "title"))) or "Entry")
    date = inline(_first(entry, *_DATES))
    if date or link:
        writer.paragraph(" · ".join(filter(None, (date, link))))
    texts = [_content(each) for each in entry if local(each) in _TEXTS]
    writer.markdown(_markdown(max(texts, key=len, default="")))


def _content(element: Any) -> str:
    """Return what an element holds as markup; XHTML stands in it as elements."""
    if len(element) and attribute(element, "type") == "xhtml":
        from lxml.etree import tostring

        return "".join(tostring(inner, encoding="unicode", with_tail=False) for inner in element)
    text = "".join(element.itertext())
    if attribute(element, "type") == "text":
        return text.replace("&", "&amp;").replace("<", "&lt;")
    return text


def _first(parent: Any, *names: str) -> str:
    for name in names:
        for element in parent:
            if local(element) == name and (text := "".join(element.itertext()).strip()):
                return text
    return ""


def entry_link(entry: Any, base: str) -> str:
    """Return where an entry's page is, "" if it has none."""
    for found in _links(entry):
        address = urljoin(base, found.strip())
        if address.startswith(("http://", "https://")) and len(address) <= _URL_MAX_CHARACTERS:
            return address
    return ""


def _links(entry: Any) -> Iterator[str]:
    for element in entry:
        if local(element) == "link" and attribute(element, "rel") in (None, "alternate"):
            yield attribute(element, "href") or element.text or ""
    for element in entry:
        if local(element) == "guid" and element.get("isPermaLink", "true") == "true":
            yield element.text or ""


def _markdown(markup: str) -> str:
    if "<" not in markup and "&" not in markup:
        return inline(markup)
    try:
        body = body_of(parsed(markup))
    except EmptyContentError:
        return ""
    clean(body)
    return to_markdown(body)


def _plain(text: str) -> str:
    """Return a title without markup, which some feeds have in it."""
    if "<" not in text and "&" not in text:
        return text
    try:
        return str(parsed(text).text_content())
    except EmptyContentError:
        return ""
