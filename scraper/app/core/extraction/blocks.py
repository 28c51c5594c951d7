"""A page as its readers see it: boxes within boxes, and runs of text in them.

A run is what stands between two edges of boxes, inline markup included. It is the smallest thing that can be kept or left
out; a box is whatever holds runs and other boxes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree
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
BREAKS_OF_A_PARAGRAPH: Final = 2


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
    pieces
        Every place that a part of it is in, as `holder` and `in_tail` say.
    """

    box: "Box"
    holder: HtmlElement
    in_tail: bool
    size: int = 0
    linked: int = 0
    parts: list[str] = field(default_factory=list)
    pieces: list[tuple[HtmlElement, bool]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The run itself, blanks folded."""
        return " ".join("".join(self.parts).split())


@dataclass(slots=True, eq=False)
class Box:
    """An element that is a block, or holds one.

    Attributes
    ----------
    children
        The runs and boxes right within it, in order; a box without text is none.
    size, linked
        Characters of all runs within it, at any depth, and those that are links.
    first, last
        Its runs are these of the page's: from the first up to, and without, the last.
    """

    element: HtmlElement
    parent: "Box | None"
    children: "list[Run | Box]" = field(default_factory=list)
    size: int = 0
    linked: int = 0
    first: int = 0
    last: int = 0

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
    root = Box(body, None)
    walk = _Walk()
    walk.text(root, body, body.text, in_tail=False)
    inner = _holders_of_blocks(body)
    box = root
    events = etree.iterwalk(body, events=("start", "end"))
    next(events)  # the page itself
    for event, element in events:
        is_box = element.tag not in INLINE or element in inner
        if event == "start":
            if is_box:
                box = Box(element, box, first=len(walk.runs))
            walk.enter(element, box, is_box=is_box)
            continue
        if element is body:
            break
        if is_box and box.parent is not None:
            box = walk.leave(box, box.parent)
        if element.tag == "a":
            walk.links -= 1
        if element.tail:
            walk.text(box, element, element.tail, in_tail=True)
    root.last = len(walk.runs)
    return Layout(root, walk.runs)


class _Walk:
    """One walk through a page, and what it is in the midst of: a run, links, breaks that follow each other."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.run: Run | None = None
        self.links = 0
        self.breaks = 0

    def enter(self, element: HtmlElement, box: Box, *, is_box: bool) -> None:
        if is_box:
            self.run = None
        elif element.tag == "br":
            self.breaks += 1
            if self.breaks >= BREAKS_OF_A_PARAGRAPH:
                self.run = None
        if element.tag == "a":
            self.links += 1
        if element.text:
            self.text(box, element, element.text, in_tail=False)

    def leave(self, box: Box, around: Box) -> Box:
        """End a box, and return the one around it."""
        self.run = None
        box.last = len(self.runs)
        around.size += box.size
        around.linked += box.linked
        if box.size:
            around.children.append(box)
        return around

    def text(self, box: Box, holder: HtmlElement, text: str | None, *, in_tail: bool) -> None:
        if not text:
            return
        run = self.run
        if text.isspace():
            if run is not None:
                run.parts.append(text)
            return
        size = sum(map(len, text.split()))
        self.breaks = 0
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
    for element in body.iter():
        if element.tag in INLINE or not isinstance(element.tag, str):
            continue
        around = element.getparent()
        while around is not None and around.tag in INLINE and around not in found:
            found.add(around)
            around = around.getparent()
    return found
