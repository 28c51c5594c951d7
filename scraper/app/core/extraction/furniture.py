"""What boxes are called that are none of a page's text: menus, shares, comments, advertisements."""

import re
from typing import Final

from lxml.html import HtmlElement

from app.core.extraction.blocks import HEADINGS

FURNITURE_NAMES: Final = re.compile(
    r"(?:^|[-_ ])(?:related|recommend\w*|share|sharing|shares|social|comments?|disqus|newsletter|subscribe|sign-?up|advert\w*"
    r"|ads?|promo\w*|sponsor\w*|cookie\w*|consent|breadcrumbs?|sidebar|widgets?|pagination|pager|popular|trending"
    r"|more-?(?:stories|from)|nav\w*|menu|footer|banner|toolbar|byline|author-?(?:bio|box|info)|skip\w*|teaser\w*|rail"
    r"|outbrain|taboola|print-?only)(?:[-_ ]|$)",
    re.IGNORECASE,
)
NEVER_AMID_TEXT: Final = re.compile(
    r"(?:^|[-_ ])(?:related-?(?:posts?|articles?|stories|content|links)|share-?(?:buttons?|bar|links?|tools)?|sharing|sharedaddy|social"
    r"|comments?(?:-?(?:area|list|section|form))?|disqus\w*|respond|newsletter|subscribe|sign-?up|advert\w*|promo|sponsor\w*"
    r"|cookie\w*|consent|outbrain|taboola|trending|no-?print|jump-?(?:link|to))(?:[-_ ]|$)",
    re.IGNORECASE,
)
# what is called that is none of the text even where a judge takes it for text, as long as it is a small part of it
NAVIGATION_ROLES: Final = frozenset({"navigation", "search", "contentinfo", "banner", "menu", "menubar", "toolbar"})
BESIDE: Final = frozenset({"aside", "footer", "form"})
# often furniture, and sometimes a note, a signature, or the whole page
_PARTS: Final = re.compile(r"[^\W_]+")


def names(element: HtmlElement) -> str:
    """Return what a box is called. An id of many words is made from a heading, and says what the text is about."""
    identity = element.get("id") or ""
    if len(_PARTS.findall(identity)) > 2 or element.tag in HEADINGS or _begins_with_heading(element):
        identity = ""
    return f"{element.get('class') or ''} {identity}"


def _begins_with_heading(element: HtmlElement) -> bool:
    first = next(element.iterchildren(), None)
    if first is None or first.tag not in HEADINGS:
        return False
    identity = _PARTS.findall((element.get("id") or "").lower())
    return _PARTS.findall(first.text_content().lower())[: len(identity)] == identity
