"""OpenAI's routes: what its own client makes of our answers and errors."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from app.config import Settings
from ml_shared.testing.endpoint import DEFAULT_MODEL, EndpointMode, FakeEndpoint, vector_of
from ml_shared.testing.http_server import ThreadedServer
from tests.conftest import ALICE

HELLO = [55, 56]
# `hello world`, as the tests' tokenizer writes it


@pytest.fixture
def served(with_tokenizer: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the real application, which has the model's tokenizer."""
    from app.main import app

    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    with ThreadedServer(app) as server:
        yield server.url


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key=ALICE["X-API-Key"], max_retries=0) as opened:
        yield opened


def create(client: openai.OpenAI, given: Any, **more: Any) -> list[list[float]]:
    answer = client.embeddings.create(**{"model": DEFAULT_MODEL, "input": given, **more})
    return [item.embedding for item in answer.data]


def test_the_client_gets_vectors_models_and_one_model(client: openai.OpenAI) -> None:
    assert create(client, ["hello", "world"])[1] == pytest.approx(vector_of("world"), rel=1e-5)
    assert [model.id for model in client.models.list()] == [DEFAULT_MODEL]
    assert client.models.retrieve(DEFAULT_MODEL).id == DEFAULT_MODEL


def test_fields_that_are_not_known_are_ignored(client: openai.OpenAI) -> None:
    more = {"input_type": "query", "truncate": "END", "anything": {"a": [1]}}
    assert create(client, "hello", extra_body=more) == create(client, "hello")


@pytest.mark.parametrize("given", [HELLO, [HELLO], [1, *HELLO, 2]], ids=["one", "list", "with special tokens"])
def test_token_ids_of_our_tokenizer_are_the_text_that_they_are(
    client: openai.OpenAI, endpoint: FakeEndpoint, given: Any
) -> None:
    assert create(client, given)[0] == pytest.approx(vector_of("hello world"), rel=1e-5)
    assert endpoint.texts == ["hello world"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([9906, 1917], "the token id 9906 is not one of this model's 60"),
        ([[55], [9906, 1917]], "input 1 (the first is 0)"),
        ([30, 31, 32], "not as this model's tokenizer writes any text"),
    ],
    ids=["beyond the vocabulary", "in the second input", "pieces without their beginnings"],
)
def test_token_ids_of_another_tokenizer_are_refused_and_nothing_is_made_of_them(
    client: openai.OpenAI, endpoint: FakeEndpoint, given: Any, said: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, given)
    assert said in str(refused.value)
    assert "check_embedding_ctx_length=False" in str(refused.value)
    assert (refused.value.param, refused.value.code) == ("input", "unknown_tokens")
    assert endpoint.bodies == []


@pytest.mark.parametrize(
    ("body", "kind", "param", "code", "said"),
    [
        ({"model": "another"}, openai.NotFoundError, "model", "model_not_found", "the model here is 'test-model'"),
        ({"dimensions": 8}, openai.BadRequestError, "dimensions", "dimension_mismatch", "has 16 dimensions"),
        ({"input": []}, openai.BadRequestError, "input", None, "input: "),
        ({"input": ["a", ""]}, openai.BadRequestError, "input", None, "input.1: "),
        ({"encoding_format": "int8"}, openai.BadRequestError, "encoding_format", None, "encoding_format: "),
        (
            *({"input": ["hello", "word " * 600]}, openai.BadRequestError, "input", "context_length_exceeded"),
            "text 1 (the first is 0) has 602 tokens, and the model takes 512",
        ),
    ],
    ids=["model", "dimensions", "empty", "empty text", "format", "too long"],
)
def test_the_client_says_what_is_wrong_in_our_words(
    client: openai.OpenAI, body: dict[str, Any], kind: type[openai.APIStatusError], param: str, code: str, said: str
) -> None:
    with pytest.raises(kind) as refused:
        create(client, **{"given": body.pop("input", "hello"), **body})
    assert said in str(refused.value)
    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "input: String should have at least 1 character"),
        (["a", ""], "input.1: String should have at least 1 character"),
        (["a", 5], "input.1: Input should be a valid string"),
        ([], "input: List should have at least 1 item after validation, not 0"),
        (["a"] * 2049, "input: List should have at most 2048 items after validation, not 2049"),
        ([5, "a"], "input.1: Input should be a valid integer"),
        ([5, -1], "input.1: Input should be greater than or equal to 0"),
        ([[5], []], "input.1: List should have at least 1 item after validation, not 0"),
        ([[5], "a"], "input.1: Input should be a valid list"),
        (5, "input: Input should be a text, or a list of texts or of token ids"),
        ([None], "input.0: Input should be a valid string"),
    ],
    ids=[
        *("an empty text", "an empty one of two", "a number among texts", "nothing", "too many texts"),
        *("a text among ids", "an id below 0", "an empty list of ids", "a text among lists", "a number", "null"),
    ],
)
def test_of_a_wrong_input_the_one_reason_is_told(client: openai.OpenAI, given: Any, said: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, given)
    assert refused.value.body == {"message": said, "type": "invalid_request_error", "param": "input", "code": None}


