"""What is text and what is furniture, run by run, in the part of a page that its judges agree on."""

import re
from itertools import takewhile
from typing import Final

from app.core.extraction.ballots import Ballot, within
from app.core.extraction.blocks import HEADINGS, Box, Run
from app.core.extraction.cleaning import NOTE_NAMES
from app.core.extraction.furniture import BESIDE, FURNITURE_NAMES, NAVIGATION_ROLES, NEVER_AMID_TEXT, names

_TEXT: Final = frozenset({"p", "blockquote", "address"})
_SENTENCE_END: Final = re.compile(r"[.!?:;…。！？：；．؟۔।॥]")
_STRUCTURE: Final = frozenset({"pre", "td", "th", "li", "dd", "dt", "summary", "caption", "figcaption"}) | HEADINGS
_LISTS: Final = frozenset({"ul", "ol", "table", "dl", "tbody", "thead", "tr", "td", "th", "li", "dd", "dt"})

_FURNITURE_SHARE: Final = 0.3
_BESIDE_SHARE: Final = 0.5
_NAVIGATION_SHARE: Final = 0.8
# a box that is called like furniture, stands beside the text, or is for navigation is left out when the judges want less of it
_SMALL_PART: Final = 0.25
# of the main part; one that is never text is left out up to this, whatever the judges want
_LINKS_SHARE: Final = 0.1
# a list of links is left out when the judges want less of it
_LINKS: Final = 0.5
# from this share of links, a run or a box is a list of links
_WRAPPERS_MAX: Final = 3
# so many boxes may stand between a list, or a cell, and what it belongs to
_SENTENCE_SIZE: Final = 40
_PARAGRAPH_SIZE: Final = 10
_NEIGHBOURHOOD_SIZE: Final = 400
# characters; what is said of a smaller box is mixed with what is said of the one around it
_LANDMARK_BONUS: Final = 0.3
_HALF_WANTED: Final = 0.4
_HALF_WANTED_LINKS: Final = 0.5
_HALF_WANTED_STRUCTURE: Final = 0.3
_AMID_TEXT: Final = 0.4
_FOLLOWS_TEXT: Final = 0.5
_MOST: Final = 0.8
# what is said of a list below text of which this much is wanted, at least
_UNWANTED: Final = 0.5
_UNWANTED_STRUCTURE: Final = 0.4
# how much of the neighbourhood has to be wanted for a run that one judge wants, or neither


class Judgement:
    """Goes through the main part and decides on every run."""

    def __init__(self, ballot: Ballot, root: Box, *, marked: bool, contents: Box | None) -> None:
        self._ballot = ballot
        self._root = root
        self._bonus = _LANDMARK_BONUS if marked else 0.0
        self._keep = [False] * len(ballot.runs)
        self._contents = contents

    def kept(self) -> list[bool]:
        """Return for every run of the page whether it is kept."""
        root = self._root
        stack = [(root, self._ballot.wanted(root) + self._bonus)]
        contents = self._contents
        if contents is not None:
            self._keep[contents.first : contents.last] = [True] * (contents.last - contents.first)
        while stack:
            box, around = stack.pop()
            if box is contents:
                continue
            if box is not root and self._is_furniture(box, around):
                continue
            own = self._ballot.wanted(box) + self._bonus
            here = (own * box.size + around * _NEIGHBOURHOOD_SIZE) / (box.size + _NEIGHBOURHOOD_SIZE)
            if _is_list(box) or _is_note(box):  # what is said of these is said of what stands around them
                here = max(here, around)
            for place, child in enumerate(box.children):
                if isinstance(child, Box):
                    stack.append((child, max(here, _FOLLOWS_TEXT) if self._follows_text(box, place) else here))
                else:
                    number = self._ballot.number[child]
                    self._keep[number] = self._is_text(number, child, here)
        if self._ballot.wants_all_but_all:
            self._trim()
        self._keep_headings()
        return self._keep

    def _trim(self) -> None:
        """Leave out what stands before the first sentence or heading of the text, or after the last one, and apart from it.

        The last lines of a letter, a poem or a list of addresses end in no full stop; they stand among its paragraphs.
        """
        runs, keep = self._ballot.runs, self._keep
        numbers = [number for number in range(self._root.first, self._root.last) if keep[number]]
        if not any(_is_sentence(runs[number]) for number in numbers):
            return
        for order in (numbers, numbers[::-1]):
            outer = list(takewhile(lambda number: not _holds_its_place(runs[number]), order))
            if not outer:
                continue
            beside = _Beside(runs[order[len(outer)]].box)
            for number in outer:
                run = runs[number]
                keep[number] = run.linked <= _LINKS * run.size and beside.holds(run.box)

    def _is_furniture(self, box: Box, around: float) -> bool:
        element, wanted = box.element, self._ballot.wanted(box)
        if element.tag == "nav" or element.get("role") in NAVIGATION_ROLES:
            return wanted < _NAVIGATION_SHARE
        called = names(element)
        if FURNITURE_NAMES.search(called) and wanted < _FURNITURE_SHARE:
            return True
        if NEVER_AMID_TEXT.search(called) and box.size < _SMALL_PART * self._root.size:
            return True
        if element.tag in BESIDE and wanted < _BESIDE_SHARE and not NOTE_NAMES.search(called):
            return True
        if box.linked <= _LINKS * box.size or box.size < _SENTENCE_SIZE or wanted > _LINKS_SHARE:
            return False
        return not (_is_list(box) and self._is_amid_text(box.first, box.last - 1, around))

    def _is_amid_text(self, first: int, last: int, around: float) -> bool:
        """Whether wanted text stands before and after it, and all around: a list of links is content there.

        Where the page says itself what its text is, nothing need stand after it.
        """
        ends = last < self._ballot.last or self._bonus > 0
        return self._ballot.first < first and ends and around > _AMID_TEXT

    def _follows_text(self, box: Box, place: int) -> bool:
        """Whether a list that is not of links stands right below wanted text: both judges miss these where there are many."""
        child = box.children[place]
        if not place or not isinstance(child, Box) or child.linked > _LINKS * child.size or not _is_list(child):
            return False
        before = box.children[place - 1]
        if isinstance(before, Run):
            return self._ballot.article[self._ballot.number[before]]
        return within(self._ballot.by_article, before) > _MOST * before.size

    def _is_text(self, number: int, run: Run, here: float) -> bool:
        if self._ballot.article[number]:
            return True
        tag = run.box.element.tag
        structure = _is_in_structure(run.box)
        mostly_links = run.linked > _LINKS * run.size
        if self._ballot.broad[number]:
            if structure and tag != "li":
                return here > _HALF_WANTED_STRUCTURE
            return here > (_HALF_WANTED_LINKS if mostly_links else _HALF_WANTED)
        if structure:
            linked_well = not mostly_links or self._is_amid_text(number, number, here)
            return here > _UNWANTED_STRUCTURE and linked_well
        return tag == "p" and here > _UNWANTED and not mostly_links

    def _keep_headings(self) -> None:
        """Keep a heading of which something follows before the next of its level."""
        below = dict.fromkeys(range(1, 7), 0)
        # characters kept since the last heading of this level, or of a higher one
        for number in range(self._root.last - 1, self._root.first - 1, -1):
            run = self._ballot.runs[number]
            level = _level(run.box)
            if not level:
                if self._keep[number]:
                    for each in below:
                        below[each] += run.size
                continue
            if below[level] and not self._is_in_furniture(run.box):
                self._keep[number] = True
            for each in range(level, 7):
                below[each] = 0

    def _is_in_furniture(self, box: Box | None) -> bool:
        while box is not None and box is not self._root:
            element = box.element
            if (
                element.tag in BESIDE
                or element.tag == "nav"
                or element.get("role") in NAVIGATION_ROLES
                or FURNITURE_NAMES.search(names(element))
            ):
                return True
            box = box.parent
        return False


