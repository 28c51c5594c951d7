"""What a page says about itself: title, language, author, date, canonical address, links."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, Final

import orjson
from lxml.html import HtmlElement

from app.core.extraction.links import Links, absolute, links_of
from app.core.robots.directives import rules_in

SOFT_HYPHEN: Final = "\u00ad"
# where a word may be parted, which nobody searches for
_TEXT_MAX_CHARACTERS: Final = 500
_JSON_LD_MAX_CHARACTERS: Final = 262_144
_AUTHOR_NAMES: Final = (
    "author",
    "article:author",
    "dc.creator",
    "dcterms.creator",
    "parsely-author",
    "sailthru.author",
)
_DATE_NAMES: Final = (
    "article:published_time",
    "og:published_time",
    "datepublished",
    "date",
    "dc.date",
    "dc.date.issued",
    "dcterms.created",
    "parsely-pub-date",
    "sailthru.date",
    "citation_publication_date",
)


def page_title(tree: HtmlElement) -> str | None:
    """Return `<title>`, else what the page tells social networks, else its first heading."""
    candidates = [tree.findtext(".//head/title"), _meta(tree).get("og:title"), heading(tree), tree.findtext(".//title")]
    return next(filter(None, map(_clean, candidates)), None)


def heading(tree: HtmlElement, title: str | None = None) -> str | None:
    """Return the page's own `<h1>`, without the mark that documentation sites put there for linking.

    One in the site's banner that the title does not speak of is the site's name.
    """
    for element in tree.iter("h1"):
        text = _clean(element.text_content())
        text = text.rstrip("¶#").rstrip() if text else None
        if text and (title is None or not _is_banner(element) or text.casefold() in title.casefold()):
            return text
    return None


def _is_banner(element: HtmlElement) -> bool:
    """Whether it stands in a header or a menu of the whole page."""
    around = {ancestor.tag for ancestor in element.iterancestors()}
    return bool(around & {"header", "nav", "footer"}) and not around & {"main", "article"}


def page_language(tree: HtmlElement) -> str | None:
    """Return the page's language as its root element states it, such as `en-GB`."""
    stated = tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang") or tree.get("xml:lang")
    language = _clean(stated)
    return language.replace("_", "-")[:35] if language else None


def page_author(tree: HtmlElement) -> str | None:
    """Return who wrote the page, if it says so in its metadata. An address in place of a name is no author."""
    names = _meta(tree)
    stated = [names.get(name) for name in _AUTHOR_NAMES]
    stated += [_person(entry.get("author")) for entry in _json_ld(tree)]
    cleaned = filter(None, map(_clean, stated))
    return next((author for author in cleaned if not author.startswith(("http://", "https://", "@"))), None)


def published_at(tree: HtmlElement) -> str | None:
    """Return when the page was published, as an RFC 3339 date or date-time, if it says so. Nothing is guessed."""
    names = _meta(tree)
    stated: list[Any] = [names.get(name) for name in _DATE_NAMES]
    stated += [entry.get("datePublished") for entry in _json_ld(tree)]
    stated += [element.get("datetime") for element in tree.xpath(".//time[@pubdate or @itemprop='datePublished']")]
    return next(filter(None, map(_rfc3339, stated)), None)


def robots_rules(tree: HtmlElement, agent: str) -> list[str]:
    """Return what the page asks of all robots, and of the one with that name."""
    named = {"robots", agent.lower()}
    return [
        rule
        for element in tree.iterfind(".//meta[@name]")
        if element.get("name").strip().lower() in named
        for rule in rules_in((element.get("content") or "")[:_TEXT_MAX_CHARACTERS])
    ]


def base_url(tree: HtmlElement, url: str) -> str:
    """Return what the page's links are relative to."""
    for element in tree.iterfind(".//base[@href]"):
        return absolute(element.get("href"), url) or url
    return url


def canonical_url(tree: HtmlElement, url: str) -> str | None:
    """Return the address that the page calls its own."""
    for element in tree.iterfind(".//link[@href]"):
        if "canonical" in (element.get("rel") or "").lower().split():
            return absolute(element.get("href"), url)
    return None


def page_links(tree: HtmlElement, url: str) -> Links:
    """Return where the page links to: absolute, each once, in its order.

    Parameters
    ----------
    url
        What they are relative to.
    """
    return links_of(
        (
            (element.get("href"), "nofollow" not in (element.get("rel") or "").lower().split())
            for element in tree.iterfind(".//a[@href]")
        ),
        url,
    )


def _meta(tree: HtmlElement) -> dict[str, str]:
    named: dict[str, str] = {}
    for element in tree.iterfind(".//meta[@content]"):
        name = element.get("property") or element.get("name") or element.get("itemprop")
        if name:
            named.setdefault(name.strip().lower(), element.get("content"))
    return named


def _json_ld(tree: HtmlElement) -> Iterator[dict[str, Any]]:
    for element in tree.iterfind(".//script[@type='application/ld+json']"):
        text = element.text or ""
        if len(text) > _JSON_LD_MAX_CHARACTERS:
            continue
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        entries = parsed.get("@graph", parsed) if isinstance(parsed, dict) else parsed
        for entry in entries if isinstance(entries, list) else [entries]:
            if isinstance(entry, dict):
                yield entry


def _person(value: Any) -> str | None:
    if isinstance(value, list):
        names = [_person(entry) for entry in value[:10]]
        return ", ".join(filter(None, names)) or None
    if isinstance(value, dict):
        value = value.get("name")
    return value if isinstance(value, str) else None


def _clean(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    return " ".join(text.replace(SOFT_HYPHEN, "").split())[:_TEXT_MAX_CHARACTERS] or None


def _rfc3339(value: Any) -> str | None:
    text = _clean(value)
    if text is None:
        return None
    try:
        if len(text) <= 10:
            return date.fromisoformat(text).isoformat()
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # without an offset it is no RFC 3339 time, and which one was meant is not known
    return moment.isoformat() if moment.tzinfo is not None else moment.date().isoformat()
