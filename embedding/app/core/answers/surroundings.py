"""What stands around passages: the chunks before and after, as one text, never cut within code."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from app.core.answers.fences import Fence, blocks, open_after
from app.core.answers.pieces import Joined, Piece, join
from app.core.storage.reading import Window, read_fences, read_windows
from app.core.storage.search import Scope

MAX_MORE: Final = 8
# chunks on either side that are shown beyond what was asked for, to the end of a code block


@dataclass(frozen=True, slots=True)
class Around:
    """A text around passages.

    Attributes
    ----------
    start, end
        Its place in the document, if that is known.
    first, last
        Its first chunk and its last.
    cut
        Whether it begins or ends in a code block that is longer than what is shown.
    """

    text: str
    start: int | None
    end: int | None
    first: int
    last: int
    cut: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """Which result of a page has the text around a passage, and the text if it is this one."""

    by: int
    around: Around | None


async def around(connection: Any, scope: Scope, hits: Sequence[tuple[UUID, int]], chunks: int) -> list[Shown]:
    """Return what is shown around each of some passages; windows that touch are one, shown by the first of them.

    Parameters
    ----------
    hits
        Documents, and the indices of chunks in them.
    chunks
        How many to show before and after each.
    """
    groups = list(_touching(hits, chunks))
    windows = [_window(hits, group, chunks) for group in groups]
    pieces = await read_windows(
        connection,
        scope,
        [replace(one, first=max(0, one.first - MAX_MORE), last=one.last + MAX_MORE) for one in windows],
    )
    shown: dict[int, Shown] = {}
    for group, window in zip(groups, windows, strict=True):
        near = [
            piece
            for piece in pieces.get(window.document_id, ())
            if window.first - MAX_MORE <= piece.index <= window.last + MAX_MORE
        ]
        fence = await _fence_before(connection, scope, window.document_id, near)
        found = {piece.index for piece in near} >= {hits[place][1] for place in group}
        text = _cut(near, window, [hits[place][1] for place in group], fence) if found else None
        shown |= {place: Shown(group[0], text if place == group[0] else None) for place in group}
    return [shown[place] for place in range(len(hits))]


def _window(hits: Sequence[tuple[UUID, int]], group: Sequence[int], chunks: int) -> Window:
    indices = [hits[place][1] for place in group]
    return Window(hits[group[0]][0], max(0, min(indices) - chunks), max(indices) + chunks)


def _touching(hits: Sequence[tuple[UUID, int]], chunks: int) -> Iterable[list[int]]:
    """Yield the places of hits whose windows overlap or adjoin, each group with its best first."""
    by_place = sorted(range(len(hits)), key=lambda place: (str(hits[place][0]), hits[place][1]))
    group: list[int] = []
    for place in by_place:
        document, index = hits[place]
        if group and (document != hits[group[-1]][0] or index - hits[group[-1]][1] > 2 * chunks + 1):
            yield sorted(group)
            group = []
        group.append(place)
    if group:
        yield sorted(group)


async def _fence_before(connection: Any, scope: Scope, document: UUID, near: Sequence[Piece]) -> Fence | None:
    """Return the code block in which the first of some chunks begins."""
    if not near or near[0].index == 0 or next(blocks(join(near).text, None), None) is None:
        # without any fence nothing begins or ends here; a block of so many chunks would be cut in any case
        return None
    first = near[0]
    earlier = await read_fences(connection, scope, document, first.index)
    known = [
        replace(piece, text=piece.text[: max(0, first.start - piece.start)]) if piece.end > first.start else piece
        for piece in earlier
    ]
    return open_after(piece.text for piece in _once(known))


def _once(pieces: Iterable[Piece]) -> Iterable[Piece]:
    """Yield chunks without what the one before has of them already."""
    reached = 0
    for piece in pieces:
        yield replace(piece, text=piece.text[max(0, reached - piece.start) :])
        reached = max(reached, piece.start + len(piece.text))


def _cut(near: Sequence[Piece], window: Window, indices: Sequence[int], fence: Fence | None) -> Around:
    joined = join(near)
    code = list(blocks(joined.text, fence))
    inside = [place for place, piece in enumerate(near) if window.first <= piece.index <= window.last]
    first, last = inside[0], inside[-1]
    while first > 0 and _within(code, joined.places[near[first].index][0]):
        first -= 1
    while last < len(near) - 1 and _within(code, joined.places[near[last].index][1]):
        last += 1
    begin, end = joined.places[near[first].index][0], joined.places[near[last].index][1]
    begin, begun = _outside(code, begin, joined.places[min(indices)], forward=True)
    end, ended = _outside(code, end, joined.places[max(indices)], forward=False)
    return _taken(joined, begin, end, near[first].index, near[last].index, cut=not (begun and ended))


def _within(code: Iterable[tuple[int, int]], place: int) -> bool:
    return any(begin < place < end for begin, end in code)


def _outside(code: Iterable[tuple[int, int]], place: int, hit: tuple[int, int], *, forward: bool) -> tuple[int, bool]:
    """Return an edge that is in no code block, and whether there is one between it and the passage."""
    for begin, end in code:
        if begin < place < end:
            if forward and end <= hit[0]:
                return end, True
            if not forward and begin >= hit[1]:
                return begin, True
            return place, False
    return place, True


def _taken(joined: Joined, begin: int, end: int, first: int, last: int, *, cut: bool) -> Around:
    text = joined.text[begin:end]
    left = text.lstrip("\n")
    begin += len(text) - len(left)
    text = left.rstrip("\n")
    start = None if joined.start is None else joined.start + begin
    return Around(text, start, None if start is None else start + len(text), first, last, cut)
