"""The endpoint's client: what it sends, what it takes, and what it makes of everything else."""

import math
from collections.abc import AsyncIterator

import numpy as np
import pytest

from app.config import Settings
from app.core.batching import batches, estimated_tokens
from app.core.endpoint import ATTEMPTS, EmbeddingEndpoint
from app.core.errors import (
    DimensionMismatchError,
    EndpointAnswerError,
    EndpointRateLimitedError,
    EndpointUnavailableError,
    InputTooLongError,
    InvalidVectorError,
)
from app.core.vectors import encode_base64, parse_vectors
from ml_shared.errors import ServiceError
from ml_shared.names import Operation
from ml_shared.testing.endpoint import EndpointMode, FakeEndpoint, vector_of
from ml_shared.testing.servers import free_port


@pytest.fixture
def settings(endpoint: FakeEndpoint) -> Settings:
    return Settings(EMBEDDING_API_BASE_URL=endpoint.base_url, EMBEDDING_BATCH_SIZE=8)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[EmbeddingEndpoint]:
    async with EmbeddingEndpoint.open(settings) as opened:
        yield opened


async def embed(client: EmbeddingEndpoint, *texts: str) -> np.ndarray:
    return (await client.embed(texts, operation=Operation.WRITE)).vectors


@pytest.mark.parametrize("as_floats", [False, True])
async def test_vectors_come_in_the_order_of_the_texts(
    client: EmbeddingEndpoint, endpoint: FakeEndpoint, as_floats: bool
) -> None:
    endpoint.float_answers = as_floats
    texts = [f"{'long ' * (n % 7)}text {n}" for n in range(50)]
    embedded = await client.embed(texts, operation=Operation.WRITE)
    np.testing.assert_allclose(embedded.vectors, [vector_of(text) for text in texts], rtol=1e-6)
    assert embedded.tokens == sum(len(text.split()) for text in texts)
    assert sorted(map(len, endpoint.inputs), reverse=True) == [8, 8, 8, 8, 8, 8, 2]
    assert endpoint.most_in_flight <= 4


async def test_the_request_is_openais_and_nothing_asks_for_truncation(
    client: EmbeddingEndpoint, endpoint: FakeEndpoint
) -> None:
    await embed(client, "a")
    assert endpoint.bodies == [{"model": "test-model", "input": ["a"], "encoding_format": "base64"}]
    assert endpoint.headers[0]["authorization"] == f"Bearer {endpoint.key}"


async def test_a_text_over_the_models_limit_is_refused_and_never_truncated(
    client: EmbeddingEndpoint, endpoint: FakeEndpoint
) -> None:
    endpoint.max_tokens = 3
    with pytest.raises(InputTooLongError) as raised:
        await embed(client, "one two three four")
    assert raised.value.code == "input_too_long"
    assert not raised.value.retryable
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize("mode", [EndpointMode.RATE_LIMITED, EndpointMode.BROKEN])
async def test_a_passing_failure_is_tried_again(
    client: EmbeddingEndpoint, endpoint: FakeEndpoint, mode: EndpointMode
) -> None:
    endpoint.behave(mode, times=2)
    await embed(client, "a")
    assert len(endpoint.bodies) == 3


