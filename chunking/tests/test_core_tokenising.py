"""The tokenizer's file, and that its own limits are off."""

from pathlib import Path

import pytest
from conftest import TOKENIZER_FILE, TOKENIZER_SHA256

from app.core.cancellation import Cancellation
from app.core.tokenising import SEGMENT_CHARACTERS, Tokenizer, TokenizerFileError


def test_truncation_and_padding_of_the_file_are_off(tokenizer: Tokenizer) -> None:
    assert tokenizer.counts(["word " * 1000, "word"], Cancellation()) == [1002, 3]


def test_the_name_holds_the_files_hash(tokenizer: Tokenizer) -> None:
    assert tokenizer.name == f"all-MiniLM-L6-v2@sha256:{TOKENIZER_SHA256}"


def test_another_file_than_the_one_meant_is_refused() -> None:
    with pytest.raises(TokenizerFileError, match=f"{TOKENIZER_SHA256}, but TOKENIZER_SHA256 is {'0' * 64}"):
        Tokenizer.load(TOKENIZER_FILE, "0" * 64, "x")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerFileError, match="No such file"):
        Tokenizer.load(tmp_path / "tokenizer.json", "0" * 64, "x")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with pytest.raises(TokenizerFileError, match="is not a tokenizer"):
        Tokenizer.load(tmp_path / "tokenizer.json", digest, "x")


def test_offsets_run_through_texts_longer_than_a_segment(tokenizer: Tokenizer) -> None:
    text = "Ünïcode wörds " * (3 * SEGMENT_CHARACTERS // 14)
    starts = tokenizer.token_starts(text, Cancellation())
    assert len(starts) == tokenizer.counts([text], Cancellation())[0] - tokenizer.special_tokens
    assert sorted(starts) == list(starts)
    assert text[starts[-1] :].strip() in "wörds"
