"""What the text index has of a passage: its words, as numbers.

A term is a word's stem, or the word as it stands; its number is a hash of it and of the corpus, so that a corpus' own passages are all
that is read for a word, and its count is the word's rarity there. How often a passage says a term is told by further numbers, one for
each step of `FREQUENCIES` that it reaches: the index alone then gives all that BM25 wants. A share of the passages carries their terms
once more under the numbers of a sample, so that common words are counted by reading few.

Raise `VERSION` with every change of what is counted: rows of an older version are then rewritten in the background.
"""

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from app.core.languages import language_of
from app.core.words import folded, names, stems

VERSION: Final = 1

FREQUENCIES: Final = (1, 2, 3, 5, 9)
# of a term in a passage; BM25 hardly tells what lies between them apart
TITLE_WEIGHT: Final = 0.5
HEADING_WEIGHT: Final = 1.0
# what being said there adds to a term's frequency
SAMPLES: Final = (16, 256)
# one passage in so many
MAX_ELEMENTS: Final = 8_192
# a passage of 64 Ki characters has that many; what is rarer in it than the rest is kept

_STEM, _SURFACE = b"\0", b"\1"
_MASK: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class PassageTerms:
    """A passage's terms, as numbers, and how many words it has."""

    length: int
    numbers: list[int]


@dataclass(frozen=True, slots=True)
class Term:
    """A term by its forms, any of which will do: a word's stems in several languages are one."""

    forms: frozenset[bytes]

    def numbers(self, corpora: Iterable[bytes], step: int = 0) -> list[int]:
        """Return its numbers in these corpora, for passages that reach a step of `FREQUENCIES`."""
        return [_number(corpus, form) ^ _STEPS[step] for corpus in corpora for form in self.forms]

    def sampled(self, corpora: Iterable[bytes], sample: int) -> list[int]:
        """Return its numbers in a sample of these corpora's passages."""
        return [number ^ _SAMPLES[sample] for number in self.numbers(corpora)]


def _constant(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") & _MASK


_STEPS: Final = (0, *(_constant(f"at least {least}") for least in FREQUENCIES[1:]))
_SAMPLES: Final = {size: _constant(f"one in {size}") for size in SAMPLES}


def stem_term(word: str, languages: Iterable[str]) -> Term:
    """Return the term of a word's stems."""
    return Term(frozenset(_STEM + form.encode() for language in languages for form in stems(word, language)))


def surface_term(word: str) -> Term:
    """Return the term of a word as it stands."""
    return Term(frozenset({_SURFACE + folded(word).encode()}))


@lru_cache(maxsize=4_096)
def corpus_key(owner: str, corpus: str) -> bytes:
    """Return what makes a term's number its corpus' own."""
    return hashlib.blake2b(f"{owner}/{corpus}".encode(), digest_size=16).digest()


@lru_cache(maxsize=262_144)
def _number(corpus: bytes, form: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(form, digest_size=8, key=corpus).digest(), "big") & _MASK


def _forms(text: str, language: str) -> tuple[dict[bytes, int], int]:
    counts: Counter[bytes] = Counter()
    length = 0
    for name in names(text):
        length += max(1, len(name.parts))
        for word in (*name.wholes, *name.parts):
            counts.update(_STEM + form.encode() for form in stems(word, language))
            counts[_SURFACE + folded(word).encode()] += 1
    return counts, length


@lru_cache(maxsize=1_024)
def _forms_around(text: str, language: str) -> frozenset[bytes]:
    return frozenset(_forms(text, language)[0])


def passage_terms(
    corpus: bytes, *, text: str, title: str | None, headings: Sequence[str], language: str, text_hash: bytes
) -> PassageTerms:
    """Return the terms of a passage with its page's title and the headings above it.

    Parameters
    ----------
    corpus
        Its key.
    text_hash
        Of the text: decides whether the passage is in a sample.
    """
    said, length = _forms(text, language)
    weights: dict[bytes, float] = dict(said)
    for around, weight in ((title or "", TITLE_WEIGHT), (" ".join(headings), HEADING_WEIGHT)):
        for form in _forms_around(around, language):
            weights[form] = weights.get(form, 0.0) + weight
    samples = [_SAMPLES[size] for size in SAMPLES if text_hash[0] % size == 0]
    numbers = []
    for form, weight in weights.items():
        number = _number(corpus, form)
        numbers.append(number)
        numbers += [number ^ step for step in _STEPS[1 : bisect_right(FREQUENCIES, weight + 0.5)]]
        numbers += [number ^ sample for sample in samples]
    return PassageTerms(length, numbers[:MAX_ELEMENTS])


def terms_digest(title: str | None, headings: Sequence[str], language: str) -> int:
    """Return what tells apart what the terms of one and the same text are made of."""
    said = "\0".join((str(VERSION), language, title or "", *headings))
    return int.from_bytes(hashlib.blake2b(said.encode(), digest_size=8).digest(), "big") & _MASK


class Passage(Protocol):
    """A chunk, stored or to be."""

    @property
    def text(self) -> str:
        """What it says."""

    @property
    def text_hash(self) -> bytes:
        """What tells its text apart."""

    @property
    def heading_path(self) -> Sequence[str]:
        """The headings above it."""


@dataclass(frozen=True, slots=True)
class DocumentTerms:
    """Makes the terms of a document's passages.

    Parameters
    ----------
    corpus
        The key of the document's corpus.
    language
        By which its words are stemmed.
    """

    corpus: bytes
    title: str | None
    language: str

    @classmethod
    def of(
        cls, owner: str, corpus: str, *, title: str | None, tag: str | None, texts: Iterable[str]
    ) -> "DocumentTerms":
        """Return what makes the terms of a document that says this of itself."""
        return cls(corpus_key(owner, corpus), title, language_of(tag, texts))

    def made(self, passage: Passage) -> PassageTerms:
        """Return a passage's terms."""
        return passage_terms(
            self.corpus,
            text=passage.text,
            title=self.title,
            headings=passage.heading_path,
            language=self.language,
            text_hash=passage.text_hash,
        )

    def digest(self, headings: Sequence[str]) -> int:
        """Return what tells whether a passage that stands under these headings still has the terms that it had."""
        return terms_digest(self.title, headings, self.language)
