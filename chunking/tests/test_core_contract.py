"""What every answer keeps, whatever the text: exact counts, exact slices, nothing lost, order kept."""

import itertools
import os
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from nasty import NASTY, random_text

from app.core.cancellation import AbandonedError, Cancellation
from app.core.fitting import CharacterTooLongError, fitted
from app.core.logic import chunk_text
from app.core.rows import Rows
from app.core.splitting import Limits, Splitter
from app.core.structure import scan_markdown
from app.core.tokenising import Tokenizer
from ml_shared.contracts.chunking import ChunkRequest, ChunkResult, ChunkStrategy, TextFormat
from ml_shared.testing.pace import processor_time

READINGS = [*((strategy, TextFormat.MARKDOWN) for strategy in ChunkStrategy), (ChunkStrategy.MARKDOWN, TextFormat.TEXT)]
OPTIONS = [
    {"max_tokens": tokens, "overlap_tokens": overlap, "strategy": strategy, "format": text_format}
    for (tokens, overlap), (strategy, text_format) in itertools.product([(512, 64), (16, 8), (40, 0)], READINGS)
]

NO_ROWS = Rows("", [], 0)


def chunked(tokenizer: Tokenizer, text: str, **options: Any) -> ChunkResult:
    return chunk_text(ChunkRequest(text=text, **options), tokenizer, Cancellation()).result


def assert_contract(tokenizer: Tokenizer, text: str, options: dict[str, Any]) -> None:
    result = chunked(tokenizer, text, **options)
    covered, start = 0, -1
    for index, chunk in enumerate(result.chunks):
        assert chunk.index == index
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text == chunk.text.strip() != ""
        assert chunk.start > start
        assert chunk.end > covered, "a chunk says nothing new"
        assert not text[covered : chunk.start].strip(), "characters were lost"
        start, covered = chunk.start, chunk.end
    assert not text[covered:].strip()
    counts = tokenizer.counts([chunk.text for chunk in result.chunks], Cancellation())
    assert counts == [chunk.token_count for chunk in result.chunks]
    assert max(counts, default=0) <= options["max_tokens"]
    assert result.token_total == sum(counts)
    pairs = itertools.pairwise(result.chunks)
    repeated = [text[after.start : before.end] for before, after in pairs if after.start < before.end]
    by_itself = [count - tokenizer.special_tokens for count in tokenizer.counts(repeated, Cancellation())]
    assert max(by_itself, default=0) <= options["overlap_tokens"]


@pytest.mark.parametrize("name", NASTY)
def test_the_contract_holds_for_text_that_breaks_splitters(tokenizer: Tokenizer, name: str) -> None:
    for options in OPTIONS:
        assert_contract(tokenizer, NASTY[name], options)


def test_what_the_embedding_service_puts_before_each_chunk_is_part_of_every_count(tokenizer: Tokenizer) -> None:
    file, label = Path(os.environ["TOKENIZER_FILE"]), tokenizer.name.partition("@")[0]
    prefixed = Tokenizer.load(file, os.environ["TOKENIZER_SHA256"], label)
    prefixed.put_before("search_document: ")
    for name in ("markdown", *NASTY):
        text = NASTY.get(name, "# Head\n\n" + "Some words of a sentence. " * 400)
        assert_contract(prefixed, text, {"max_tokens": 40, "overlap_tokens": 8, "strategy": ChunkStrategy.MARKDOWN})
        for chunk in chunked(prefixed, text, max_tokens=40, overlap_tokens=8).chunks:
            [read] = tokenizer.counts([f"search_document: {chunk.text}"], Cancellation())
            assert read == chunk.token_count <= 40


@pytest.mark.parametrize(
    "text", ["한국어로된긴문장" * 400, f"{'x' * 130} " * 90], ids=["Korean", "words of 130 letters"]
)
def test_what_is_repeated_has_no_more_tokens_by_itself_than_asked_for(tokenizer: Tokenizer, text: str) -> None:
    for options in ({"max_tokens": 64, "overlap_tokens": 16}, {"max_tokens": 64, "overlap_tokens": 31}):
        assert_contract(tokenizer, text, options)


