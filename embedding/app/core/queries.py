"""What a query asks for: its words and their weights, phrases in quotation marks, what it leaves out, and whether it is a name."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from app.core.languages import ENGLISH, FUNCTION_WORDS
from app.core.ranking import MEANING_BESIDE_NAME, MEANING_OF_NAME, MEANING_OF_QUESTION
from app.core.terms import Term, stem_term, surface_term
from app.core.words import MAX_RUN_CHARACTERS, Name, names, unspaced

MAX_WORDS: Final = 24
MAX_PHRASES: Final = 8
MAX_EXCLUDED: Final = 8
SURFACE_SHARE: Final = 0.4
# of a word's weight: for a passage that has it as it was typed, not in another form
PART_WEIGHT: Final = 0.6
# of a word that is only part of a name, such as `gather` in `asyncio.gather`
CODE_WEIGHT: Final = 1.5
# of a name that no sentence has by itself
MAX_NAME_WORDS: Final = 2
# without a function word, so few are a name that is looked up, not a question

_PHRASE: Final = re.compile(r'"([^"]+)"|“([^”]+)”|„([^“”]+)[“”]|«\s*([^»]+?)\s*»')
_EXCLUDED: Final = re.compile(r"(?<!\S)[-−](?=[^\W\d_]{3})(\w[\w.]*)(?!\S)")
# `--option`, `-x`, `-la` and `-1` are words
_BETWEEN: Final = "[^[:alnum:]]+"
_BEGIN, _END = "(^|[^[:alnum:]_])", "($|[^[:alnum:]_])"
_WORD_CHARACTERS: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class WeightedTerm:
    """A term that a query has, and how much of the query it is.

    Parameters
    ----------
    optional
        Whether it counts for nothing where no passage has it: one is not to blame for saying `fox` where `foxes` were asked for.
    """

    term: Term
    weight: float
    optional: bool


@dataclass(frozen=True)
class ParsedQuery:
    """A query, taken apart.

    Parameters
    ----------
    meaning
        What a vector is made of: all but what is left out.
    asked
        The same, without quotation marks.
    """

    meaning: str
    phrases: tuple[str, ...]
    excluded: tuple[str, ...]

    @cached_property
    def _names(self) -> list[Name]:
        return list(names(self.meaning))

    @property
    def meaning_share(self) -> float:
        """What nearness counts beside words: less where there is a name, a code or a phrase in quotation marks to be looked up."""
        words = [word for name in self._names for word in name.parts or name.wholes]
        asks = len(self._names) > MAX_NAME_WORDS or any(_is_function_word(word, FUNCTION_WORDS) for word in words)
        if self.phrases or not asks:
            return MEANING_OF_NAME
        return MEANING_BESIDE_NAME if any(name.code for name in self._names) else MEANING_OF_QUESTION

    def terms(self, languages: Sequence[str]) -> list[WeightedTerm]:
        """Return its terms for passages in these languages; function words only where it has nothing else."""
        told = dict.fromkeys((*languages, ENGLISH))
        words = [
            (word, (CODE_WEIGHT if name.code else 1.0) * (PART_WEIGHT if name.wholes and place else 1.0))
            for name in self._names
            for place, group in enumerate((name.wholes, name.parts))
            for word in group
        ]
        words = [(word, weight) for word, weight in words if not _is_function_word(word, told)] or words
        made: dict[Term, WeightedTerm] = {}
        for word, weight in words[:MAX_WORDS]:
            for term in _weighted(word, weight, told):
                if term.term not in made or made[term.term].weight < term.weight:
                    made[term.term] = term
        return list(made.values())

    @property
    def required(self) -> list[Term]:
        """What a passage with its phrases has each of."""
        words = (word for phrase in self.phrases for name in names(phrase) for word in name.parts or name.wholes)
        return [surface_term(word) for word in dict.fromkeys(words)][:MAX_WORDS]

    @property
    def patterns(self) -> list[str]:
        """PostgreSQL's regular expressions of its phrases, whatever stands between their words, in capitals or not."""
        return [_pattern(phrase) for phrase in self.phrases]

    def left_out(self, languages: Sequence[str]) -> list[Term]:
        """Return what a passage must not have."""
        return [
            stem_term(word, dict.fromkeys((*languages, ENGLISH)))
            for excluded in self.excluded
            for name in names(excluded)
            for word in name.wholes[-1:] or name.parts
        ]


def parse_query(text: str) -> ParsedQuery:
    """Take a query apart. Nothing is left out of one that would have no other words."""
    phrases = tuple(
        phrase
        for found in _PHRASE.finditer(text)
        if _WORD_CHARACTERS.search(phrase := next(filter(None, found.groups())))
    )[:MAX_PHRASES]
    outside = _PHRASE.sub(" ", text)
    excluded = tuple(_EXCLUDED.findall(outside))[:MAX_EXCLUDED]
    meaning = text
    if excluded:
        quoted = " ".join(phrases)
        meaning = " ".join(f"{_EXCLUDED.sub(' ', outside)} {quoted}".split())
    elif phrases:
        meaning = " ".join(re.sub(r"[\"“”„«»]", " ", text).split())
    if not _WORD_CHARACTERS.search(meaning):
        return ParsedQuery(text, phrases, ())
    return ParsedQuery(meaning, phrases, excluded)


def _weighted(word: str, weight: float, languages: Iterable[str]) -> list[WeightedTerm]:
    stem, surface = stem_term(word, languages), surface_term(word)
    if stem == surface:
        return [WeightedTerm(stem, weight, optional=False)]
    return [
        WeightedTerm(surface, weight * SURFACE_SHARE, optional=True),
        WeightedTerm(stem, weight * (1 - SURFACE_SHARE), optional=False),
    ]


def _is_function_word(word: str, languages: Iterable[str]) -> bool:
    return any(word in FUNCTION_WORDS.get(language, ()) for language in languages)


def _pattern(phrase: str) -> str:
    words = [word[:MAX_RUN_CHARACTERS] for word in _WORD_CHARACTERS.findall(phrase)[:MAX_WORDS]]
    # Character by character: a database that sorts by bytes knows no small letters beyond ASCII
    spelled = (
        "".join(f"[{''.join(sorted({letter, letter.lower()[:1], letter.upper()[:1]}))}]" for letter in word)
        for word in words
    )
    before, after = ("" if unspaced(word) else edge for word, edge in ((words[0], _BEGIN), (words[-1], _END)))
    return f"{before}{_BETWEEN.join(spelled)}{after}"
