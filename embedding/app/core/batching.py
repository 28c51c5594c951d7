"""Which texts go to the endpoint together."""

from collections.abc import Sequence


def batches(texts: Sequence[str], size: int) -> list[list[int]]:
    """Return the texts' positions in groups of at most `size`, texts of like length together.

    A server pads each text of a batch to the longest one, so batches of like lengths cost it less.
    """
    by_length = sorted(range(len(texts)), key=lambda position: len(texts[position]), reverse=True)
    return [by_length[start : start + size] for start in range(0, len(by_length), size)]
