"""Which nodes of a page's own tree are its text.

Two judges vote on every run of text (`judges`): one takes what looks like an article, the other what does not look like
furniture. The smallest subtree that holds nearly all that both want is the page's main part; within it a run is kept when
both want it, and when they differ, or both missed it, by what stands around it: how much of that is wanted, whether it is
a heading of something kept, whether it is made of links, what its box is called. What is left out is taken out of the
tree, which keeps its structure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from lxml.html import HtmlElement

from app.core.extraction import judges
from app.core.extraction.ballots import Ballot, landmark_around, main_part
from app.core.extraction.blocks import Box, Run, lay_out
from app.core.extraction.contents import contents_of, put_before
from app.core.extraction.judgement import Judgement


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
    ballot = Ballot(layout.runs, voters[0], voters[1])
    root = main_part(layout.root, ballot)
    landmark = landmark_around(root, body)
    root = landmark or root
    contents = contents_of(root)
    keep = Judgement(ballot, root, marked=landmark is not None, contents=contents).kept()
    kept_size = sum(run.size for run, kept in zip(layout.runs, keep, strict=True) if kept)
    _prune(root, keep, ballot)
    if contents is not None and contents.parent is root.parent:
        put_before(root, contents)
    return Selection(root.element, method, round(kept_size / max(layout.root.size, 1), 3))


def _prune(root: Box, keep: Sequence[bool], ballot: Ballot) -> None:
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