def test_a_model_that_is_not_there_is_not_found(client: openai.OpenAI) -> None:
    for name in ("another", "some/model", "test-model/x"):
        with pytest.raises(openai.NotFoundError) as refused:
            client.models.retrieve(name)
        assert refused.value.code == "model_not_found"


def test_a_wrong_key_and_a_failing_endpoint_have_their_classes(
    client: openai.OpenAI, endpoint: FakeEndpoint, served: str
) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="of-nobody-0123").models.list()
    assert (refused.value.code, refused.value.type) == ("invalid_api_key", "authentication_error")
    endpoint.behave(EndpointMode.RATE_LIMITED)
    endpoint.retry_after_seconds = 30
    with pytest.raises(openai.RateLimitError) as limited:
        create(client, "hello")
    assert limited.value.response.headers["retry-after"] == "30"
    assert limited.value.type == "rate_limit_error"
    endpoint.behave(EndpointMode.BROKEN)
    with pytest.raises(openai.InternalServerError) as broken:
        create(client, "hello")
    assert (broken.value.code, broken.value.type) == ("endpoint_unavailable", "server_error")


def test_every_error_there_has_openais_shape_and_none_elsewhere(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Authorization": f"Bearer {ALICE['X-API-Key']}"}
    with httpx.Client(base_url=served, headers=headers) as plain:
        asked = [
            plain.get("/v1/nothing"),
            plain.delete("/v1/embeddings"),
            plain.post("/v1/embeddings", content=b"{"),
            plain.post("/v1/embeddings", json={}, headers={"Content-Encoding": "gzip"}),
        ]
        assert [answer.status_code for answer in asked] == [404, 405, 400, 415]

        async def unforeseen(*_: object) -> None:
            raise RuntimeError("a secret")

        monkeypatch.setattr("app.api.routes.openai.execute_embed_inputs", unforeseen)
        asked.append(plain.post("/v1/embeddings", json={"input": "hello", "model": DEFAULT_MODEL}))
        assert asked[-1].status_code == 500
        asked.append(plain.post("/v1/embeddings", content=b"[]"))
        for answer in asked:
            assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
            assert answer.json()["error"]["message"][0].isalpha()  # no empty name and a colon before it
            assert answer.headers["content-type"] == "application/json"
            assert int(answer.headers["content-length"]) == len(answer.content)
            assert answer.headers["x-request-id"]
            assert "a secret" not in answer.text
        elsewhere = plain.get("/v1x/nothing")
        assert elsewhere.headers["content-type"] == "application/problem+json"


async def test_without_the_tokenizer_token_ids_are_refused(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import app

    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://embedding", headers=ALICE) as opened,
    ):
        answer = await opened.post("/v1/embeddings", json={"input": [HELLO], "model": DEFAULT_MODEL})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_tokens")
