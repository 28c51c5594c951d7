"""What stands above a chunk and says what it is about: headings, and the header of the table that it goes on with."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from app.core.structure import Block, Structure
from ml_shared.contracts.chunking import PageStart

HEADER_MAX_CHARACTERS: Final = 2_000
# a longer one is repeated with no chunk: a table of very many columns would double the text


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


def with_pages(
    paths: Iterator[list[str]], spans: Iterable[tuple[int, int, int]], pages: Sequence[PageStart]
) -> Iterator[list[str]]:
    """Yield, for chunks in the text's order, their paths, which end with the page that each chunk begins on."""
    starts = sorted((page.start, page.number) for page in pages)
    current = -1
    for path, (start, _, _) in zip(paths, spans, strict=True):
        while current + 1 < len(starts) and starts[current + 1][0] <= start:
            current += 1
        yield [*path, f"Page {starts[current][1]}"] if current >= 0 else path


def table_headers(text: str, structure: Structure, spans: Iterable[tuple[int, int, int]]) -> Iterator[str | None]:
    """Yield, for chunks in the text's order, the header of the table that each one begins within, if it has not got it."""
    tables = iter([block for block in structure.blocks if block.header_end])
    table: Block | None = next(tables, None)
    for start, _, _ in spans:
        while table is not None and table.end <= start:
            table = next(tables, None)
        if table is None or start < table.header_end or table.header_end - table.start > HEADER_MAX_CHARACTERS:
            yield None
        else:
            yield text[table.start : table.header_end].rstrip()
