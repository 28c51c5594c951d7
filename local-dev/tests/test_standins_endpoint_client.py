"""The endpoint for development, as the client library of the API that it imitates sees it."""

import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import pytest
from standins.endpoint import DEFAULT_CACHE, build_endpoint_app
from standins.minilm import MiniLm
from standins.weights import DIMENSIONS, MODEL_NAME

from ml_shared.testing.http_server import ThreadedServer

KEY = "a-key-of-this-test"


def _similarity(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadedServer(build_endpoint_app(MiniLm.load(DEFAULT_CACHE), KEY)) as server:
        yield f"{server.url}/v1"


@pytest.fixture(scope="module")
def openai() -> ModuleType:
    """The library, which takes longer to import than all else that this folder's tests are collected with."""
    import openai

    return openai


# without `encoding_format` it asks for base64 and decodes that itself
@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
def test_the_openai_client_gets_unit_vectors_in_the_order_of_its_texts(
    openai: ModuleType, url: str, options: dict[str, Any]
) -> None:
    texts = ["a cat sat on the mat", "interest rates rose again", "a kitten was sitting on a rug"]
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        answer = client.embeddings.create(model=MODEL_NAME, input=texts, **options)
    assert [row.index for row in answer.data] == [0, 1, 2]
    cat, rates, kitten = (row.embedding for row in answer.data)
    assert len(cat) == DIMENSIONS
    assert math.isclose(math.hypot(*cat), 1.0, abs_tol=1e-3)
    assert _similarity(cat, kitten) > _similarity(cat, rates)


def test_the_openai_client_sees_a_wrong_key_as_one(openai: ModuleType, url: str) -> None:
    with openai.OpenAI(base_url=url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.embeddings.create(model=MODEL_NAME, input=["x"])


def test_the_openai_client_finds_the_model_in_the_list(openai: ModuleType, url: str) -> None:
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        assert MODEL_NAME in [model.id for model in client.models.list()]
