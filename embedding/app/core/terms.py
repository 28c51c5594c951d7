"""What the text index has of a passage: its words, as numbers.

A term is a word's stem, or the word as it stands where that is another. Its number is made of it and of the corpus, so that a corpus' own
passages are all that is read for a word, and their count is the word's rarity there. How often a passage says a term is told by further
numbers, one for each step of `FREQUENCIES` that it reaches: the index alone then gives all that BM25 wants. A share of the passages
carries its terms once more under the numbers of a sample, so that common words are counted by reading few.

Raise `VERSION` with every change of what is counted: rows of an older version are then rewritten in the background.
"""

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from app.core.languages import language_of
from app.core.words import characters, folded, names_of, runs, stems

VERSION: Final = 2

FREQUENCIES: Final = (1, 2, 3, 5, 9)
# of a term in a passage; BM25 hardly tells what lies between them apart
TITLE_WEIGHT: Final = 0.5
HEADING_WEIGHT: Final = 1.0
# what being said there adds to a term's frequency
SAMPLES: Final = (16, 256)
# one passage in so many
MAX_NUMBERS: Final = 8_192
# a passage of 64 Ki characters may have more
KEPT_IN_LINE, OUT_OF_LINE = 64, 250
# PostgreSQL moves an array out of a row of more than 2 kB. One that would stay is filled up with what it has already,
# which no index sees: a row without it is a twentieth, and a search passes thousands of rows

_FORM_BITS: Final = 39
_KIND_BITS: Final = 4
_SAMPLE_KINDS: Final = {size: 15 - place for place, size in enumerate(SAMPLES)}
# a number's last bits: a step of `FREQUENCIES`, or a sample. So all of a word's stand beside each other in the index


class CorpusKey(NamedTuple):
    """What makes a term's number its corpus' own."""

    prefix: int
    salt: int

    @property
    def base(self) -> int:
        """What a form's bits are laid over."""
        return self.prefix | self.salt << _KIND_BITS


@dataclass(frozen=True, slots=True)
class PassageTerms:
    """A passage's terms, as numbers, and how many words it has."""

    length: int
    numbers: list[int]


@dataclass(frozen=True, slots=True)
class Term:
    """A term by its forms, any of which will do: a word's stems in several languages are one."""

    forms: frozenset[str]

    def numbers(self, corpora: Iterable[CorpusKey], step: int = 0) -> list[int]:
        """Return its numbers in these corpora, for passages that reach a step of `FREQUENCIES`."""
        return [_number(corpus, form_hash(form)) | step for corpus in corpora for form in self.forms]

    def sampled(self, corpora: Iterable[CorpusKey], sample: int) -> list[int]:
        """Return its numbers in a sample of these corpora's passages."""
        return self.numbers(corpora, _SAMPLE_KINDS[sample])


def stem_term(word: str, languages: Iterable[str]) -> Term:
    """Return the term of a word's stems."""
    return Term(frozenset(form for language in languages for form in stems(word, language)))


def surface_term(word: str) -> Term:
    """Return the term of a word as it stands."""
    return Term(frozenset({folded(word)}))


@lru_cache(maxsize=4_096)
def corpus_key(owner: str, corpus: str) -> CorpusKey:
    """Return the key of an owner's corpus."""
    made = _hash(f"{owner}/{corpus}")
    return CorpusKey(made >> 44 << (_FORM_BITS + _KIND_BITS), made & ((1 << _FORM_BITS) - 1))


@lru_cache(maxsize=262_144)
def form_hash(form: str) -> int:
    """Return the part of a number that tells forms apart."""
    return _hash(form) & ((1 << _FORM_BITS) - 1)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _number(corpus: CorpusKey, form: int) -> int:
    return corpus.base ^ form << _KIND_BITS


class _Forms(NamedTuple):
    """What a run counts as: the hashes of its stems, one for each time, of its words as they stand, and its words."""

    stems: tuple[int, ...]
    surfaces: tuple[int, ...]
    words: int


@lru_cache(maxsize=131_072)
def _forms(run: str, language: str) -> _Forms:
    stemmed: list[int] = []
    surfaces: list[int] = []
    words = 0
    for name in names_of(run):
        words += max(1, len(name.parts))
        for word in (*name.wholes, *name.parts, *name.beside):
            forms = stems(word, language)
            stemmed += map(form_hash, forms)
            if (surface := folded(word)) not in forms:
                surfaces.append(form_hash(surface))
    return _Forms(tuple(stemmed), tuple(surfaces), words)


@lru_cache(maxsize=1_024)
def _around(text: str, language: str) -> frozenset[int]:
    """Return the hashes of what a title or a heading says."""
    said = [_forms(run, language) for run in (*runs(text), *characters(text))]
    return frozenset(form for forms in said for form in (*forms.stems, *forms.surfaces))


def passage_terms(
    corpus: CorpusKey, *, text: str, title: str | None, headings: Sequence[str], language: str, text_hash: bytes
) -> PassageTerms:
    """Return the terms of a passage with its page's title and the headings above it.

    Parameters
    ----------
    text_hash
        Of the text: decides whether the passage is in a sample.
    """
    weights: dict[int, float] = {}
    said = weights.get
    surfaces: list[int] = []
    length = 0
    for run, count in Counter(runs(text)).items():
        stemmed, standing, words = _forms(run, language)
        length += count * words
        surfaces += standing
        for form in stemmed:
            weights[form] = said(form, 0.0) + count
    for character, count in Counter(characters(text)).items():  # its pairs are what its length counts
        for form in _forms(character, language).stems:
            weights[form] = said(form, 0.0) + count
    for around, weight in ((title or "", TITLE_WEIGHT), (" ".join(headings), HEADING_WEIGHT)):
        for form in _around(around, language):
            weights[form] = said(form, 0.0) + weight
    for form in surfaces:
        if form not in weights:
            weights[form] = 1.0
    base = corpus.base  # of a chunk's hundreds of numbers each is one step
    numbers = [base ^ form << _KIND_BITS for form in weights]
    for form, weight in weights.items():
        if weight >= 1.5:  # the half is what rounds to the second step
            number = base ^ form << _KIND_BITS
            numbers += [number | step for step in range(1, bisect_right(FREQUENCIES, weight + 0.5))]
    for size in SAMPLES:
        if text_hash[0] % size == 0:
            sample = _SAMPLE_KINDS[size]
            numbers += [base ^ form << _KIND_BITS | sample for form in weights]
    if KEPT_IN_LINE < len(numbers) < OUT_OF_LINE:
        numbers += numbers[:1] * (OUT_OF_LINE - len(numbers))
    return PassageTerms(length, numbers[:MAX_NUMBERS])


def terms_digest(title: str | None, headings: Sequence[str], language: str) -> int:
    """Return what tells apart what the terms of one and the same text are made of."""
    return _hash("\0".join((str(VERSION), language, title or "", *headings)))


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

    corpus: CorpusKey
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
