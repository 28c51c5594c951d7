"""What a verdict on a page goes by."""

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from lxml.html import HtmlElement

from app.core.extraction.shape import Block, Shape, words
from app.core.extraction.wordings import Text, Wording

SHORT_WORDS: Final = 200
# pages that stand in another's place are shorter; nothing of what follows is asked about a longer one
NOTICE_WORDS: Final = 60
# a notice's length
BARELY_WORDS: Final = 6
# a name, a mark: what is there and is nothing
ELEMENTS_MAX: Final = 3_000
SCRIPT_MAX_CHARACTERS: Final = 20_000
# so many elements of a page are looked at, so much of a script
_TITLE_PARTS: Final = re.compile(r"\s+[-|–—·•»:]+\s+|\s*[|»]\s*|:\s+")

_APP_ROOTS: Final = frozenset(
    {
        "root", "app", "__next", "__nuxt", "___gatsby", "app-root", "react-root", "main-app", "application",
        "svelte", "q-app", "mount", "ember-app",
    }
)  # fmt: skip
_APP_TAGS: Final = frozenset({"app-root", "my-app", "ember-app", "flutter-view"})


@dataclass(frozen=True)
class Facts:
    """What a verdict goes by.

    Attributes
    ----------
    tree
        The page, as it came.
    url
        Where it came from, after redirects.
    """

    tree: HtmlElement
    shape: Shape
    url: str
    title: str | None
    heading: str | None

    @cached_property
    def own(self) -> list[Block]:
        """What is neither furniture nor hidden."""
        return self.shape.own

    @cached_property
    def text(self) -> Text:
        """What the page says of its own."""
        return Text(block.text for block in self.own)

    @cached_property
    def titles(self) -> list[str]:
        """Title and heading, and the parts of them that may be the site's name or not."""
        given = [title for title in (self.title, self.heading) if title]
        return given + [part for title in given for part in _TITLE_PARTS.split(title) if part]

    @property
    def is_short(self) -> bool:
        """Whether it is as short as what stands in a page's place."""
        return self.shape.own_words <= SHORT_WORDS and self.shape.hidden_words <= SHORT_WORDS

    @property
    def says_little(self) -> bool:
        """Whether it is a notice at most."""
        return self.shape.own_words + self.shape.hidden_words <= NOTICE_WORDS

    def is_titled(self, *named: Wording) -> bool:
        """Return whether title or heading says one of these."""
        return any(wording.is_said(title) for wording in named for title in self.titles)

    def rest(self, *wording: Wording) -> int:
        """Return how many words say something else."""
        return self.text.words - self.text.says(*wording)


def is_app(tree: HtmlElement) -> bool:
    """Return whether an application is to be put into the page, and is not there yet."""
    for element in islice(tree.iter("div", "main", "section", *_APP_TAGS), ELEMENTS_MAX):
        names = f"{element.get('id', '')} {element.get('class', '')}".lower().split()
        if element.tag in _APP_TAGS or not _APP_ROOTS.isdisjoint(names):
            return not words(element.text_content()[:SCRIPT_MAX_CHARACTERS])
    return False
