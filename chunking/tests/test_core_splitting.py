"""Where cuts fall: at headings, then paragraphs, lines, sentences, words; around code and tables."""

import itertools
from typing import Any

import pytest

from app.core.cancellation import Cancellation
from app.core.logic import chunk_text
from app.core.tokenising import Tokenizer
from ml_shared.contracts.chunking import Chunk, ChunkRequest, ChunkStrategy

SENTENCE = "The quick brown fox jumps over the lazy dog again. "  # 11 tokens


def chunks_of(tokenizer: Tokenizer, text: str, **options: Any) -> list[Chunk]:
    request = ChunkRequest(text=text, **{"max_tokens": 128, "overlap_tokens": 0} | options)
    return chunk_text(request, tokenizer, Cancellation()).result.chunks


def test_a_chunk_that_is_half_full_ends_before_a_heading(tokenizer: Tokenizer) -> None:
    text = "\n\n".join(f"## Part {number}\n\n{SENTENCE * 7}" for number in range(8))
    chunks = chunks_of(tokenizer, text, overlap_tokens=32)
    assert [chunk.text.split("\n")[0] for chunk in chunks] == [f"## Part {number}" for number in range(8)]


def test_small_sections_are_put_together(tokenizer: Tokenizer) -> None:
    text = "\n\n".join(f"## Part {number}\n\n{SENTENCE}" for number in range(24))
    chunks = chunks_of(tokenizer, text)
    assert len(chunks) <= 5
    assert all(chunk.text.startswith("## ") for chunk in chunks)


def test_a_higher_heading_is_the_better_place(tokenizer: Tokenizer) -> None:
    text = f"# A\n\n{SENTENCE * 6}\n\n# B\n\n{SENTENCE * 2}\n\n### C\n\n{SENTENCE * 20}"
    assert chunks_of(tokenizer, text)[1].text.startswith("# B")


def test_a_heading_is_not_left_without_its_body(tokenizer: Tokenizer) -> None:
    for sentences in range(1, 14):
        text = f"{SENTENCE * sentences}\n\n# Chapter\n\n## Section\n\n{SENTENCE * 20}"
        for chunk in chunks_of(tokenizer, text):
            assert not chunk.text.endswith(("# Chapter", "## Section"))


@pytest.mark.parametrize(
    "block",
    ["```\n" + "some_code(1, 2)\n" * 9 + "```", "| a | b |\n|---|---|\n" + "| one | two |\n" * 12],
)
@pytest.mark.parametrize("overlap", [0, 40])
def test_code_and_tables_that_fit_are_kept_whole(tokenizer: Tokenizer, block: str, overlap: int) -> None:
    for sentences in range(1, 14):
        text = f"{SENTENCE * sentences}\n\n## Example\n\n{block}\n\n{SENTENCE * 12}"
        chunks = chunks_of(tokenizer, text, overlap_tokens=overlap)
        assert any(block.strip() in chunk.text for chunk in chunks), sentences
        assert all(block.strip() in chunk.text or "|" not in chunk.text for chunk in chunks if "|" in block)


def test_a_table_that_is_too_large_is_cut_between_rows(tokenizer: Tokenizer) -> None:
    text = "| a | b |\n|---|---|\n" + "".join(f"| row {number} | cell |\n" for number in range(100))
    chunks = chunks_of(tokenizer, text)
    assert len(chunks) >= 5
    assert all(chunk.text.startswith("|") and chunk.text.endswith("|") for chunk in chunks)


def test_paragraphs_are_kept_whole_where_they_fit(tokenizer: Tokenizer) -> None:
    paragraphs = [f"Paragraph {number}. {SENTENCE * 6}".strip() for number in range(10)]
    chunks = chunks_of(tokenizer, "\n\n".join(paragraphs))
    assert [chunk.text for chunk in chunks] == paragraphs


def test_a_long_paragraph_is_cut_between_sentences(tokenizer: Tokenizer) -> None:
    for strategy in (ChunkStrategy.MARKDOWN, ChunkStrategy.SENTENCE):
        for chunk in chunks_of(tokenizer, SENTENCE * 60, strategy=strategy):
            assert chunk.text.startswith("The quick")
            assert chunk.text.endswith("again.")


def test_chinese_is_cut_between_sentences(tokenizer: Tokenizer) -> None:
    chunks = chunks_of(tokenizer, "我们今天去公园散步。天气非常好。" * 40)
    assert all(chunk.text.endswith("。") for chunk in chunks)


def test_a_text_without_sentences_is_cut_between_words(tokenizer: Tokenizer) -> None:
    text = "unbelievable characteristics " * 200
    for strategy in ChunkStrategy:
        words = {word for chunk in chunks_of(tokenizer, text, strategy=strategy) for word in chunk.text.split()}
        assert words == {"unbelievable", "characteristics"}


def test_fixed_chunks_are_as_full_as_words_allow(tokenizer: Tokenizer) -> None:
    chunks = chunks_of(tokenizer, f"# H\n\n{SENTENCE * 100}", strategy="fixed")
    assert all(chunk.token_count == 128 for chunk in chunks[:-1])


def test_a_text_that_fits_is_one_chunk(tokenizer: Tokenizer) -> None:
    text = f"  # A\n\n{SENTENCE}\n\n# B\n\n{SENTENCE}\n\n"
    (chunk,) = chunks_of(tokenizer, text)
    assert chunk.text == text.strip()


def test_the_repeated_part_begins_at_a_sentence_and_not_before_its_heading(tokenizer: Tokenizer) -> None:
    text = f"{SENTENCE * 9}\n\n# New\n\n{SENTENCE * 30}"
    chunks = chunks_of(tokenizer, text, overlap_tokens=48)
    assert chunks[1].text.startswith("# New")
    for left, right in itertools.pairwise(chunks[1:]):
        assert right.start < left.end
        assert right.text.startswith("The quick")


def test_white_space_without_end_is_in_no_chunk(tokenizer: Tokenizer) -> None:
    chunks = chunks_of(tokenizer, "left" + " " * 100_000 + "right", max_tokens=16, overlap_tokens=8)
    assert [chunk.text for chunk in chunks] == ["left", "right"]