@pytest.mark.parametrize(
    ("mode", "kind", "code", "retryable", "calls"),
    [
        (EndpointMode.RATE_LIMITED, EndpointRateLimitedError, "endpoint_rate_limited", True, 3),
        (EndpointMode.BROKEN, EndpointUnavailableError, "endpoint_unavailable", True, 3),
        (EndpointMode.REFUSING, EndpointAnswerError, "upstream_error", False, 1),
        (EndpointMode.GARBAGE, EndpointAnswerError, "upstream_error", True, 1),
        (EndpointMode.WRONG_COUNT, EndpointAnswerError, "upstream_error", True, 1),
        (EndpointMode.WRONG_INDEX, EndpointAnswerError, "upstream_error", True, 1),
        (EndpointMode.WRONG_DIMENSIONS, DimensionMismatchError, "dimension_mismatch", True, 1),
        (EndpointMode.NOT_FINITE, InvalidVectorError, "invalid_vector", False, 1),
        (EndpointMode.ZERO, InvalidVectorError, "invalid_vector", False, 1),
    ],
)
async def test_each_failure_has_its_code(
    client: EmbeddingEndpoint,
    endpoint: FakeEndpoint,
    mode: EndpointMode,
    kind: type[ServiceError],
    code: str,
    retryable: bool,
    calls: int,
) -> None:
    endpoint.behave(mode)
    endpoint.float_answers = mode is not EndpointMode.NOT_FINITE
    with pytest.raises(kind) as raised:
        await embed(client, "a", "b")
    assert (raised.value.code, raised.value.retryable) == (code, retryable)
    assert len(endpoint.bodies) == calls
    assert endpoint.key not in raised.value.detail
    assert "10.1.2.3" not in raised.value.detail


