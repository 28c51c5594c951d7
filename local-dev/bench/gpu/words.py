"""Texts of made-up words, one token each, as long as our chunks are: what the encoder is given, and what it is sent."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tokenizers import Tokenizer, models, pre_tokenizers, processors

from bench.gpu.encoder import SEED

BEGIN, END, UNKNOWN, FIRST_WORD = 101, 102, 100, 1_000
# BERT's own numbers; the words come after what it keeps for itself
LETTERS: Final = "etaoinshrdlucmfwypvbgkjqxz"
QUANTILES: Final = (60, 243, 282, 365, 448, 487, 504, 508, 512)
SHARES: Final = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)
# tokens of 1,316 chunks: 158 descriptions of Python packages and this project's documentation, cut as chunking does by
# default; a page has 4 of them at the median and 18 at the ninth decile

DISTINCT_TEXTS: Final = 512


def word(token: int) -> str:
    """Return a token's word, of 3 or 4 letters."""
    letters = ""
    while token or len(letters) < 3:
        token, letter = divmod(token, len(LETTERS))
        letters += LETTERS[letter]
    return letters


def count(texts: Sequence[str]) -> list[Sequence[int]]:
    """Return as many numbers as each text has tokens, for an encoder that does not look at them."""
    return [range(text.count(" ") + 3) for text in texts]


def tokenize(known: Tokenizer, texts: Sequence[str]) -> list[Sequence[int]]:
    """Return each text's tokens. It lets go of Python's lock, and takes the cores that there are."""
    return [encoding.ids for encoding in known.encode_batch_fast(texts)]


def tokenizer(vocabulary: int) -> Tokenizer:
    """Return what turns these texts back into tokens, two special ones around them, at the speed of a real one."""
    known = {word(token): token for token in range(FIRST_WORD, vocabulary)}
    known |= {"[UNK]": UNKNOWN, "[CLS]": BEGIN, "[SEP]": END}
    made = Tokenizer(models.WordLevel(known, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.BertProcessing(("[SEP]", END), ("[CLS]", BEGIN))
    return made


@dataclass(frozen=True, slots=True)
class Text:
    """A text, and how many tokens it has, the special ones included."""

    text: str
    tokens: int


def text_of(tokens: int, source: random.Random, vocabulary: int) -> Text:
    """Return a text of so many tokens."""
    words = source.choices(range(FIRST_WORD, vocabulary), k=max(1, tokens - 2))
    return Text(" ".join(map(word, words)), len(words) + 2)


def chunk_tokens(source: random.Random, most: int = 512) -> int:
    """Draw how long a chunk is."""
    share = source.random()
    above = next(index for index, mark in enumerate(SHARES) if share <= mark or mark == 1.0) or 1
    low, high = QUANTILES[above - 1 : above + 1]
    part = (share - SHARES[above - 1]) / (SHARES[above] - SHARES[above - 1])
    return min(most, round(low + part * (high - low)))


def documents(
    count: int, chunks: int, vocabulary: int, tokens: int | None = None, seed: int = SEED
) -> list[list[Text]]:
    """Return documents of so many chunks each, some of them alike; `tokens` makes all chunks that long."""
    source = random.Random(seed)  # noqa: S311  the same texts each time
    made = [
        text_of(tokens or chunk_tokens(source), source, vocabulary) for _ in range(min(DISTINCT_TEXTS, count * chunks))
    ]
    return [source.choices(made, k=chunks) for _ in range(count)]
