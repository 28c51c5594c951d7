"""The model's own tokenizer: cuts queries that are too long, and reads token ids; and what is done without it."""

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.config import Settings
from app.core.logic import execute_search
from app.core.service import Embedding
from app.core.tokens import ModelTokenizer, TokenizerFileError
from ml_shared.contracts.embedding import MAX_QUERY_CHARACTERS, SearchRequest, SearchResult
from ml_shared.testing.endpoint import FakeEndpoint
from tests.documents import OWNER, index


@pytest.fixture
def tokenizer(settings: Settings, tokenizer_file: Path) -> ModelTokenizer:
    made = ModelTokenizer.of(_with(settings, tokenizer_file))
    assert made is not None
    return made


def _with(settings: Settings, path: Path, sha256: str | None = None) -> Settings:
    given = hashlib.sha256(path.read_bytes()).hexdigest() if sha256 is None else sha256
    return settings.model_copy(update={"TOKENIZER_FILE": path, "TOKENIZER_SHA256": given})


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_text_is_a_beginning_of_as_many_tokens_as_the_model_takes(tokenizer: ModelTokenizer, seed: int) -> None:
    source = random.Random(seed)
    words = ["hello", "word", "abc", "z" * 40, "\u00e9t\u00e9", "\U0001f98a", "q" * 99 + "x", ".", "  ", "\n"]
    text = "".join(source.choice(words) + source.choice(["", " "]) for _ in range(400))
    for most in (3, 7, 50, 511):
        kept = tokenizer.cut(text, most)
        assert text.startswith(kept)
        assert tokenizer.count(kept) <= most
        assert kept
        assert kept == text or most < 500 or tokenizer.count(kept) > most // 2
    assert tokenizer.cut("hello world", 4) == "hello world"
    assert tokenizer.cut("hello world words", 4) == "hello world"


def test_a_file_that_is_not_the_one_stops_the_start(settings: Settings, tokenizer_file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "tokenizer.json"
    wrong.write_text("{}")
    for given in (
        _with(settings, tokenizer_file, "0" * 64),
        _with(settings, wrong),
        settings.model_copy(update={"TOKENIZER_FILE": tmp_path / "nothing"}),
    ):
        with pytest.raises(TokenizerFileError):
            ModelTokenizer.of(given)
    assert ModelTokenizer.of(settings) is None
    assert Settings(TOKENIZER_FILE="").TOKENIZER_FILE is None


async def _search(service: Embedding, query: str | None, **more: object) -> SearchResult:
    asked = {"query": query, "corpus_name": "docs", **more}
    return await execute_search(service, OWNER, SearchRequest.model_validate(asked))


LONG = "hello world " * (MAX_QUERY_CHARACTERS // 12)


@pytest.mark.parametrize("prefix", ["", "words: "])
async def test_a_query_that_is_longer_than_the_model_reads_is_cut_with_a_warning(
    service: Embedding, tokenizer: ModelTokenizer, endpoint: FakeEndpoint, prefix: str
) -> None:
    await index(service, "hello world")
    endpoint.inputs.clear()
    service.settings.EMBEDDING_QUERY_PREFIX = prefix
    with_tokenizer = replace(service, tokenizer=tokenizer)
    result = await _search(with_tokenizer, LONG)
    [sent] = endpoint.texts
    assert sent.startswith(prefix + "hello world")
    assert 500 < tokenizer.count(sent) <= 512
    [warning] = result.warnings
    assert warning.code == "query_cut"
    assert f"its first {len(sent) - len(prefix)} characters" in warning.message
    assert len(result.results) == 1
    both = await _search(with_tokenizer, None, queries=["hello", LONG])
    assert [warning.message[:7] for warning in both.warnings] == ["query 1"]
    assert (await _search(with_tokenizer, LONG, mode="text")).warnings == []
    assert (await _search(with_tokenizer, "hello world")).warnings == []


async def test_without_the_tokenizer_it_is_halved_until_the_endpoint_takes_it(
    service: Embedding, endpoint: FakeEndpoint
) -> None:
    await index(service, "hello world")
    result = await _search(service, LONG)
    assert [warning.code for warning in result.warnings] == ["query_cut"]
    assert len(result.results) == 1
    assert 256 <= len(endpoint.texts[-1].split()) <= 512


async def test_the_text_that_is_too_long_is_named(with_tokenizer: Settings, client: httpx.AsyncClient) -> None:
    answer = await client.post("/embed", json={"texts": ["hello", "word " * 600, "word " * 700]})
    assert (answer.status_code, answer.json()["code"], answer.json()["index"]) == (422, "input_too_long", 1)
    assert "text 1 (the first is 0) has 602 tokens" in answer.json()["detail"]