def test_no_chunk_between_blanks_is_counted_twice(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    counts = Tokenizer.counts

    def note(self: Tokenizer, texts: Iterable[str], cancellation: Cancellation) -> list[int]:
        counted.extend(texts := list(texts))
        return counts(self, texts, cancellation)

    monkeypatch.setattr(Tokenizer, "counts", note)
    chunked(tokenizer, "Some words of plain prose, and a few more of them. " * 400)
    assert counted == []
    chunked(tokenizer, "x" * 9_000)
    assert counted


@pytest.mark.parametrize("seed", range(30))
def test_the_contract_holds_for_random_mixtures(tokenizer: Tokenizer, seed: int) -> None:
    assert_contract(tokenizer, random_text(seed), OPTIONS[seed % len(OPTIONS)])


def test_the_count_includes_the_special_tokens(tokenizer: Tokenizer) -> None:
    (chunk,) = chunked(tokenizer, "hello world").chunks
    assert chunk.token_count == 4


def test_no_text_and_blank_text_have_no_chunks(tokenizer: Tokenizer) -> None:
    for text in ("", " \n\t\r\n\u3000"):
        result = chunked(tokenizer, text)
        assert (result.chunks, result.token_total) == ([], 0)


def test_neighbours_overlap_by_about_as_much_as_was_asked(tokenizer: Tokenizer) -> None:
    text = " ".join(f"Sentence number {number} says little." for number in range(600))
    for strategy in ChunkStrategy:
        chunks = chunked(tokenizer, text, max_tokens=128, overlap_tokens=32, strategy=strategy).chunks
        shared = [text[right.start : left.end] for left, right in itertools.pairwise(chunks)]
        counts = [count - tokenizer.special_tokens for count in tokenizer.counts(shared, Cancellation())]
        assert min(counts) >= 16
        assert max(counts) <= 32


def test_without_overlap_no_character_is_in_two_chunks(tokenizer: Tokenizer) -> None:
    chunks = chunked(tokenizer, NASTY["Chinese"], max_tokens=64, overlap_tokens=0).chunks
    assert all(left.end <= right.start for left, right in itertools.pairwise(chunks))


def test_no_cut_parts_a_letter_from_its_mark_or_an_emoji_family(tokenizer: Tokenizer) -> None:
    for text in ("e\u0301" * 3000, "👩‍👩‍👧‍👦" * 500):
        for chunk in chunked(tokenizer, text, max_tokens=32, overlap_tokens=0).chunks:
            assert chunk.text[0] not in "\u0301\u200d"
            assert chunk.text[-1] != "\u200d"


def test_a_chunk_that_counts_more_by_itself_is_cut_again(tokenizer: Tokenizer) -> None:
    text = "unbelievably antidisestablishmentarian words " * 20
    whole = [(0, len(text))]
    parts = fitted(text, whole, NO_ROWS, tokenizer, tokenizer.tokens(text, Cancellation()), 16, Cancellation())
    assert all(count <= 16 for _, _, count in parts)
    assert "".join(text[start:end] for start, end, _ in parts).replace(" ", "") == text.replace(" ", "")


def test_one_character_over_the_limit_is_said_to_be_so(tokenizer: Tokenizer) -> None:
    with pytest.raises(CharacterTooLongError, match="offset 3"):
        fitted("ab 漢", [(3, 4)], NO_ROWS, tokenizer, tokenizer.tokens("ab 漢", Cancellation()), 2, Cancellation())


@pytest.mark.parametrize(
    "unit", ["x", "# h\n", "a\n", "漢", "| a | b |\n", "```\n", "e\u0301", ". ", "\n \n", "a\n---\n", "word "]
)
def test_time_grows_with_the_text_and_not_faster(tokenizer: Tokenizer, unit: str) -> None:
    def seconds(characters: int) -> float:
        text = unit * (characters // len(unit))
        with processor_time() as spent:
            chunked(tokenizer, text, max_tokens=32, overlap_tokens=8)
        return spent.seconds

    most = 8 * 3 * max(min(seconds(20_000), seconds(20_000)), 0.005)
    assert seconds(160_000) < most or seconds(160_000) < most  # once more, should something else have been in its way


def test_no_step_copies_the_text_up_to_a_heading_far_below(tokenizer: Tokenizer) -> None:
    text = "word " * 100_000 + "\n# The only heading\n"
    structure = scan_markdown(text, Cancellation())
    starts = tokenizer.tokens(text, Cancellation()).starts
    limits = Limits(tokens=510, overlap=64)
    splitter = Splitter(text, starts, structure, NO_ROWS, ChunkStrategy.MARKDOWN, limits, Cancellation())
    tracemalloc.start()
    splitter.spans()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < len(text) / 2


def test_an_abandoned_computation_stops(tokenizer: Tokenizer) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(AbandonedError):
        chunk_text(ChunkRequest(text="some text"), tokenizer, cancellation)
