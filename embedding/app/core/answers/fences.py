"""Where a Markdown text has fenced code, also one whose beginning is not known."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_FENCE: Final = re.compile(r"^[ \t]*(?:(?:[-*+>]|\d+[.)])[ \t]*)*+(?P<mark>`{3,}|~{3,})(?P<rest>[^\n]*)$", re.MULTILINE)
# softer than CommonMark, since a chunk says nothing of the list or quotation that it is in


@dataclass(frozen=True, slots=True)
class Fence:
    """An open code block's mark."""

    mark: str

    def closed_by(self, mark: str, rest: str) -> bool:
        """Whether a line of such a mark ends it."""
        return mark[0] == self.mark[0] and len(mark) >= len(self.mark) and not rest.strip()


def open_after(texts: Iterable[str]) -> Fence | None:
    """Return the code block that is open after these texts, which follow one another."""
    fence: Fence | None = None
    for text in texts:
        for found in _FENCE.finditer(text):
            fence = _next(fence, found["mark"], found["rest"])
    return fence


def blocks(text: str, fence: Fence | None) -> Iterator[tuple[int, int]]:
    """Return where code blocks begin and end, fences included: one that began before the text at -1, one that goes on beyond its end.

    Parameters
    ----------
    fence
        Of the block in which the text begins.
    """
    begin = -1
    for found in _FENCE.finditer(text):
        was, fence = fence, _next(fence, found["mark"], found["rest"])
        if was is None and fence is not None:
            begin = found.start()
        elif was is not None and fence is None:
            yield begin, found.end()
    if fence is not None:
        yield begin, len(text) + 1


def _next(fence: Fence | None, mark: str, rest: str) -> Fence | None:
    if fence is not None:
        return None if fence.closed_by(mark, rest) else fence
    return None if mark[0] == "`" and "`" in rest else Fence(mark)
