"""Made-up corpora: who owns how much, texts whose words are as unevenly spread as a language's, and vectors in clusters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DIMENSIONS: Final = 1024
OWNERS: Final = 20
CORPORA: Final = 50
LARGE_SHARE, SMALL_SHARE, SMALL_OWNERS = 0.6, 0.01, 5
"""One owner has 60 %, five have 1 % each, and the others have alike of the rest."""
LARGE_OWNERS_CORPORA: Final = CORPORA - 2 * (OWNERS - 1)
CLUSTERS, CLUSTER_DIMENSIONS = 500, 64
"""Vectors of texts lie near a surface of fewer dimensions than they have, in clusters."""
SPREAD, NOISE = 0.7, 0.3
WORDS: Final = 30_000
CHUNK_WORDS: Final = 60
DOCUMENT_CHUNKS: Final = 64
GROUPS: Final = 10
"""Values of a document's metadata key, each had by as many documents."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """A corpus, and how many documents it has."""

    owner: str
    corpus: str
    documents: int


@dataclass(frozen=True)
class MadeDocument:
    """A document's texts and their vectors."""

    url: str
    group: int
    texts: list[str]
    vectors: Vectors


def owner_of(number: int) -> str:
    """Return an owner's name, as long as real ones are; 0 is the large one, 1 to 5 are the small ones."""
    return f"key:{number:064x}"


def parts(chunks: int) -> list[Part]:
    """Return the corpora of all owners."""
    rest = (1 - LARGE_SHARE - SMALL_OWNERS * SMALL_SHARE) / (OWNERS - 1 - SMALL_OWNERS)
    made = []
    for number in range(OWNERS):
        share = LARGE_SHARE if number == 0 else SMALL_SHARE if number <= SMALL_OWNERS else rest
        corpora = LARGE_OWNERS_CORPORA if number == 0 else 2
        each = max(1, round(chunks * share / corpora / DOCUMENT_CHUNKS))
        made += [Part(owner_of(number), f"corpus-{place}", each) for place in range(corpora)]
    return made


class Maker:
    """Makes texts and vectors, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._centres = self._random.standard_normal((CLUSTERS, CLUSTER_DIMENSIONS)).astype(np.float32)
        projection = self._random.standard_normal((CLUSTER_DIMENSIONS, DIMENSIONS)).astype(np.float32)
        self._projection = projection / np.sqrt(CLUSTER_DIMENSIONS)
        letters = np.array(list("bcdfghklmnprstvw")), np.array(list("aeiou"))
        self.words = [self._word(number, *letters) for number in range(WORDS)]
        frequency = 1 / np.arange(1, WORDS + 1)
        self._frequency = np.cumsum(frequency / frequency.sum())

    @staticmethod
    def _word(number: int, consonants: NDArray[np.str_], vowels: NDArray[np.str_]) -> str:
        syllables = []
        number += 100
        while number:
            number, syllable = divmod(number, len(consonants) * len(vowels))
            syllables.append(consonants[syllable // len(vowels)] + vowels[syllable % len(vowels)])
        return "".join(syllables) + "x"

    def vectors(self, count: int) -> Vectors:
        """Return vectors of length one."""
        centres = self._centres[self._random.integers(0, CLUSTERS, count)]
        near = centres + SPREAD * self._random.standard_normal(centres.shape).astype(np.float32)
        made = near @ self._projection
        made += NOISE * self._random.standard_normal(made.shape).astype(np.float32)
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)

    def texts(self, count: int, words: int = CHUNK_WORDS) -> list[str]:
        """Return texts of so many words each."""
        chosen = np.searchsorted(self._frequency, self._random.random((count, words))).clip(max=WORDS - 1)
        return [" ".join(self.words[word] for word in row) for row in chosen]

    def document(self, part: Part, number: int) -> MadeDocument:
        """Return a corpus' document."""
        url = f"https://{part.corpus}.example/{number}"
        return MadeDocument(url, number % GROUPS, self.texts(DOCUMENT_CHUNKS), self.vectors(DOCUMENT_CHUNKS))

    def documents(self, part: Part) -> Iterator[MadeDocument]:
        """Return all documents of a corpus."""
        return (self.document(part, number) for number in range(part.documents))

    def changed(self, document: MadeDocument, chunks: int) -> MadeDocument:
        """Return another version of a document, some of its chunks new."""
        places = self._random.choice(len(document.texts), chunks, replace=False)
        texts, vectors = list(document.texts), document.vectors.copy()
        for place, text, vector in zip(places, self.texts(chunks), self.vectors(chunks), strict=True):
            texts[place], vectors[place] = text, vector
        return MadeDocument(document.url, document.group, texts, vectors)

    def queries(self, count: int) -> tuple[list[str], Vectors]:
        """Return queries of three words, one of them common, and their vectors."""
        common = [self.words[word] for word in self._random.integers(0, 50, count)]
        return [f"{text} {word}" for text, word in zip(self.texts(count, 2), common, strict=True)], self.vectors(count)

    def common_words(self, count: int, words: int = 6) -> list[str]:
        """Return queries of nothing but the commonest words."""
        return [
            " ".join(self.words[word] for word in self._random.choice(20, words, replace=False)) for _ in range(count)
        ]
