"""RSS and Atom: an entry is a section with its date, its link and its text."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, Final
from urllib.parse import urljoin

from lxml.html import defs

from app.core.errors import EmptyContentError
from app.core.extraction.cleaning import body_of, clean
from app.core.extraction.conversion import to_markdown
from app.core.extraction.kinds import Source
from app.core.extraction.kinds.pages import parsed
from app.core.extraction.links import URL_MAX_CHARACTERS
from app.core.extraction.markup import attribute, local, xml_tree
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer, inline

_DATES: Final = ("pubDate", "published", "date", "updated", "issued", "modified")
_TEXTS: Final = ("encoded", "content", "description", "summary")
# the longest of what there is, in this order: some say less in one than in another
_OF_ATOM: Final = ("feed", "entry")
_PLAIN: Final = ("text", "text/plain", "plain")
_XHTML: Final = ("xhtml", "application/xhtml+xml")
_TAGS: Final = defs.tags | {"data", "main", "nobr", "picture"}
_START: Final = re.compile(r"<([A-Za-z][\w.:-]*+)(?!\s+[\w:-]+\s*=)")
_END: Final = re.compile(r"</([A-Za-z][\w.:-]*)")
_FORM: Final = re.compile(
    r"</?(a|abbr|b|bdi|big|cite|code|del|div|dfn|em|font|i|ins|kbd|mark|p|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var)"
    r"(?:\s[^<>]*)?>",
    re.IGNORECASE,
)
_BREAK: Final = re.compile(r"<(?:br|wbr|img)(?:\s[^<>]*)?/?>|<!--[^<>]*-->", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]\w{1,31});", re.IGNORECASE)


def read(body: bytes, source: Source) -> Extract:
    """Return a feed's entries."""
    tree = xml_tree(body)
    channel = next((each for each in tree if local(each) == "channel"), tree)
    writer, links = Writer(), []
    title = _title(channel)
    if title:
        writer.heading(1, title)
    about = _first(channel, "description", "subtitle")
    if about is not None:
        writer.markdown(_markdown(_content(about)))
    for entry in (each for each in tree.iter() if local(each) in ("item", "entry")):
        link = entry_link(entry, source.url)
        _entry(writer, entry, link)
        links += [link] if link else []
    language = _text(channel, "language") or attribute(tree, "lang") or ""
    return writer.finished(source, title=title, language=language.strip()[:35] or None, hrefs=links)


def _entry(writer: Writer, entry: Any, link: str) -> None:
    writer.heading(2, _title(entry) or "Entry")
    date = _text(entry, *_DATES)
    if date or link:
        writer.paragraph(" · ".join(filter(None, (date, link))))
    texts = [_content(each) for each in entry if local(each) in _TEXTS]
    writer.markdown(_markdown(max(texts, key=len, default="")))


def _kind(element: Any) -> str:
    """Return whether an element holds a text as it is, HTML, or XHTML. In Atom it says so, and "text" is what it need not say."""
    said = attribute(element, "type")
    if said is None:
        namespace = element.tag.rpartition("}")[0].lower()
        parent = element.getparent()
        is_atom = "atom" in namespace or (not namespace and parent is not None and local(parent) in _OF_ATOM)
        return "text" if is_atom else "html"
    return "xhtml" if said in _XHTML and len(element) else "text" if said in _PLAIN else "html"


def _content(element: Any) -> str:
    """Return what an element holds as markup; XHTML stands in it as elements."""
    kind = _kind(element)
    if kind == "xhtml":
        from lxml.etree import tostring

        return "".join(tostring(inner, encoding="unicode", with_tail=False) for inner in element)
    text = "".join(element.itertext())
    return text.replace("&", "&amp;").replace("<", "&lt;") if kind == "text" else _with_names(text)


def _with_names(markup: str) -> str:
    """Return HTML with what only looks like a tag as text: the T of `List<T>` is no element, and nothing ends it."""
    ended = {name.lower() for name in _END.findall(markup)}

    def opened(tag: re.Match[str]) -> str:
        name = tag[1].lower()
        return tag[0] if name in ended or name in _TAGS or ":" in name else f"&lt;{tag[1]}"

    return _START.sub(opened, markup)


def _title(parent: Any) -> str:
    """Return a title without markup, which some feeds have in it: letters' forms alone, other tags are what it is about."""
    element = _first(parent, "title")
    if element is None:
        return ""
    text = "".join(element.itertext())
    if _kind(element) == "html" and ("<" in text or "&" in text):
        ended = {name.lower() for name in _END.findall(text)}
        text = _FORM.sub(lambda tag: "" if tag[1].lower() in ended else tag[0], _BREAK.sub(" ", text))
        text = _ENTITY.sub(lambda entity: unescape(entity[0]), text)
    return " ".join(text.split())


def _first(parent: Any, *names: str) -> Any:
    return next((e for name in names for e in parent if local(e) == name and "".join(e.itertext()).strip()), None)


def _text(parent: Any, *names: str) -> str:
    element = _first(parent, *names)
    return "".join(element.itertext()).strip() if element is not None else ""


def entry_link(entry: Any, base: str) -> str:
    """Return where an entry's page is, "" if it has none."""
    for found in _links(entry):
        address = urljoin(base, found.strip())
        if address.startswith(("http://", "https://")) and len(address) <= URL_MAX_CHARACTERS:
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
