"""Which texts go to the endpoint together."""

from collections.abc import Sequence
from typing import Final

BYTES_A_TOKEN: Final = 3
# in a text whose tokens nobody counted: 4 to 5 in English, 3 where a character is a token, 2 in scripts cut to letters


def estimated_tokens(texts: Sequence[str]) -> list[int]:
    """Return about how many tokens texts have, from their bytes."""
    return [1 + len(text.encode()) // BYTES_A_TOKEN for text in texts]


def batches(token_counts: Sequence[int], most_texts: int, most_tokens: int) -> list[list[int]]:
    """Return the texts' positions in groups, texts of like length together, the longest first.

    A server computes texts of like length fastest, most of all one that pads each to the longest; and the last call,
    for which nothing is left to be computed beside it, is the shortest.

    Parameters
    ----------
    most_texts
        In one group.
    most_tokens
        In one group, each text counted as its longest. A text of more is a group by itself.
    """
    by_length = sorted(range(len(token_counts)), key=token_counts.__getitem__, reverse=True)
    groups = []
    start = 0
    while start < len(by_length):
        longest = max(1, token_counts[by_length[start]])
        size = max(1, min(most_texts, most_tokens // longest))
        groups.append(by_length[start : start + size])
        start += size
    return groups
