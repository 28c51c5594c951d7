"""What the judges of a page said, and the part of it that they agree on."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from lxml import etree
from lxml.html import HtmlElement

from app.core.extraction.blocks import HEADINGS, Box, Run

_WHOLE: Final = HEADINGS | frozenset(
    ("p", "li", "ul", "ol", "table", "dl", "pre", "blockquote", "tr", "tbody", "thead", "tfoot", "dd", "dt", "figure")
)
# no main part is looked for inside these
_LANDMARKS: Final = etree.XPath(".//*[self::main or @role='main']")
_MAIN_SHARE: Final = 0.93
# of what both judges want, in the main part
_CLIMB_SHARE: Final = 0.3
# what stands around it belongs to it too if both judges want this much of that
_ALL_BUT_ALL: Final = 0.8
# from this share of a page on, a judge that looks for an article has not found one


class Ballot:
    """What both judges said, summed up so that any stretch of runs is asked about in no time."""

    def __init__(self, runs: Sequence[Run], article: Sequence[bool], broad: Sequence[bool]) -> None:
        self.runs = runs
        self.article, self.broad = article, broad
        self.number = {run: number for number, run in enumerate(runs)}
        self.by_article = _sums(runs, article)
        self.by_broad = _sums(runs, broad)
        both = [one and other for one, other in zip(article, broad, strict=True)]
        self.by_both = _sums(runs, both)
        half = max(self.by_article[-1], self.by_broad[-1])
        if self.by_both[-1] < half / 4:  # they talk of different pages: the one that wants more is right more often
            both = list(article if self.by_article[-1] >= self.by_broad[-1] else broad)
            self.by_both = _sums(runs, both)
        self.wants_all_but_all = self.by_article[-1] > _ALL_BUT_ALL * sum(run.size for run in runs)
        wanted = [number for number, given in enumerate(both) if given]
        self.first, self.last = (wanted[0], wanted[-1]) if wanted else (len(runs), -1)

    def wanted(self, box: Box) -> float:
        """How much of a box the judges want, 0 to 1, each with half a voice."""
        both = within(self.by_article, box) + within(self.by_broad, box)
        return both / (2 * max(box.size, 1))


def _sums(runs: Sequence[Run], given: Sequence[bool]) -> list[int]:
    return [0, *accumulate(run.size if voted else 0 for run, voted in zip(runs, given, strict=True))]


def within(sums: Sequence[int], box: Box) -> int:
    """Return how much of what was summed up is in a box."""
    return sums[box.last] - sums[box.first]


def main_part(root: Box, ballot: Ballot) -> Box:
    """Return the smallest box with nearly all that both judges want, or one around it with much more of that."""
    total = within(ballot.by_both, root)
    while total:
        best = max(root.boxes, key=lambda box: within(ballot.by_both, box), default=None)
        if best is None or best.element.tag in _WHOLE or within(ballot.by_both, best) < _MAIN_SHARE * total:
            break
        root = best
    found = box = root
    while box.parent is not None:
        rest = box.parent.size - box.size
        if within(ballot.by_both, box.parent) - within(ballot.by_both, box) > _CLIMB_SHARE * rest and rest:
            found = box.parent
        box = box.parent
    return found


def landmark_around(box: Box | None, body: HtmlElement) -> Box | None:
    """Return the innermost box around this one that the page itself calls its main part."""
    found = _LANDMARKS(body)
    kinds = ([one for one in found if one.tag == "main"], [one for one in found if one.get("role") == "main"])
    marked = {kind[0] for kind in kinds if len(kind) == 1}  # several articles are a list of articles
    while box is not None and box.element not in marked:
        box = box.parent
    return box
