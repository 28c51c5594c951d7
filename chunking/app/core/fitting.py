"""The last word on every chunk: its own count, by the tokenizer, of exactly the text that is answered.

The tokens of a piece of text need not be the piece's tokens: cut inside a word, `##ing` becomes `ing`, and a word too
long for the vocabulary becomes many tokens once it is short enough. Few chunks are affected, and those are cut again.
"""

from typing import Final

from app.core import boundaries
from app.core.cancellation import Cancellation
from app.core.errors import CharacterTooLongError
from app.core.splitting import Span
from app.core.tokenising import Tokenizer

SAFETY: Final = 0.95
# of the length that proportion would allow: most pieces then fit at once
SPANS_BETWEEN_CHECKS: Final = 1_000


def fitted(
    text: str, spans: list[Span], tokenizer: Tokenizer, max_tokens: int, cancellation: Cancellation
) -> list[tuple[int, int, int]]:
    """Return start, end and token count of each chunk, without white space around it, in the text's order.

    Raises
    ------
    CharacterTooLongError
        If one character alone is over `max_tokens`.
    """
    trimmed = [_trimmed(text, span) for span in cancellation.through(spans, every=SPANS_BETWEEN_CHECKS)]
    fitting: list[tuple[int, int, int]] = []
    waiting = [span for span in trimmed if span[0] < span[1]]
    while waiting:
        counts = tokenizer.counts((text[start:end] for start, end in waiting), cancellation)
        parts: list[Span] = []
        for (start, end), count in cancellation.through(zip(waiting, counts, strict=True), every=SPANS_BETWEEN_CHECKS):
            if count <= max_tokens:
                fitting.append((start, end, count))
                continue
            cut = _shorter(text, (start, end), max_tokens / count)
            parts += [_trimmed(text, (start, cut)), _trimmed(text, (cut, end))]
        waiting = [span for span in parts if span[0] < span[1]]
    return _without_contained(fitting)


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
