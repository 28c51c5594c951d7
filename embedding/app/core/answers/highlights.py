"""Where a query's words stand in a passage: by the same forms and stems that find it."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from app.core.languages import ENGLISH
from app.core.queries import ParsedQuery
from app.core.terms import stem_term, surface_term
from app.core.words import RUN, UNSPACED_RUN, places_of, unspaced

MAX_HIGHLIGHTS: Final = 200
# of one text
_LETTER: Final = re.compile(r".[\u0300-\u036f]*", re.DOTALL)
# with its accents, where these stand alone


class Highlighter:
    """Finds the words of some queries.

    Parameters
    ----------
    languages
        Of the corpora, by which words are stemmed.
    """

    def __init__(self, queries: Iterable[ParsedQuery], languages: Sequence[str]) -> None:
        self._languages = tuple(dict.fromkeys((*languages, ENGLISH)))
        self._forms = {form for query in queries for weighted in query.terms(languages) for form in weighted.term.forms}
        self._characters = {form for form in self._forms if len(form) == 1 and unspaced(form)}
        self._known: dict[str, list[tuple[int, int]]] = {}

    def places(self, text: str) -> list[list[int]]:
        """Return where words begin and end, in the text's order, none within another."""
        found: list[list[int]] = []
        for start, end in self._matches(text):
            if found and start <= found[-1][1] and text[found[-1][1] : start] == "" and unspaced(text[start]):
                found[-1][1] = max(end, found[-1][1])  # the pairs of a word without blanks around it are one word
            elif len(found) == MAX_HIGHLIGHTS:
                break
            else:
                found.append([start, end])
        return found

    def _matches(self, text: str) -> Iterator[tuple[int, int]]:
        begin = 0
        for place, piece in enumerate(UNSPACED_RUN.split(text)):
            if place % 2 == 1:
                yield from self._unspaced(text, begin, begin + len(piece))
            else:
                for run in RUN.finditer(piece):
                    yield from ((begin + run.start() + at, begin + run.start() + to) for at, to in self._within(run[0]))
            begin += len(piece)

    def _unspaced(self, text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
        for at in range(begin, end):
            if at + 1 < end and self._asked(text[at : at + 2]):
                yield at, at + 2
            elif (at == begin and at + 1 == end and self._asked(text[at])) or _plain(text[at]) in self._characters:
                yield at, at + 1

    def _within(self, run: str) -> list[tuple[int, int]]:
        """Return where what is asked for stands in a run, as much of it as is: `asyncio.gather` is not marked by halves."""
        if (found := self._known.get(run)) is None:
            plain, spans = _spelled(run)
            chosen: list[tuple[int, int]] = []
            for begin, end, form in places_of(plain):
                if begin < end and all(end <= at or to <= begin for at, to in chosen) and self._asked(form):
                    chosen.append((begin, end))
            found = [(spans[begin][0], spans[end - 1][1]) for begin, end in sorted(chosen)]
            self._known[run] = found
        return found

    def _asked(self, word: str) -> bool:
        plain = _plain(word)
        return any(
            not self._forms.isdisjoint(term.forms) for term in (stem_term(plain, self._languages), surface_term(plain))
        )


def _plain(word: str) -> str:
    return unicodedata.normalize("NFKC", word).lower()


def _spelled(run: str) -> tuple[str, Sequence[tuple[int, int]]]:
    """Return a run as the search reads it, and where each of its letters stands in what is written."""
    if run.isascii():
        return run, [(at, at + 1) for at in range(len(run))]
    plain, spans = "", list[tuple[int, int]]()
    for letter in _LETTER.finditer(run):
        read = unicodedata.normalize("NFKC", letter[0])
        plain += read
        spans += [letter.span()] * len(read)
    return plain, spans
