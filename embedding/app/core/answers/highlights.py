"""Where a query's words stand in a passage: by the same stems that find it."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from app.core.languages import ENGLISH
from app.core.queries import ParsedQuery
from app.core.terms import stem_term, surface_term
from app.core.words import unspaced

MAX_HIGHLIGHTS: Final = 200
# of one text
_RUN: Final = re.compile(r"[^\W_](?:[\w.\-:/@+#]*[^\W_])?[+#]*")
_WORD: Final = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")
_HUMP: Final = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])|(?<=[A-Z])(?=[A-Z][a-z])")
_JOINTS: Final = re.compile(r"[-._/:@+#]+")


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
        for run in _RUN.finditer(text):
            whole = run.group()
            if _JOINTS.search(whole) and self._asked(_JOINTS.sub("", whole)):
                yield run.span()
                continue
            for word in _WORD.finditer(text, run.start(), run.end()):
                start = word.start()
                for _, script in groupby(word.group(), unspaced):
                    end = start + len(list(script))
                    yield from self._words(text, start, end)
                    start = end

    def _words(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        if unspaced(text[start]):
            pairs = range(start, max(end - 1, start + 1))
            yield from ((at, min(at + 2, end)) for at in pairs if self._asked(text[at : at + 2]))
        elif self._asked(text[start:end]):
            yield start, end
        else:
            ends = [*(start + hump.start() for hump in _HUMP.finditer(text[start:end])), end]
            for begin, stop in zip([start, *ends], ends, strict=False):
                if len(ends) > 1 and self._asked(text[begin:stop]):
                    yield begin, stop

    def _asked(self, word: str) -> bool:
        plain = unicodedata.normalize("NFKC", word).lower()
        return any(
            not self._forms.isdisjoint(term.forms) for term in (stem_term(plain, self._languages), surface_term(plain))
        )
