"""The last word on every chunk: its own count, by the tokenizer, of exactly the text that is answered.

The tokens of a piece of text need not be the piece's tokens: cut inside a word, `##ing` becomes `ing`, and a word too
long for the vocabulary becomes many tokens once it is short enough. Few chunks are affected, and those are cut again.
"""

from array import array
from bisect import bisect_left
from typing import Final

from app.core import boundaries
from app.core.cancellation import Cancellation
from app.core.errors import CharacterTooLongError
from app.core.splitting import Span
from app.core.tokenising import SEGMENT_CHARACTERS, Tokenizer

SAFETY: Final = 0.95
# of the length that proportion would allow: most pieces then fit at once
SPANS_BETWEEN_CHECKS: Final = 1_000
_BLANKS: Final = " \n\r\t"
# white space to Python and to the tokenizer; of rarer kinds each has a notion of its own


def fitted(
    text: str,
    spans: list[Span],
    tokenizer: Tokenizer,
    max_tokens: int,
    cancellation: Cancellation,
    *,
    starts: "array[int] | None" = None,
) -> list[tuple[int, int, int]]:
    """Return start, end and token count of each chunk, without white space around it, in the text's order.

    Parameters
    ----------
    starts
        Of the text's tokens: where they tell the count, a chunk is not counted again.

    Raises
    ------
    CharacterTooLongError
        If one character alone is over `max_tokens`.
    """
    trimmed = [_trimmed(text, span) for span in cancellation.through(spans, every=SPANS_BETWEEN_CHECKS)]
    fitting: list[tuple[int, int, int]] = []
    waiting = [span for span in trimmed if span[0] < span[1]]
    while waiting:
        counts = _counts(text, waiting, tokenizer, starts, cancellation)
        parts: list[Span] = []
        for (start, end), count in cancellation.through(zip(waiting, counts, strict=True), every=SPANS_BETWEEN_CHECKS):
            if count <= max_tokens:
                fitting.append((start, end, count))
                continue
            cut = _shorter(text, (start, end), max_tokens / count)
            parts += [_trimmed(text, (start, cut)), _trimmed(text, (cut, end))]
        waiting = [span for span in parts if span[0] < span[1]]
    return _without_contained(fitting)


def _counts(
    text: str, spans: list[Span], tokenizer: Tokenizer, starts: "array[int] | None", cancellation: Cancellation
) -> list[int]:
    """Return the exact count of each piece.

    Half of what a page costs here was counting again what had just been cut by its tokens. Only a text of one segment tells,
    since a longer one may have been parted within a word.
    """
    if starts is None or not tokenizer.parts_at_blanks or len(text) > SEGMENT_CHARACTERS:
        return tokenizer.counts((text[start:end] for start, end in spans), cancellation)
    known = [
        bisect_left(starts, end) - bisect_left(starts, start) + tokenizer.special_tokens
        if _is_between_blanks(text, start, end)
        else None
        for start, end in spans
    ]
    uncounted = [text[start:end] for (start, end), count in zip(spans, known, strict=True) if count is None]
    counted = iter(tokenizer.counts(uncounted, cancellation))
    return [next(counted) if count is None else count for count in known]


def _is_between_blanks(text: str, start: int, end: int) -> bool:
    return (start == 0 or text[start - 1] in _BLANKS) and (end == len(text) or text[end] in _BLANKS)


def _without_contained(chunks: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return the chunks in order, less those that lie within another: two that overlapped may have been cut again."""
    kept: list[tuple[int, int, int]] = []
    for chunk in sorted(chunks, key=lambda chunk: (chunk[0], -chunk[1])):
        if not kept or chunk[1] > kept[-1][1]:
            kept.append(chunk)
    return kept


def _trimmed(text: str, span: Span) -> Span:
    piece = text[span[0] : span[1]]
    start = span[0] + len(piece) - len(piece.lstrip())
    return start, max(start, span[0] + len(piece.rstrip()))


def _shorter(text: str, span: Span, share: float) -> int:
    start, end = span
    if end - start == 1:
        raise CharacterTooLongError(
            f"the character at offset {start} alone has more tokens than max_tokens allows; raise max_tokens"
        )
    most = start + max(1, int((end - start) * share * SAFETY))
    word = boundaries.last_word(text, start + (most - start) // 2, most)
    if start < word < end:
        return word
    return boundaries.whole_characters(text, most, start)
