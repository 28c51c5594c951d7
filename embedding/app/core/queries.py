"""What a query asks for: its words and their weights, phrases in quotation marks, what it leaves out, and whether it is a name."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from app.core.languages import ENGLISH, FUNCTION_WORDS
from app.core.phrases import MAX_WORDS, has_words, pattern
from app.core.ranking import MEANING_BESIDE_NAME, MEANING_OF_NAME, MEANING_OF_QUESTION
from app.core.terms import Term, stem_term, surface_term
from app.core.words import UNSPACED, Name, names

MAX_COUNTED: Final = 64
# of a query, half of them its last: an error's text says what it is at its end
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

_PHRASE: Final = re.compile(
    rf"(?P<minus>(?<!\S)[-−])?"
    rf"""(?:(?<![^\W{UNSPACED}])"([^"]+)"|“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»)"""  # 5" is a measure
)
# none has its own opening mark within it, so a row of marks that nothing closes is gone through once, not once from each
_EXCLUDED: Final = re.compile(
    rf"(?<!\S)[-−]((?=[^\W\d_]{{3}}|[{UNSPACED}]{{2}}|[^\W\d_]{{2}}\w*\.[^\W\d_]{{2}})\w+(?:[./]\w+|-\w{{2,}})*"
    r"|[A-Za-z](?:\+\+|#))(?=[,;:.!?)]*(?!\S))"
)
# `--option`, `-x`, `-la` and `-1` are words
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
    phrases, excluded_phrases
        What has to stand there as it is, and what must not.
    excluded
        Words that must not be there.
    """

    meaning: str
    phrases: tuple[str, ...]
    excluded: tuple[str, ...]
    excluded_phrases: tuple[str, ...] = ()

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
        distinct: dict[str, float] = {}
        for word, weight in words:
            distinct[word] = max(weight, distinct.get(word, 0.0))
        counted = list(distinct.items())
        counted[MAX_COUNTED // 2 : max(len(counted) - MAX_COUNTED // 2, MAX_COUNTED // 2)] = []
        made: dict[Term, WeightedTerm] = {}
        for word, weight in counted:
            for term in _weighted(word, weight, told):
                if term.term not in made or made[term.term].weight < term.weight:
                    made[term.term] = term
        return list(made.values())

    def without_phrases(self) -> "ParsedQuery":
        """Return the same with its phrases as words."""
        return replace(self, phrases=())

    @property
    def required(self) -> list[Term]:
        """What a passage with its phrases has each of."""
        return _terms_of(self.phrases)

    @property
    def patterns(self) -> list[str]:
        """PostgreSQL's regular expressions of its phrases, whatever stands between their words, in capitals or not."""
        return [pattern(phrase) for phrase in self.phrases]

    @property
    def left_out_phrases(self) -> list[tuple[list[Term], str]]:
        """What a passage must not have all terms of and match: of each phrase its words, and PostgreSQL's regular expression of it."""
        found = ((_terms_of([phrase]), pattern(phrase)) for phrase in self.excluded_phrases)
        return [(terms, spelled) for terms, spelled in found if terms]

    def left_out(self, languages: Sequence[str]) -> list[list[Term]]:
        """Return what a passage must not have: all terms of any of these."""
        told = tuple(dict.fromkeys((*languages, ENGLISH)))
        found: list[list[Term]] = []
        for excluded in self.excluded:
            words = [word for name in names(excluded) for word in name.wholes[-1:] or name.parts]
            # a word without blanks is its pairs of characters, and each of these is in many others
            found += [[stem_term(word, told) for word in words]] if words else []
        return found


def parse_query(text: str) -> ParsedQuery:
    """Take a query apart. Nothing is left out of one that would have no other words."""
    quotations = [(found["minus"] is not None, _quoted(found)) for found in _PHRASE.finditer(text)]
    phrases = tuple(phrase for minus, phrase in quotations if not minus and has_words(phrase))[:MAX_PHRASES]
    without = tuple(phrase for minus, phrase in quotations if minus and has_words(phrase))[:MAX_EXCLUDED]
    outside = _PHRASE.sub(" ", text)
    excluded = tuple(_EXCLUDED.findall(outside))[:MAX_EXCLUDED]
    meaning = text
    if excluded or without:
        quoted = " ".join(phrases)
        meaning = " ".join(f"{_EXCLUDED.sub(' ', outside)} {quoted}".split())
    elif phrases:
        meaning = " ".join(re.sub(r"[\"“”„«»]", " ", text).split())
    if not _WORD_CHARACTERS.search(meaning):
        return ParsedQuery(text, phrases, ())
    return ParsedQuery(meaning, phrases, excluded, without)


def _quoted(found: re.Match[str]) -> str:
    """Return what stands between a phrase's quotation marks, without the blanks that French puts there."""
    return next(text for text in found.groups()[1:] if text is not None).strip()


def _terms_of(phrases: Iterable[str]) -> list[Term]:
    words = (word for phrase in phrases for name in names(phrase) for word in name.parts or name.wholes)
    return [surface_term(word) for word in dict.fromkeys(words)][:MAX_WORDS]


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
