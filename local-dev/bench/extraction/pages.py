"""What is measured: a page as a server would send it, and apart from it the truth about its text."""

import copy
import hashlib
from dataclasses import dataclass
from enum import StrEnum

from lxml.html import HtmlElement, HTMLParser, document_fromstring

KEEP, DROP = "data-keep", "data-drop"
# the marks of our own pages: on a block of the text, and on a block of furniture
FURNITURE = (
    ".//script | .//style | .//noscript | .//template | .//svg | .//nav | .//button | .//iframe | .//form"
    " | .//*[@hidden or @aria-hidden='true']"
    " | .//a[contains(concat(' ', @class, ' '), ' headerlink ') or contains(concat(' ', @class, ' '), ' anchor ')"
    " or contains(concat(' ', @class, ' '), ' hash-link ')]"
)


class Half(StrEnum):
    """What may be looked at while something is tuned, and what judges it."""

    TUNING = "tuning"
    JUDGING = "judging"

    @classmethod
    def of(cls, name: str) -> "Half":
        """Return a page's half: it goes by its name alone, so that it stays whatever else is measured."""
        return cls.TUNING if hashlib.sha256(name.encode()).digest()[0] % 2 else cls.JUDGING


@dataclass(frozen=True)
class Page:
    """A page and where its truth is.

    Parameters
    ----------
    name
        `corpus/…`, which decides its half.
    body
        What extractors get.
    expected
        Where the truth is: a page of its own, or this one with its marks.
    main
        XPaths of the truth's elements in `expected`.
    without
        XPath of what is no text of the page, though it stands in them.
    levels
        Whether the truth's headings have the levels that the page gave them.
    """

    name: str
    body: bytes
    expected: bytes
    main: tuple[str, ...]
    without: str = FURNITURE
    levels: bool = True

    @property
    def half(self) -> Half:
        """Whether it may be looked at."""
        return Half.of(self.name)

    @property
    def group(self) -> str:
        """The corpus, and for documentation the package."""
        return self.name.rsplit("/", 1)[0] if self.name.count("/") == 1 else "/".join(self.name.split("/")[:2])

    def truth(self) -> list[HtmlElement]:
        """Return the truth's elements in the order of the page, without their furniture."""
        found: list[HtmlElement] = parsed(self.expected).xpath(" | ".join(self.main))
        outermost = [element for element in found if not any(above in found for above in element.iterancestors())]
        return [self._cleared(element) for element in outermost]

    def furniture(self) -> list[HtmlElement]:
        """Return the blocks that are marked as furniture; most corpora have no marks."""
        return list(parsed(self.expected).xpath(f"//*[@{DROP}]"))

    def _cleared(self, element: HtmlElement) -> HtmlElement:
        part = copy.deepcopy(element)
        part.tail = None
        for inner in part.xpath(self.without):
            if inner.getparent() is not None:
                inner.drop_tree()
        return part


def parsed(body: bytes) -> HtmlElement:
    """Return a page's tree: of the charset that it names, else UTF-8."""
    try:
        text: str | bytes = body.decode()
    except UnicodeDecodeError:
        text = body
    if isinstance(text, str):
        return document_fromstring(
            text.encode(), parser=HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
        )
    return document_fromstring(text, parser=HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True))
