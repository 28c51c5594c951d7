"""Rows of tables, and lines of code, that are too large for one chunk: whole in each chunk, repeated whole or not at all."""

import itertools
from typing import Any

import pytest

from app.core.cancellation import Cancellation
from app.core.fitting import fitted, with_less_overlap
from app.core.logic import chunk_text
from app.core.rows import Rows
from app.core.structure import scan_markdown
from app.core.tokenising import Tokenizer
from ml_shared.contracts.chunking import Chunk, ChunkRequest

HEADER = "| id | text | note |\n|---|---|---|\n"
WORDS = "one two three. Four five six seven. Eight nine ten again "
PROSE = "Plain prose of one more sentence. "


def chunks_of(tokenizer: Tokenizer, text: str, **options: Any) -> list[Chunk]:
    """As a job is chunked: defaults, and the table's header beside its rows."""
    request = ChunkRequest(text=text, **{"repeat_table_header": True} | options)
    return chunk_text(request, tokenizer, Cancellation()).result.chunks


def words(number: int) -> str:
    return " ".join(itertools.islice(itertools.cycle(WORDS.split()), number))


def table(rows: int, words_each: int) -> str:
    return HEADER + "".join(f"| {number} | {words(words_each)} | seen |\n" for number in range(rows))


def assert_whole_lines(text: str, chunks: list[Chunk]) -> None:
    for chunk in chunks:
        assert not chunk.start or text[chunk.start - 1] == "\n", chunk.text[:40]
        assert chunk.end == len(text) or text[chunk.end] == "\n", chunk.text[-40:]


def repeated(tokenizer: Tokenizer, text: str, chunks: list[Chunk]) -> list[int]:
    shared = [text[right.start : left.end] for left, right in itertools.pairwise(chunks)]
    return [count - tokenizer.special_tokens for count in tokenizer.counts(shared, Cancellation())]


@pytest.mark.parametrize("words_each", [10, 45, 60, 120, 200, 220, 300, 350])
@pytest.mark.parametrize("overlap", [0, 64, 256])
def test_a_row_is_in_each_chunk_as_a_whole_or_not_at_all(tokenizer: Tokenizer, words_each: int, overlap: int) -> None:
    text = table(60, words_each)
    chunks = chunks_of(tokenizer, text, overlap_tokens=overlap)
    assert_whole_lines(text, chunks)
    assert max(repeated(tokenizer, text, chunks)) <= overlap
    assert [chunk.context for chunk in chunks] == [None, *[HEADER.rstrip()] * (len(chunks) - 1)]


@pytest.mark.parametrize("overlap", [0, 16])
def test_a_table_in_a_quotation_is_cut_between_rows_too(tokenizer: Tokenizer, overlap: int) -> None:
    lines = ["> [!NOTE]", "> Prices:", ">", *(f"> {line}" for line in table(20, 12).splitlines())]
    chunks = chunks_of(tokenizer, "\n".join(lines), max_tokens=50, overlap_tokens=overlap)
    header = "\n".join(f"> {line}" for line in HEADER.splitlines())
    told = [line for chunk in chunks for line in chunk.text.splitlines()]
    assert set(told) <= set(lines)
    assert {chunk.context for chunk in chunks if chunk.text.startswith("> | ") and "id" not in chunk.text} == {header}


def test_code_in_a_quotation_is_kept_whole_where_it_fits(tokenizer: Tokenizer) -> None:
    code = "> ```sh\n" + "> say one two three\n" * 6 + "> ```"
    for sentences in range(1, 9):
        text = f"{PROSE * sentences}\n\n> [!NOTE]\n{code}\n\n{PROSE * 4}"
        assert any(code in chunk.text for chunk in chunks_of(tokenizer, text, max_tokens=64, overlap_tokens=0))


def test_rows_that_fit_into_the_overlap_are_repeated(tokenizer: Tokenizer) -> None:
    text = table(60, 20)
    chunks = chunks_of(tokenizer, text)
    assert min(repeated(tokenizer, text, chunks)) >= 20


@pytest.mark.parametrize("sentences", [1, 9, 20, 30, 47, 60])
@pytest.mark.parametrize("above", ["", "## Prices\n\n"])
def test_a_tables_first_row_has_its_header_before_it(tokenizer: Tokenizer, sentences: int, above: str) -> None:
    text = f"{PROSE * sentences}\n\n{above}{table(20, 300)}\n{PROSE * 60}"
    chunks = chunks_of(tokenizer, text)
    (first,) = [chunk for chunk in chunks if f"{HEADER}| 0 |" in chunk.text]
    assert above.strip() in first.text
    rows = [line for chunk in chunks for line in chunk.text.splitlines() if "|" in line]
    assert set(rows) == set(text.splitlines()) - set(text.replace("|", "").splitlines())
    assert len(rows) == 22


