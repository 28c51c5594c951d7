"""The headings above each chunk."""

from collections.abc import Sequence
from typing import Final

from app.core.cancellation import Cancellation
from app.core.structure import Structure

SPANS_BETWEEN_CHECKS: Final = 1_000


def heading_paths(
    structure: Structure, spans: Sequence[tuple[int, int]], cancellation: Cancellation
) -> list[list[str]]:
    """Return, for chunks in the text's order, the titles above each one's first own words, outermost first.

    A chunk that starts with a heading has it in its path, and those that directly follow it too: they say what the
    chunk is about.
    """
    headings = structure.headings
    paths: list[list[str]] = []
    current = -1
    for start, end in cancellation.through(spans, every=SPANS_BETWEEN_CHECKS):
        while current + 1 < len(headings) and headings[current + 1].start <= start:
            current += 1
        above = current
        if current >= 0 and start < headings[current].body:
            stack = headings[current].stack
            while above + 1 < len(headings) and headings[above + 1].stack == stack and headings[above + 1].start < end:
                above += 1
        paths.append(structure.path(above))
    return paths
