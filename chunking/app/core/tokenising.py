"""The serving model's own tokenizer: where tokens start, and how many a text has."""

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer as HuggingFaceTokenizer

from app.core.cancellation import Cancellation

SEGMENT_CHARACTERS: Final = 32_768
# Some ten milliseconds. What one call of the tokenizer gets for each core that is free: between two calls a computation
# is stopped, or makes way, so this bounds how long it goes on that nobody waits for, and how long others wait


_PLAIN_SPACE: Final = " \n\r\t"
# white space to Python and to the tokenizer; of rarer kinds each has a notion of its own


class TokenizerFileError(RuntimeError):
    """The tokenizer's file is missing, is not the one that was meant, or can't be read as a tokenizer."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Where the tokens of a text start.

    Attributes
    ----------
    starts
        Offset of each token's first character, in order, special tokens left out.
    parted
        Places at which the text was parted within a word, to tokenise it in pieces.
    by_word
        Whether what stands between white space has the same tokens wherever it stands.
    """

    starts: "array[int]"
    parted: "array[int]"
    by_word: bool

    def known(self, text: str, start: int, end: int) -> int | None:
        """Return how many tokens a piece of the text has by itself, if that can be told without counting it again."""
        if not self.by_word:
            return None
        if (start and text[start - 1] not in _PLAIN_SPACE) or (end < len(text) and text[end] not in _PLAIN_SPACE):
            return None
        if bisect_left(self.parted, end) != bisect_right(self.parted, start):
            return None
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)


class Tokenizer:
    """Counts as the serving model does.

    Attributes
    ----------
    name
        A label and the file's SHA-256, as answers give it.
    special_tokens
        What the model, and the embedding service before it, add to each text; part of every count.
    """

    def __init__(self, encoder: HuggingFaceTokenizer, name: str) -> None:
        # a tokenizer.json may ship with both on, and would then count at most its own limit
        encoder.no_truncation()
        encoder.no_padding()
        self._encoder = encoder
        self.name = name
        self.special_tokens: int = encoder.num_special_tokens_to_add(False)
        self._before = 0
        self._by_word = _is_by_word(encoder)

    def put_before(self, prefix: str) -> None:
        """Count what the embedding service puts before each text."""
        self._before = len(self._encoder.encode(prefix, add_special_tokens=False))
        self.special_tokens = self._encoder.num_special_tokens_to_add(False) + self._before

    @classmethod
    def load(cls, path: Path, sha256: str, label: str) -> "Tokenizer":
        """Read a `tokenizer.json`, having checked that it is the one whose hash was given.

        Raises
        ------
        TokenizerFileError
            If it is not there, has another hash, or is no tokenizer.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TokenizerFileError(f"TOKENIZER_FILE {path} can't be read: {error.strerror}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise TokenizerFileError(f"TOKENIZER_FILE {path} has SHA-256 {found}, but TOKENIZER_SHA256 is {sha256}")
        try:
            encoder = HuggingFaceTokenizer.from_str(content.decode())
        except Exception as error:
            raise TokenizerFileError(f"TOKENIZER_FILE {path} is not a tokenizer.json: {error}") from error
        return cls(encoder, f"{label}@sha256:{found}")

    def probe(self) -> None:
        """Raise if the tokenizer doesn't count."""
        if len(self._encoder.encode("probe")) + self._before <= self.special_tokens:
            raise TokenizerFileError("the tokenizer finds no token in a word")

    def tokens(self, text: str, cancellation: Cancellation) -> Tokens:
        """Find the tokens of a text."""
        starts: array[int] = array("q")
        parted: array[int] = array("q")
        segments = _segments(text)
        while batch := list(islice(segments, cancellation.cores)):
            cancellation.check()
            # not `encode`: that one holds Python's lock while it works
            encodings = self._encoder.encode_batch([segment for _, segment in batch], add_special_tokens=False)
            for (base, _), encoding in zip(batch, encodings, strict=True):
                starts.extend([base + start for start, _ in encoding.offsets])
                if base and text[base - 1] not in _PLAIN_SPACE:
                    parted.append(base)
        return Tokens(starts, parted, self._by_word)

    def counts(self, texts: Iterable[str], cancellation: Cancellation) -> list[int]:
        """Return the real token count of each text by itself, special tokens included."""
        counts: list[int] = []
        waiting = iter(texts)
        while batch := _batch(waiting, cancellation.cores * SEGMENT_CHARACTERS):
            cancellation.check()
            counts.extend([self._before + len(encoding) for encoding in self._encoder.encode_batch_fast(batch)])
        return counts


def _is_by_word(encoder: HuggingFaceTokenizer) -> bool:
    """Whether it is BERT's: it parts a text at white space before all else, so that no word's tokens depend on others."""
    parts = (encoder.normalizer, encoder.pre_tokenizer, encoder.model)
    if tuple(type(part).__name__ for part in parts) != ("BertNormalizer", "BertPreTokenizer", "WordPiece"):
        return False
    added = encoder.get_added_tokens_decoder().values()
    return not any(
        token.lstrip or token.rstrip or token.single_word or any(map(str.isspace, token.content)) for token in added
    )


def _segments(text: str) -> Iterator[tuple[int, str]]:
    """Yield pieces of bounded length with their offsets, cut at white space where there is some."""
    start = 0
    while start < len(text):
        end = min(len(text), start + SEGMENT_CHARACTERS)
        if end < len(text):
            middle = start + SEGMENT_CHARACTERS // 2
            space = max(text.rfind("\n", middle, end), text.rfind(" ", middle, end))
            end = space + 1 if space >= 0 else end
        yield start, text[start:end]
        start = end


def _batch(texts: Iterator[str], characters: int) -> list[str]:
    """Take texts of so many characters in all, one at least if there is one."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        characters -= len(text)
        if characters <= 0:
            break
    return batch
