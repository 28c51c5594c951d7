"""Tables of contents: lists of links to places of the same page.

Judges take them for menus. To a reader they say what the text is about where they stand in it or right before it; in a bar
beside it, or in a menu, they are furniture.
"""

from collections.abc import Iterator
from typing import Final

from lxml import etree

from app.core.extraction.blocks import HEADINGS, Box
from app.core.extraction.furniture import FURNITURE_NAMES, NAVIGATION_ROLES, names

_ENTRIES_MIN: Final = 3
_ENTRIES_MAX: Final = 80
# a longer one is an index: each of its names is found where it leads to
_LINKED: Final = 0.7
# how much of it is links, at least: the rest is numbers and a heading
_WITHIN: Final = 0.8
# of its links lead into the text, at least
_PLACES: Final = etree.XPath(".//@id | .//a/@name")
_LINKS: Final = etree.XPath(".//a/@href")
_ROLES: Final = NAVIGATION_ROLES - {"navigation"}
_BARS: Final = frozenset({"aside", "footer"})


def contents_of(root: Box) -> Box | None:
    """Return the table of contents of a page's main part, if it has one within it or right before it."""
    places: set[str] | None = None
    for box in _linked(root):
        links = _LINKS(box.element)
        if not _ENTRIES_MIN <= len(links) <= _ENTRIES_MAX or not all(link.startswith("#") for link in links):
            continue
        if places is None:
            places = set(_PLACES(root.element))
        if sum(link[1:] in places for link in links) >= _WITHIN * len(links):
            return box
    return None


def _linked(root: Box) -> Iterator[Box]:
    """Return the outermost boxes that are made of links and are no bar or menu, in order."""
    around = list(root.parent.boxes) if root.parent is not None else [root]
    stack = [root, *reversed(around[: around.index(root)])]
    while stack:
        box = stack.pop()
        if box is root:
            stack += reversed(list(root.boxes))
        elif not _is_beside(box):
            if box.linked > _LINKED * box.size:
                yield box
            elif box.linked and (box.parent is not root.parent):
                stack += reversed(list(box.boxes))


def _is_beside(box: Box) -> bool:
    """Whether a box is a bar or a menu, or holds such alone."""
    inner: Box | None = box
    while inner is not None:
        element = inner.element
        if element.tag in _BARS or element.get("role") in _ROLES or FURNITURE_NAMES.search(names(element)):
            return True
        inner = next(inner.boxes, None) if len(inner.children) == 1 else None
    return False


def put_before(root: Box, contents: Box) -> None:
    """Move a table of contents that stands before the main part into it, below its heading."""
    element, first = contents.element, next(iter(root.element), None)
    place = 1 if first is not None and first.tag in HEADINGS and not (root.element.text or "").strip() else 0
    root.element.insert(place, element)
    element.tail = None
