"""The tokenizer's file, and that its own limits are off."""

import itertools
import random
from pathlib import Path

import pytest
from conftest import TOKENIZER_FILE, TOKENIZER_SHA256
from nasty import NASTY, random_text
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers.pre_tokenizers import Metaspace

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
    starts = tokenizer.tokens(text, Cancellation()).starts
    assert len(starts) == tokenizer.counts([text], Cancellation())[0] - tokenizer.special_tokens
    assert sorted(starts) == list(starts)
    assert text[starts[-1] :].strip() in "wörds"


def test_only_a_tokenizer_that_takes_each_word_by_itself_is_not_asked_again(tokenizer: Tokenizer) -> None:
    def known(encoder: HuggingFaceTokenizer) -> int | None:
        return Tokenizer(encoder, "x").tokens("two words", Cancellation()).known("two words", 0, 3)

    made = HuggingFaceTokenizer.from_str(TOKENIZER_FILE.read_text())
    assert known(made) == 1
    made.pre_tokenizer = Metaspace()
    assert known(made) is None


def test_what_a_long_word_was_parted_into_is_counted_again(tokenizer: Tokenizer) -> None:
    text = f"before {'y' * (2 * SEGMENT_CHARACTERS)} after"
    tokens = tokenizer.tokens(text, Cancellation())
    assert tokens.known(text, 0, 6) == 1
    assert tokens.known(text, 0, len(text)) is None
    assert tokens.known(text, 0, 9) is None


@pytest.mark.parametrize("seed", range(60))
def test_what_the_places_of_tokens_tell_is_what_counting_again_tells(tokenizer: Tokenizer, seed: int) -> None:
    source = random.Random(seed)
    text = f"{NASTY[source.choice(sorted(NASTY))]} {random_text(seed, 60)}"[-2 * SEGMENT_CHARACTERS :]
    cuts = sorted({0, len(text), *(source.randrange(len(text) + 1) for _ in range(60))})
    cuts += [place + 1 for place, sign in enumerate(text) if sign == " "][:60]
    tokens = tokenizer.tokens(text, Cancellation())
    spans = list(itertools.pairwise(sorted(set(cuts))))
    known = {span: count for span in spans if (count := tokens.known(text, *span)) is not None}
    counts = tokenizer.counts((text[start:end] for start, end in known), Cancellation())
    assert [count + tokenizer.special_tokens for count in known.values()] == counts
