"""The last word on every chunk: its own count, by the tokenizer, of exactly the text that is answered.

The tokens of a piece of text need not be the piece's tokens: cut inside a word, `##ing` becomes `ing`, and a word too
long for the vocabulary becomes many tokens once it is short enough. Few chunks are affected, and those are cut again.
Where the tokenizer takes each word by itself, a chunk between two blanks has the tokens that were found in the whole text.
"""

from collections.abc import Sequence
from typing import Final

from app.core import boundaries
from app.core.cancellation import Cancellation
from app.core.errors import CharacterTooLongError
from app.core.rows import Rows
from app.core.splitting import Span
from app.core.tokenising import Tokenizer, Tokens

SAFETY: Final = 0.95
# of the length that proportion would allow: most pieces then fit at once
SPANS_BETWEEN_CHECKS: Final = 1_000


def fitted(
    text: str,
    spans: list[Span],
    rows: Rows,
    tokenizer: Tokenizer,
    tokens: Tokens,
    max_tokens: int,
    cancellation: Cancellation,
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
        counts = _counts(text, waiting, tokenizer, tokens, cancellation)
        parts: list[Span] = []
        for (start, end), count in cancellation.through(zip(waiting, counts, strict=True), every=SPANS_BETWEEN_CHECKS):
            if count <= max_tokens:
                fitting.append((start, end, count))
                continue
            cut = _shorter(text, (start, end), max_tokens / count)
            if (row := rows.parted(cut)) is not None and row.start > start:
                cut = row.start
            parts += [_trimmed(text, (start, cut)), _trimmed(text, (cut, end))]
        waiting = [span for span in parts if span[0] < span[1]]
    return _without_contained(fitting)


def with_less_overlap(
    text: str,
    spans: Sequence[Span],
    rows: Rows,
    tokenizer: Tokenizer,
    tokens: Tokens,
    most: int,
    cancellation: Cancellation,
) -> list[Span]:
    """Return the spans, each starting so late that what it repeats of the one before has at most so many tokens by itself.

    Parameters
    ----------
    most
        Special tokens left out.
    """
    shorter = list(spans)
    waiting = [number for number in range(1, len(spans)) if spans[number][0] < spans[number - 1][1]]
    while waiting:
        repeated = [_trimmed(text, (shorter[number][0], spans[number - 1][1])) for number in waiting]
        counts = _counts(text, repeated, tokenizer, tokens, cancellation)
        over = []
        for number, (start, end), count in zip(waiting, repeated, counts, strict=True):
            count -= tokenizer.special_tokens
            if count > most:
                later = rows.whole(_later(text, (start, end), most / count), spans[number - 1][1])
                shorter[number] = (later, shorter[number][1])
                over.append(number)
        waiting = [number for number in over if shorter[number][0] < spans[number - 1][1]]
    return shorter


def _counts(
    text: str, spans: Sequence[Span], tokenizer: Tokenizer, tokens: Tokens, cancellation: Cancellation
) -> list[int]:
    """Return the token count of each piece by itself, special tokens included; what is known is not counted again."""
    known = [tokens.known(text, start, end) for start, end in spans]
    unknown = (text[start:end] for (start, end), count in zip(spans, known, strict=True) if count is None)
    counted = iter(tokenizer.counts(unknown, cancellation))
    return [next(counted) if count is None else count + tokenizer.special_tokens for count in known]


def _later(text: str, span: Span, share: float) -> int:
    """Return where this share of a span begins, at a word if there is one."""
    start, end = span
    least = max(start + 1, end - int((end - start) * share * SAFETY))
    word = boundaries.first_word(text, least, least + (end - least) // 2)
    return word if word >= 0 else boundaries.whole_characters(text, least, start)


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
