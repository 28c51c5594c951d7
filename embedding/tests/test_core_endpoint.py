"""The endpoint's client: what it sends, what it takes, and what it makes of everything else."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from app.config import Settings
from app.core.batching import batches
from app.core.endpoint import EmbeddingEndpoint
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
async def client(endpoint: FakeEndpoint) -> AsyncIterator[EmbeddingEndpoint]:
    settings = Settings(EMBEDDING_API_BASE_URL=endpoint.base_url, EMBEDDING_BATCH_SIZE=8, EMBEDDING_TIMEOUT_SECONDS=0.5)
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
        (EndpointMode.SLOW, EndpointUnavailableError, "endpoint_unavailable", True, 3),
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
    made = batches(["a" * length for length in (5, 1, 9, 1, 7)], 2)
    assert made == [[2, 4], [0, 1], [3]]
    assert batches([], 2) == []


@pytest.mark.parametrize("value", [[[1.0]], "!!", "AAA=", {"a": 1}, ["x"], None, 5])
def test_what_is_no_vector_is_an_upstream_error(value: object) -> None:
    with pytest.raises((EndpointAnswerError, DimensionMismatchError)):
        parse_vectors([{"index": 0, "embedding": value}], count=1, dimensions=1)


def test_a_component_beyond_half_precision_is_invalid() -> None:
    with pytest.raises(InvalidVectorError):
        parse_vectors([{"index": 0, "embedding": [70_000.0]}], count=1, dimensions=1)


def test_base64_is_little_endian_float32() -> None:
    assert encode_base64(np.array([1.0, -2.0], dtype=np.float32)) == "AACAPwAAAMA="
