"""The tokenizer's file, and that its own limits are off."""

import itertools
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import TOKENIZER_FILE, TOKENIZER_SHA256
from nasty import NASTY, random_text
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import models, pre_tokenizers

from app.core.cancellation import Cancellation
from app.core.fitting import fitted
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


class _Counting:
    """A tokenizer that says how many texts it had to count."""

    def __init__(self, tokenizer: Tokenizer, *, parts_at_blanks: bool) -> None:
        self._tokenizer = tokenizer
        self.parts_at_blanks = parts_at_blanks
        self.special_tokens = tokenizer.special_tokens
        self.counted = 0

    def counts(self, texts: Iterable[str], cancellation: Cancellation) -> list[int]:
        pieces = list(texts)
        self.counted += len(pieces)
        return self._tokenizer.counts(pieces, cancellation)


@pytest.mark.parametrize("seed", range(60))
def test_what_the_places_of_tokens_tell_is_what_counting_again_tells(tokenizer: Tokenizer, seed: int) -> None:
    assert tokenizer.parts_at_blanks
    source = random.Random(seed)
    name = source.choice(sorted(NASTY))
    text = (NASTY[name] + " " + random_text(seed, 60))[-SEGMENT_CHARACTERS:]
    cuts = sorted({0, len(text), *(source.randrange(len(text) + 1) for _ in range(60))})
    spans = list(itertools.pairwise(cuts))
    starts = tokenizer.token_starts(text, Cancellation())
    by_place, again = (_Counting(tokenizer, parts_at_blanks=known) for known in (True, False))
    found = [fitted(text, spans, one, 10_000, Cancellation(), starts=starts) for one in (by_place, again)]  # type: ignore[arg-type]
    assert found[0] == found[1]


def test_a_text_cut_at_blanks_is_tokenised_once(tokenizer: Tokenizer) -> None:
    text = "Words of a page, and some more.\n\nÜnïcode, too. " * 200
    spans = [(start, min(start + 4_800, len(text))) for start in range(0, len(text), 4_800)]
    counting = _Counting(tokenizer, parts_at_blanks=True)
    starts = tokenizer.token_starts(text, Cancellation())
    assert len(fitted(text, spans, counting, 10_000, Cancellation(), starts=starts)) == len(spans)  # type: ignore[arg-type]
    assert counting.counted == 0


def test_another_kind_of_tokenizer_is_asked_again() -> None:
    byte_pairs = HuggingFaceTokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.ByteLevel()
    assert not Tokenizer(byte_pairs, "byte pairs").parts_at_blanks
