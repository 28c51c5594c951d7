"""The serving model's own tokenizer, where its file is here: cuts a query that is too long, and reads token ids.

Documents' texts are never cut, and counting them is chunking's. The file is that of the chunking service.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final, Self

from tokenizers import Tokenizer

from app.config import Settings
from app.core.errors import TokenIdsError

MAX_TRIES: Final = 16
# to find the cut; a word that is cut in two may have more tokens than it had
COUNTED_AT_ONCE: Final = 64


class TokenizerFileError(RuntimeError):
    """The tokenizer's file is missing, is not the one that was meant, or can't be read as a tokenizer."""


class ModelTokenizer:
    """Counts as the serving model does."""

    def __init__(self, encoder: Tokenizer) -> None:
        # a tokenizer.json may ship with both on, and would then count at most its own limit
        encoder.no_truncation()
        encoder.no_padding()
        self._encoder = encoder
        self._special: int = encoder.num_special_tokens_to_add(False)
        self._words: int = encoder.get_vocab_size(with_added_tokens=True)
        self._specials = frozenset(
            number for number, token in encoder.get_added_tokens_decoder().items() if token.special
        )

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Read the file that the settings name, having checked that it is the one; `None` if they name none.

        Raises
        ------
        TokenizerFileError
            If it is not there, has another hash, or is no tokenizer.
        """
        path = settings.TOKENIZER_FILE
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TokenizerFileError(f"TOKENIZER_FILE {path} can't be read: {error.strerror}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != settings.TOKENIZER_SHA256:
            raise TokenizerFileError(
                f"TOKENIZER_FILE {path} has SHA-256 {found}, but TOKENIZER_SHA256 is {settings.TOKENIZER_SHA256!r}"
            )
        try:
            return cls(Tokenizer.from_str(content.decode()))
        except Exception as error:
            raise TokenizerFileError(f"TOKENIZER_FILE {path} is not a tokenizer.json: {error}") from error

    def count(self, text: str) -> int:
        """Return how many tokens a text has, the model's special ones included."""
        return len(self._encoder.encode_batch_fast([text])[0])

    def cut(self, text: str, most: int) -> str:
        """Return a text's beginning of at most so many tokens, special ones included; between words where that is near."""
        encoding = self._encoder.encode(text, add_special_tokens=False)
        room = max(1, most - self._special)
        if len(encoding) <= room:
            return text
        end: int = encoding.offsets[room - 1][1]
        for _ in range(MAX_TRIES):
            kept = text[: _word_end(text, end)].rstrip() or text[:end]
            if self.count(kept) <= most:
                return kept
            end = max(1, len(kept) - max(1, len(kept) // 16))
        return text[:1]

    async def first_too_long(self, texts: Sequence[str], most: int) -> tuple[int, int] | None:
        """Return the first text of more than so many tokens, and how many it has."""
        for start in range(0, len(texts), COUNTED_AT_ONCE):
            batch = list(texts[start : start + COUNTED_AT_ONCE])
            encodings = await asyncio.to_thread(self._encoder.encode_batch_fast, batch)
            for place, encoding in enumerate(encodings, start):
                if len(encoding) > most:
                    return place, len(encoding)
        return None

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text that this tokenizer writes as these ids.

        Raises
        ------
        TokenIdsError
            If it writes none so: then they are another's, and would be read as something else.
        """
        beyond = next((number for number in ids if not 0 <= number < self._words), None)
        if beyond is not None:
            raise TokenIdsError(f"the token id {beyond} is not one of this model's {self._words}")
        bare = self._bare(ids)
        text: str = self._encoder.decode(bare, skip_special_tokens=False)
        if not text or self._bare(self._encoder.encode(text, add_special_tokens=False).ids) != bare:
            raise TokenIdsError("the token ids are not as this model's tokenizer writes any text")
        return text

    def _bare(self, ids: Sequence[int]) -> list[int]:
        """Return ids without the special ones around them."""
        first, last = 0, len(ids)
        while first < last and ids[first] in self._specials:
            first += 1
        while last > first and ids[last - 1] in self._specials:
            last -= 1
        return list(ids[first:last])


def _word_end(text: str, end: int) -> int:
    """Return where the last whole word before a place ends, if it is not far."""
    if end >= len(text) or text[end].isspace():
        return end
    blank = max(text.rfind(" ", 0, end), text.rfind("\n", 0, end))
    return blank if blank > end // 2 else end
