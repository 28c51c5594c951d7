"""Which nodes of a page's own tree are its text.

Two judges vote on every run of text (`judges`): one takes what looks like an article, the other what does not look like
furniture. The smallest subtree that holds nearly all that both want is the page's main part; within it a run is kept when
both want it, and when they differ, or both missed it, by what stands around it: how much of that is wanted, whether it is
a heading of something kept, whether it is made of links, what its box is called. What is left out is taken out of the
tree, which keeps its structure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from lxml.html import HtmlElement

from app.core.extraction import judges
from app.core.extraction.blocks import HEADINGS, Box, Run, lay_out
from app.core.extraction.cleaning import NOTE_NAMES

_FURNITURE_NAMES: Final = re.compile(
    r"(?:^|[-_ ])(?:related|recommend\w*|share|sharing|shares|social|comments?|disqus|newsletter|subscribe|sign-?up|advert\w*"
    r"|ads?|promo\w*|sponsor\w*|cookie\w*|consent|breadcrumbs?|sidebar|widgets?|pagination|pager|popular|trending"
    r"|more-?(?:stories|from)|nav\w*|menu|footer|banner|toolbar|byline|author-?(?:bio|box|info)|skip\w*|teaser\w*|rail"
    r"|outbrain|taboola|print-?only)(?:[-_ ]|$)",
    re.IGNORECASE,
)
_NEVER_AMID_TEXT: Final = re.compile(
    r"(?:^|[-_ ])(?:related-?(?:posts?|articles?|stories|content|links)|share-?(?:buttons?|bar|links?|tools)?|sharing|sharedaddy|social"
    r"|comments?(?:-?(?:area|list|section|form))?|disqus\w*|respond|newsletter|subscribe|sign-?up|advert\w*|promo|sponsor\w*"
    r"|cookie\w*|consent|outbrain|taboola|trending|no-?print|jump-?(?:link|to))(?:[-_ ]|$)",
    re.IGNORECASE,
)
# what is called that is none of the text even where a judge takes it for text, as long as it is a small part of it
_SENTENCE_END: Final = re.compile(r"[.!?:;…。！？：；．؟۔।॥]")
_PARTS: Final = re.compile(r"[^\W_]+")
_NAVIGATION_ROLES: Final = frozenset({"navigation", "search", "contentinfo", "banner", "menu", "menubar", "toolbar"})
_BESIDE: Final = frozenset({"aside", "footer", "form"})
# often furniture, and sometimes a note, a signature, or the whole page
_WHOLE: Final = HEADINGS | frozenset(
    ("p", "li", "ul", "ol", "table", "dl", "pre", "blockquote", "tr", "tbody", "thead", "tfoot", "dd", "dt", "figure")
)
# no main part is looked for inside these
_STRUCTURE: Final = frozenset({"pre", "td", "th", "li", "dd", "dt", "summary", "caption", "figcaption"}) | HEADINGS
_LISTS: Final = frozenset({"ul", "ol", "table", "dl", "tbody", "thead", "tr", "td", "th", "li", "dd", "dt"})

_MAIN_SHARE: Final = 0.93
# of what both judges want, in the main part
_CLIMB_SHARE: Final = 0.3
# what stands around it belongs to it too if both judges want this much of that
_FURNITURE_SHARE: Final = 0.3
_BESIDE_SHARE: Final = 0.5
_SMALL_PART: Final = 0.25
_LINKS_SHARE: Final = 0.1
# a list of links is left out when the judges want less of it
_ALL_BUT_ALL: Final = 0.8
# from this share of a page on, a judge that looks for an article has not found one
# a box that is called like furniture, or stands beside the text, is left out when the judges want less of it
_NAVIGATION_SHARE: Final = 0.8
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
_UNWANTED: Final = 0.5
_UNWANTED_STRUCTURE: Final = 0.4
# how much of the neighbourhood has to be wanted for a run that one judge wants, or neither


@dataclass(frozen=True)
class Selection:
    """The part of a page that is its text; nothing else is left in it.

    Attributes
    ----------
    method
        `vote` of two judges, `one_judge` where the other wanted nothing, `everything` where neither wanted anything.
    kept_share
        How much of the page's visible text it holds, 0 to 1.
    """

    part: HtmlElement
    method: str
    kept_share: float


def select(tree: HtmlElement, body: HtmlElement) -> Selection:
    """Find the text of a cleaned page, and take everything else out of its main part."""
    layout = lay_out(body)
    votes = judges.ask(tree, layout.runs)
    voters = [given for given in (votes.article, votes.broad) if any(given)]
    method = ("everything", "one_judge", "vote")[len(voters)]
    voters = (voters or [[True] * len(layout.runs)]) * 2
    ballot = _Ballot(layout.runs, voters[0], voters[1])
    root = _main_part(layout.root, ballot)
    landmark = _landmark(root, body)
    judgement = _Judgement(ballot, landmark or root, marked=landmark is not None)
    root = landmark or root
    keep = judgement.kept()
    kept_size = sum(run.size for run, kept in zip(layout.runs, keep, strict=True) if kept)
    _prune(root, keep, ballot)
    return Selection(root.element, method, round(kept_size / max(layout.root.size, 1), 3))


class _Ballot:
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
        both = _within(self.by_article, box) + _within(self.by_broad, box)
        return both / (2 * max(box.size, 1))


def _sums(runs: Sequence[Run], given: Sequence[bool]) -> list[int]:
    return [0, *accumulate(run.size if voted else 0 for run, voted in zip(runs, given, strict=True))]


def _within(sums: Sequence[int], box: Box) -> int:
    return sums[box.last] - sums[box.first]


def _main_part(root: Box, ballot: _Ballot) -> Box:
    total = _within(ballot.by_both, root)
    while total:
        best = max(root.boxes, key=lambda box: _within(ballot.by_both, box), default=None)
        if best is None or best.element.tag in _WHOLE or _within(ballot.by_both, best) < _MAIN_SHARE * total:
            break
        root = best
    found = box = root
    while box.parent is not None:
        rest = box.parent.size - box.size
        if _within(ballot.by_both, box.parent) - _within(ballot.by_both, box) > _CLIMB_SHARE * rest and rest:
            found = box.parent
        box = box.parent
    return found


def _landmark(box: Box | None, body: HtmlElement) -> Box | None:
    """Return the innermost box around this one that the page itself calls its main part."""
    marked = set()
    for path in (".//main", ".//*[@role='main']"):
        found = body.findall(path)
        if len(found) == 1:  # several articles are a list of articles
            marked.add(found[0])
    while box is not None and box.element not in marked:
        box = box.parent
    return box


def _names(element: HtmlElement) -> str:
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


class _Judgement:
    """Goes through the main part and decides on every run."""

    def __init__(self, ballot: _Ballot, root: Box, *, marked: bool) -> None:
        self._ballot = ballot
        self._root = root
        self._bonus = _LANDMARK_BONUS if marked else 0.0
        self._keep = [False] * len(ballot.runs)

    def kept(self) -> list[bool]:
        """Return for every run of the page whether it is kept."""
        root = self._root
        stack = [(root, self._ballot.wanted(root) + self._bonus)]
        while stack:
            box, around = stack.pop()
            if box is not root and self._is_furniture(box, around):
                continue
            own = self._ballot.wanted(box) + self._bonus
            here = (own * box.size + around * _NEIGHBOURHOOD_SIZE) / (box.size + _NEIGHBOURHOOD_SIZE)
            if _is_list(box) or _is_note(box):  # what is said of these is said of what stands around them
                here = max(here, around)
            for child in box.children:
                if isinstance(child, Box):
                    stack.append((child, here))
                else:
                    number = self._ballot.number[child]
                    self._keep[number] = self._is_text(number, child, here)
        if self._ballot.wants_all_but_all:
            self._trim()
        self._keep_headings()
        return self._keep

    def _trim(self) -> None:
        """Leave out what stands before the first sentence or heading of the text, or after the last one, and is neither."""
        runs, keep = self._ballot.runs, self._keep
        numbers = [number for number in range(self._root.first, self._root.last) if keep[number]]
        if not any(_is_sentence(runs[number]) for number in numbers):
            return
        for order in (numbers, numbers[::-1]):
            for number in order:
                if _holds_its_place(runs[number]):
                    break
                keep[number] = False

    def _is_furniture(self, box: Box, around: float) -> bool:
        element, wanted = box.element, self._ballot.wanted(box)
        if element.tag == "nav" or element.get("role") in _NAVIGATION_ROLES:
            return wanted < _NAVIGATION_SHARE
        names = _names(element)
        if _FURNITURE_NAMES.search(names) and wanted < _FURNITURE_SHARE:
            return True
        if _NEVER_AMID_TEXT.search(names) and box.size < _SMALL_PART * self._root.size:
            return True
        if element.tag in _BESIDE and wanted < _BESIDE_SHARE and not NOTE_NAMES.search(names):
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
                element.tag in _BESIDE
                or element.tag == "nav"
                or element.get("role") in _NAVIGATION_ROLES
                or _FURNITURE_NAMES.search(_names(element))
            ):
                return True
            box = box.parent
        return False


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


def _prune(root: Box, keep: Sequence[bool], ballot: _Ballot) -> None:
    kept = [0, *accumulate(1 if one else 0 for one in keep)]
    stack = [root]
    while stack:
        box = stack.pop()
        for child in box.children:
            if isinstance(child, Run):
                if not keep[ballot.number[child]]:
                    _erase(child)
            elif kept[child.last] - kept[child.first]:
                stack.append(child)
            elif child.element.tag in ("td", "th"):  # its column stays
                tail = child.element.tail
                child.element.clear()
                child.element.tail = tail
            else:
                child.element.drop_tree()


def _erase(run: Run) -> None:
    for holder, in_tail in run.pieces:
        if in_tail:
            holder.tail = " "
        else:
            holder.text = " "
