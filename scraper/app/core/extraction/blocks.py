"""A page as its readers see it: boxes within boxes, and runs of text in them.

A run is what stands between two edges of boxes, inline markup included. It is the smallest thing that can be kept or left
out; a box is whatever holds runs and other boxes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml.html import HtmlElement

INLINE: Final = frozenset(
    [
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "br",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "img",
        "input",
        "ins",
        "kbd",
        "label",
        "mark",
        "math",
        "nobr",
        "q",
        "rb",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
    ]
)
HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_SPACE: Final = re.compile(r"\s+")


@dataclass(slots=True, eq=False)
class Run:
    """One run of text.

    Attributes
    ----------
    box
        The box that it stands in.
    holder, in_tail
        Where its first characters are: in the text of this element, or in its tail.
    size
        Characters, without blanks.
    linked
        How many of them are links.
    text
        The run itself, blanks folded.
    """

    box: "Box"
    holder: HtmlElement
    in_tail: bool
    size: int = 0
    linked: int = 0
    parts: list[str] = field(default_factory=list)
    pieces: list[tuple[HtmlElement, bool]] = field(default_factory=list)
    votes: float = 0.0

    @property
    def text(self) -> str:
        """The run itself, blanks folded."""
        return " ".join("".join(self.parts).split())


@dataclass(slots=True, eq=False)
class Box:
    """An element that is a block, or holds one.

    Attributes
    ----------
    size, linked, votes
        Of all runs within it, at any depth: characters, those of links, and those that judges want kept (weighed).
    """

    element: HtmlElement
    parent: "Box | None"
    children: "list[Run | Box]" = field(default_factory=list)
    size: int = 0
    linked: int = 0
    votes: float = 0.0
    first: int = 0
    last: int = 0
    # its runs are these of the page's, in order

    @property
    def boxes(self) -> "Iterator[Box]":
        """The boxes right within it."""
        return (child for child in self.children if isinstance(child, Box))


@dataclass(slots=True)
class Layout:
    """A page's boxes and runs."""

    root: Box
    runs: list[Run]


def lay_out(body: HtmlElement) -> Layout:
    """Find a page's boxes and runs, in one walk."""
    return _Walk().walk(body)


class _Walk:
    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.run: Run | None = None
        self.links = 0
        self.breaks = 0

    def walk(self, body: HtmlElement) -> Layout:
        blocks = _holders_of_blocks(body)
        root = Box(body, None)
        stack: list[tuple[HtmlElement, Box, Iterator[HtmlElement], bool]] = []
        self._text(root, body, body.text, in_tail=False)
        stack.append((body, root, iter(body), True))
        while stack:
            element, box, children, is_box = stack[-1]
            child = next(children, None)
            if child is None:
                stack.pop()
                if is_box:
                    self.run = None
                    box.last = len(self.runs)
                    if not stack:
                        break
                    parent = stack[-1][1]
                    parent.size += box.size
                    parent.linked += box.linked
                    if box.size:
                        parent.children.append(box)
                    self._text(parent, element, element.tail, in_tail=True)
                else:
                    if element.tag == "a":
                        self.links -= 1
                    self._text(box, element, element.tail, in_tail=True)
                continue
            tag = child.tag
            if not isinstance(tag, str):
                self._text(box, child, child.tail, in_tail=True)
                continue
            if tag in INLINE and child not in blocks:
                if tag == "br":
                    self.breaks += 1
                    if self.breaks >= 2:
                        self.run = None
                elif tag == "a":
                    self.links += 1
                stack.append((child, box, iter(child), False))
                self._text(box, child, child.text, in_tail=False)
                continue
            self.run = None
            inner = Box(child, box, first=len(self.runs))
            stack.append((child, inner, iter(child), True))
            self._text(inner, child, child.text, in_tail=False)
        root.last = len(self.runs)
        return Layout(root, self.runs)

    def _text(self, box: Box, holder: HtmlElement, text: str | None, *, in_tail: bool) -> None:
        if not text:
            return
        size = len(text) - sum(map(len, _SPACE.findall(text)))
        if not size:
            if self.run is not None:
                self.run.parts.append(text)
            return
        self.breaks = 0
        run = self.run
        if run is None or run.box is not box:
            run = self.run = Run(box, holder, in_tail)
            self.runs.append(run)
            box.children.append(run)
        run.parts.append(text)
        run.pieces.append((holder, in_tail))
        run.size += size
        box.size += size
        if self.links:
            run.linked += size
            box.linked += size


def _holders_of_blocks(body: HtmlElement) -> set[HtmlElement]:
    """Return the inline elements with a block inside, which are boxes then."""
    found: set[HtmlElement] = set()
    for element in body.iter(*INLINE):
        if len(element) == 0:
            continue
        for inner in element.iterdescendants():
            if isinstance(inner.tag, str) and inner.tag not in INLINE:
                found.add(element)
                break
    return found
