"""The serving model's own tokenizer: where tokens start, and how many a text has."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer as HuggingFaceTokenizer

from app.core.cancellation import Cancellation

SEGMENT_CHARACTERS: Final = 32_768
# Some ten milliseconds. What one call of the tokenizer gets for each core that is free: between two calls a computation
# is stopped, or makes way, so this bounds how long it goes on that nobody waits for, and how long others wait


class TokenizerFileError(RuntimeError):
    """The tokenizer's file is missing, is not the one that was meant, or can't be read as a tokenizer."""


class Tokenizer:
    """Counts as the serving model does.

    Attributes
    ----------
    name
        A label and the file's SHA-256, as answers give it.
    special_tokens
        What the model adds to each text; part of every count.
    """

    def __init__(self, encoder: HuggingFaceTokenizer, name: str) -> None:
        # a tokenizer.json may ship with both on, and would then count at most its own limit
        encoder.no_truncation()
        encoder.no_padding()
        self._encoder = encoder
        self.name = name
        self.special_tokens: int = encoder.num_special_tokens_to_add(False)

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
        if len(self._encoder.encode("probe")) <= self.special_tokens:
            raise TokenizerFileError("the tokenizer finds no token in a word")

    def token_starts(self, text: str, cancellation: Cancellation) -> "array[int]":
        """Return the offset of each token's first character in a text, in order, special tokens left out."""
        starts: array[int] = array("q")
        segments = _segments(text)
        while batch := list(islice(segments, cancellation.cores)):
            cancellation.check()
            # not `encode`: that one holds Python's lock while it works
            encodings = self._encoder.encode_batch([segment for _, segment in batch], add_special_tokens=False)
            for (base, _), encoding in zip(batch, encodings, strict=True):
                starts.extend([base + start for start, _ in encoding.offsets])
        return starts

    def counts(self, texts: Iterable[str], cancellation: Cancellation) -> list[int]:
        """Return the real token count of each text by itself, special tokens included."""
        counts: list[int] = []
        waiting = iter(texts)
        while batch := _batch(waiting, cancellation.cores * SEGMENT_CHARACTERS):
            cancellation.check()
            counts.extend([len(encoding) for encoding in self._encoder.encode_batch_fast(batch)])
        return counts


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
