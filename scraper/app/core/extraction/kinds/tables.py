"""CSV and its kind: one table, whose first line is its header; before it may stand what parts the cells, for Excel."""

import csv
import re
from collections import Counter
from typing import Final

from app.core.errors import ExtractionError
from app.core.extraction.charset import decode
from app.core.extraction.kinds import TSV, Source
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

_SEPARATORS: Final = (",", ";", "\t", "|")
_SAID: Final = re.compile(r'\A"?sep=([^\w"\r\n])"?[,;\t|]*(?:\r\n?|\n|\Z)', re.IGNORECASE)
# in quotes, or with the commas of empty cells, where a program wrote it as a row
_SAMPLE_LINES: Final = 50
_FIELD_MAX_CHARACTERS: Final = 1_000_000


def read(body: bytes, source: Source) -> Extract:
    """Return a table."""
    text = decode(body, source.charset, markup=False)
    csv.field_size_limit(_FIELD_MAX_CHARACTERS)
    said = _SAID.match(text)
    if said is not None:
        text, separator = text[said.end() :], said[1]
    else:
        separator = "\t" if source.media_type == TSV else _separator(text)
    writer = Writer()
    try:
        writer.table(csv.reader(text.splitlines(keepends=True), delimiter=separator))
    except csv.Error as error:
        raise ExtractionError(f"the table cannot be read: {error}") from error
    return writer.finished(source)


def _separator(text: str) -> str:
    """Return what lines are parted by: what most of the first lines have equally often, and the most of."""
    lines = [line for line in text[:262_144].splitlines()[:_SAMPLE_LINES] if line.strip()]
    ranked = []
    for separator in _SEPARATORS:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if len(row) > 1)
        width, often = widths.most_common(1)[0] if widths else (0, 0)
        ranked.append((often * 2 >= len(lines), often, width, separator))
    best = max(ranked, key=lambda one: one[:3])
    return best[3] if best[1] else ","