class _Beside:
    """The boxes that stand beside a box of text as another paragraph does: in a box of text, or of the same kind."""

    def __init__(self, text: Box) -> None:
        self._inner: dict[Box, Box | None] = {text: None}
        # for each box around the text, what it is in there
        while text.parent is not None:
            self._inner[text.parent] = text
            text = text.parent
        self._known: dict[Box, bool] = {}

    def holds(self, box: Box) -> bool:
        """Whether a box is one of them, or within one."""
        path: list[Box] = []
        outer = box
        while outer not in self._inner and outer not in self._known and outer.parent is not None:
            path.append(outer)
            outer = outer.parent
        if outer in self._known:
            answer = self._known[outer]
        else:
            answer = not path or self._is_alike(path[-1], self._inner.get(outer))
        self._known |= dict.fromkeys(path, answer)
        return answer

    def _is_alike(self, box: Box, text: Box | None) -> bool:
        element = box.element
        if element.tag in _TEXT or text is None:
            return True
        return bool(element.tag == text.element.tag and element.get("class") == text.element.get("class"))


def _is_sentence(run: Run) -> bool:
    long_enough = run.size >= (_PARAGRAPH_SIZE if run.box.element.tag == "p" else _SENTENCE_SIZE)
    return long_enough and run.linked <= _LINKS * run.size and _SENTENCE_END.search(run.text[-3:]) is not None


def _holds_its_place(run: Run) -> bool:
    """Whether it is a sentence, or part of the page's structure."""
    if _level(run.box) or _is_sentence(run):
        return True
    around = run.box.parent
    return run.box.element.tag in _STRUCTURE or (around is not None and around.element.tag in _STRUCTURE)


def _is_list(box: Box, depth: int = 0) -> bool:
    """Whether a box is a list or a table, or holds such and their headings alone."""
    if box.element.tag in _LISTS:
        return True
    inner = [child for child in box.children if isinstance(child, Box)]
    if len(inner) < len(box.children) or depth > _WRAPPERS_MAX:
        return False
    return all(child.element.tag in HEADINGS or _is_list(child, depth + 1) for child in inner)


def _is_note(box: Box) -> bool:
    return box.element.tag == "details" or NOTE_NAMES.search(box.element.get("class") or "") is not None


def _is_in_structure(box: Box | None) -> bool:
    for _ in range(_WRAPPERS_MAX):
        if box is None:
            return False
        if box.element.tag in _STRUCTURE:
            return True
        box = box.parent
    return False


def _level(box: Box | None) -> int:
    while box is not None:
        if box.element.tag in HEADINGS:
            return int(box.element.tag[1])
        if box.element.tag in ("div", "section", "article", "body", "td", "li"):
            return 0
        box = box.parent
    return 0