def test_a_header_that_leaves_no_room_for_a_row_stands_by_itself(tokenizer: Tokenizer) -> None:
    wide = f"| {words(200)} | b |\n|---|---|\n"
    text = wide + f"| {words(400)} | two |\n" * 3
    assert [chunk.text for chunk in chunks_of(tokenizer, text)] == [wide.rstrip(), *text.splitlines()[2:]]


def test_a_row_that_no_chunk_can_hold_is_cut_and_its_neighbours_are_not(tokenizer: Tokenizer) -> None:
    rows = table(3, 60).splitlines(keepends=True)
    long = f"| 9 | {words(1500)} | seen |\n"
    text = "".join([*rows[:4], long, *rows[4:]])
    chunks = chunks_of(tokenizer, text)
    for row in rows[2:]:
        assert any(row.strip() in chunk.text for chunk in chunks)
    inside = [chunk for chunk in chunks if text.index(long) < chunk.start < text.index(long) + len(long) - 1]
    assert len(inside) >= 2
    assert all(chunk.text.split()[0] in WORDS.split() and chunk.context for chunk in inside)
    assert max(repeated(tokenizer, text, chunks)) <= 64
    after = chunks[chunks.index(inside[-1]) + 1 :]
    assert all(chunk.text.startswith("| ") for chunk in after)


def test_what_is_repeated_begins_neither_within_a_row_above_a_paragraph_nor_with_the_line_below_a_header(
    tokenizer: Tokenizer,
) -> None:
    tall = HEADER + "".join(f"| {number} | {words(100)} | seen |\n" for number in range(5))
    for text in (f"{tall}\n{PROSE * 80}", f"{HEADER}| 0 | {words(150)} | seen |\n{tall}"):
        for overlap in (16, 40, 64, 200):
            for chunk in chunks_of(tokenizer, text, max_tokens=400, overlap_tokens=overlap):
                assert chunk.text.startswith(("| id", "Plain")) or chunk.text.split(" |")[0].lstrip("| ").isdigit()


def test_a_line_of_code_is_in_each_chunk_as_a_whole_or_not_at_all(tokenizer: Tokenizer) -> None:
    for words_each in (10, 60, 300):
        lines = "".join(f"say({number}, '{words(words_each)}')\n" for number in range(60))
        text = f"```\n{lines}```"
        chunks = chunks_of(tokenizer, text)
        assert len(chunks) > 2
        assert_whole_lines(text, chunks)
        assert max(repeated(tokenizer, text, chunks)) <= 64


def test_what_counts_more_by_itself_is_cut_again_between_rows(tokenizer: Tokenizer) -> None:
    text = table(6, 60)
    rows = Rows(text, scan_markdown(text, Cancellation()).blocks, 10_000)
    tokens = tokenizer.tokens(text, Cancellation())
    fourth, sixth = text.index("| 3 |"), text.index("| 5 |")
    spans = [(0, sixth), (fourth, len(text))]
    _, (start, _) = with_less_overlap(text, spans, rows, tokenizer, tokens, 100, Cancellation())
    assert start == text.index("| 4 |")
    _, (start, _) = with_less_overlap(text, spans, rows, tokenizer, tokens, 40, Cancellation())
    assert start == sixth
    parts = fitted(text, [(0, len(text))], rows, tokenizer, tokens, 200, Cancellation())
    assert len(parts) > 2
    assert all(not start or text[start - 1] == "\n" for start, _, _ in parts)


def test_a_line_of_code_without_end_is_looked_through_no_further_than_a_chunk_reaches(tokenizer: Tokenizer) -> None:
    text = "```\nfirst\n" + "word " * 10_000 + "\nlast\n```"
    rows = Rows(text, scan_markdown(text, Cancellation()).blocks, 6_000)
    assert rows.parted(20_000) is None
    first = rows.parted(text.index("first") + 2)
    assert first is not None
    assert text[first.start : first.end] == "first"
    chunks = chunks_of(tokenizer, text)
    assert all(chunk.text.split()[0] in ("```", "word") for chunk in chunks)