async def test_an_endpoint_that_is_slow_is_unavailable_and_was_tried_again(
    settings: Settings, endpoint: FakeEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.behave(EndpointMode.SLOW)
    endpoint.delay_seconds = 600
    async with EmbeddingEndpoint.open(settings.model_copy(update={"EMBEDDING_TIMEOUT_SECONDS": 0.2})) as impatient:
        with pytest.raises(EndpointUnavailableError) as raised:
            await embed(impatient, "a")
    assert (raised.value.code, raised.value.retryable) == ("endpoint_unavailable", True)
    # not what the endpoint got: it may be about to read the last of them
    tried = [record for record in caplog.records if record.getMessage() == "embedding_endpoint_retry"]
    assert len(tried) == ATTEMPTS - 1


async def test_a_long_retry_after_is_passed_on_and_not_waited_for(
    client: EmbeddingEndpoint, endpoint: FakeEndpoint
) -> None:
    endpoint.behave(EndpointMode.RATE_LIMITED)
    endpoint.retry_after_seconds = 40
    with pytest.raises(EndpointRateLimitedError) as raised:
        await embed(client, "a")
    assert raised.value.retry_after_seconds == 40
    assert len(endpoint.bodies) == 1


async def test_a_wrong_key_is_the_operators_to_mend_and_says_so(endpoint: FakeEndpoint) -> None:
    settings = Settings(EMBEDDING_API_BASE_URL=endpoint.base_url, EMBEDDING_API_KEY="another-secret")
    async with EmbeddingEndpoint.open(settings) as client:
        with pytest.raises(EndpointUnavailableError, match="key") as raised:
            await embed(client, "a")
    assert "another-secret" not in str(raised.value)
    assert "another-secret" not in repr(settings)


async def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    settings = Settings(EMBEDDING_API_BASE_URL=f"http://127.0.0.1:{free_port()}/v1")
    async with EmbeddingEndpoint.open(settings) as client:
        with pytest.raises(EndpointUnavailableError) as raised:
            await embed(client, "a")
    assert "127.0.0.1" not in raised.value.detail


async def test_a_failed_batch_stops_the_others(client: EmbeddingEndpoint, endpoint: FakeEndpoint) -> None:
    endpoint.behave(EndpointMode.ZERO, times=1)
    with pytest.raises(InvalidVectorError):
        await embed(client, *(f"text {n}" for n in range(400)))
    await embed(client, "afterwards")  # by then what was on its way has arrived, as would more have
    assert len(endpoint.bodies) < 25  # of 50


def test_batches_hold_texts_of_like_length_and_every_text_once() -> None:
    assert batches([5, 1, 9, 1, 7], 2, 1_000) == [[2, 4], [0, 1], [3]]
    assert batches([], 2, 1_000) == []


def test_a_batch_has_no_more_tokens_than_it_may_each_text_counted_as_its_longest() -> None:
    counts = [500, 20, 300, 20, 20, 700, 260, 0, 20]
    made = batches(counts, 4, 600)
    assert [[counts[position] for position in group] for group in made] == [[700], [500], [300, 260], [20] * 4, [0]]
    assert sorted(position for group in made for position in group) == list(range(len(counts)))


def test_what_a_text_is_taken_for_where_nobody_counted_is_near_what_it_has() -> None:
    # as bge's tokenizer counts them, without its two special tokens
    counted = {
        "The quick brown fox jumps over the lazy dog.": 10,
        "敏捷的棕色狐狸": 7,
        "Быстрая коричневая лиса": 21,
        "": 0,
    }
    for estimated, tokens in zip(estimated_tokens(list(counted)), counted.values(), strict=True):
        assert tokens / 2 <= estimated <= 2 * tokens + 1


@pytest.mark.parametrize("counted", [True, False])
async def test_texts_are_sent_in_calls_of_so_many_tokens_counted_or_not(endpoint: FakeEndpoint, counted: bool) -> None:
    texts = [f"{'word ' * words}{number}" for number, words in enumerate([99, 9, 99, 9, 99, 9, 9, 9])]
    settings = Settings(EMBEDDING_API_BASE_URL=endpoint.base_url, EMBEDDING_BATCH_SIZE=4, EMBEDDING_BATCH_TOKENS=399)
    counts = [len(text.split()) for text in texts] if counted else None
    async with EmbeddingEndpoint.open(settings) as client:
        await client.embed(texts, operation=Operation.WRITE, token_counts=counts)
    lengths = [[len(text.split()) for text in call] for call in endpoint.inputs]
    # 100 words are 100 tokens where they were counted, and 166 for whoever goes by their bytes
    longest = [[100] * 3, [10] * 4, [10]] if counted else [[100] * 2, [100, 10], [10] * 4]
    assert sorted(lengths, reverse=True) == sorted(longest, reverse=True)


@pytest.mark.parametrize("value", [[[1.0]], "!!", "AAA=", {"a": 1}, ["x"], None, 5])
def test_what_is_no_vector_is_an_upstream_error(value: object) -> None:
    with pytest.raises((EndpointAnswerError, DimensionMismatchError)):
        parse_vectors([{"index": 0, "embedding": value}], count=1, dimensions=1)


def test_a_component_beyond_half_precision_is_invalid() -> None:
    with pytest.raises(InvalidVectorError):
        parse_vectors([{"index": 0, "embedding": [70_000.0]}], count=1, dimensions=1)


def test_components_that_half_precision_still_holds_are_taken() -> None:
    vector = [65_519.0, -65_519.0, 0.0, 3.1e-8]
    assert parse_vectors([{"index": 0, "embedding": vector}], count=1, dimensions=4).tolist()[0] == pytest.approx(
        vector
    )
    assert np.isfinite(np.array(vector, dtype=np.float16)).all()


@pytest.mark.parametrize("value", [65_520.0, -65_520.0, math.inf, -math.inf, math.nan])
def test_one_component_beyond_half_precision_among_others_is_enough(value: float) -> None:
    items = [{"index": 0, "embedding": [1.0, 2.0]}, {"index": 1, "embedding": [1.0, value]}]
    with pytest.raises(InvalidVectorError, match="finite"):
        parse_vectors(items, count=2, dimensions=2)


def test_a_vector_that_half_precision_makes_all_zeros_is_invalid() -> None:
    items = [{"index": 0, "embedding": [1.0, 0.0]}, {"index": 1, "embedding": [2.0**-25, -(2.0**-25)]}]
    assert not np.array(items[1]["embedding"], dtype=np.float16).any()
    with pytest.raises(InvalidVectorError, match="zero"):
        parse_vectors(items, count=2, dimensions=2)


def test_base64_is_little_endian_float32() -> None:
    assert encode_base64(np.array([1.0, -2.0], dtype=np.float32)) == "AACAPwAAAMA="
