"""The headings above each chunk."""

from collections.abc import Iterable, Iterator

from app.core.structure import Structure


def heading_paths(structure: Structure, spans: Iterable[tuple[int, int, int]]) -> Iterator[list[str]]:
    """Yield, for chunks in the text's order, the titles above each one's first own words, outermost first.

    A chunk that starts with a heading has it in its path, and those that directly follow it too: they say what the
    chunk is about.
    """
    headings = structure.headings
    current = -1
    for start, end, _ in spans:
        while current + 1 < len(headings) and headings[current + 1].start <= start:
            current += 1
        above = current
        if current >= 0 and start < headings[current].body:
            stack = headings[current].stack
            while above + 1 < len(headings) and headings[above + 1].stack == stack and headings[above + 1].start < end:
                above += 1
        yield structure.path(above)
