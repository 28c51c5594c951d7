"""The embedding endpoint for development: a real model, over real HTTP."""

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from standins import weights
from standins.endpoint import build_endpoint_app
from standins.minilm import MiniLm, batches
from standins.weights import DIMENSIONS, MAX_TOKENS, MODEL_NAME, WeightsError, tokenizer_file
from tokenizers import Tokenizer

from ml_shared.testing.http_server import ThreadedServer

KEY = "endpoint-key"
CACHE = Path(__file__).parents[1] / ".state" / "model"


@pytest.fixture(scope="module")
def model() -> MiniLm:
    return MiniLm.load(CACHE)


@pytest.fixture(scope="module")
def client(model: MiniLm) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        ThreadedServer(build_endpoint_app(model, KEY)) as server,
        httpx.Client(base_url=server.url, headers=headers, timeout=30) as client,
    ):
        yield client


def ask(client: httpx.Client, texts: Any, **more: Any) -> httpx.Response:
    return client.post("/v1/embeddings", json={"model": MODEL_NAME, "input": texts, **more})


def vectors(answer: httpx.Response) -> np.ndarray[Any, Any]:
    assert answer.status_code == 200, answer.text
    return np.array([row["embedding"] for row in answer.json()["data"]], dtype=np.float32)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def test_similar_sentences_are_as_close_as_the_published_model_says(client: httpx.Client) -> None:
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    found = vectors(ask(client, texts))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    # the example of the model's own page
    assert found[0] @ found[1:].T == pytest.approx([0.695, 0.943, 0.257], abs=1e-3)


def test_base64_and_floats_are_the_same_vectors(client: httpx.Client) -> None:
    texts = ["one", "a rather longer second text"]
    floats = vectors(ask(client, texts))
    rows = ask(client, texts, encoding_format="base64").json()["data"]
    decoded = np.array([np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4") for row in rows])
    assert decoded.shape == (2, DIMENSIONS)
    assert np.array_equal(floats, decoded)
    assert [row["index"] for row in rows] == [0, 1]


def test_a_batch_of_mixed_lengths_gives_each_text_the_vector_that_it_has_alone(client: httpx.Client) -> None:
    texts = [" ".join(["word"] * (1 + 37 * number % 300)) for number in range(20)]
    together = vectors(ask(client, texts))
    alone = np.concatenate([vectors(ask(client, text)) for text in texts[:5]])
    assert np.allclose(together[:5], alone, atol=1e-5)


def test_tokens_are_counted_with_the_special_ones(client: httpx.Client) -> None:
    usage = ask(client, ["hello world", "hello"]).json()["usage"]
    assert usage == {"prompt_tokens": 4 + 3, "total_tokens": 7}


def test_a_text_of_512_tokens_is_taken_whole_and_one_of_513_is_refused(client: httpx.Client) -> None:
    longest = " ".join(["word"] * (MAX_TOKENS - 2))
    tokenizer = Tokenizer.from_file(str(tokenizer_file()))
    tokenizer.no_truncation()
    assert ask(client, longest).json()["usage"]["prompt_tokens"] == MAX_TOKENS
    assert not np.array_equal(vectors(ask(client, longest)), vectors(ask(client, longest[:-4] + "other")))
    answer = ask(client, ["short", longest + " word"])
    error = error_of(answer)
    assert (answer.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "input")
    assert "input[1] has 513 tokens" in error["message"]


@pytest.mark.parametrize("key", ["wrong", KEY + "x", "kéy", KEY[:-1]])
def test_a_wrong_key_is_401(client: httpx.Client, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}".encode()}
    for answer in (
        client.get("/v1/models", headers=headers),
        client.post("/v1/embeddings", headers=headers, json={"model": MODEL_NAME, "input": "a"}),
    ):
        assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": [[1, 2, 3]]}, 400, "input"),
        ({"input": [1, 2, 3]}, 400, "input"),
        ({"input": []}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": ["a", ""]}, 400, "input"),
        ({"input": ["a"] * 2049}, 400, "input"),
        ({"input": "a", "dimensions": 256}, 400, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format"),
        ({"input": "a", "model": "another"}, 404, "model"),
    ],
)
def test_what_cannot_be_served_is_refused(client: httpx.Client, body: dict[str, Any], status: int, param: str) -> None:
    answer = client.post("/v1/embeddings", json={"model": MODEL_NAME, **body})
    assert (answer.status_code, error_of(answer)["param"]) == (status, param)


def test_bodies_that_are_not_json_and_routes_that_are_not_there_are_openai_errors(client: httpx.Client) -> None:
    assert error_of(client.post("/v1/embeddings", content=b"{"))["type"] == "invalid_request_error"
    assert error_of(client.get("/v1/nothing"))["message"]
    assert client.get("/v1/embeddings").status_code == 405


def test_its_own_dimensions_and_model_are_named(client: httpx.Client) -> None:
    assert ask(client, "a", dimensions=DIMENSIONS).status_code == 200
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [MODEL_NAME]
    assert client.get("/health").json()["dimensions"] == DIMENSIONS


def test_the_statistics_tell_texts_from_distinct_texts_and_count_nothing_that_was_refused(client: httpx.Client) -> None:
    def counts() -> np.ndarray[Any, Any]:
        answer = client.get("/stats", headers={"Authorization": ""}).json()
        return np.array(
            [answer[name] for name in ("requests", "texts", "distinct_texts", "passages", "distinct_passages")]
        )

    before = counts()
    ask(client, ["never before one", "never before two", "never before one"])
    ask(client, ["never before two", "never before three"])
    ask(client, ["never before four", ""])
    assert (counts() - before).tolist() == [2, 5, 3, 0, 0]
    ask(client, ["a passage, which is longer than headings are: " * 9, "Headings"] * 2)
    assert (counts() - before).tolist() == [3, 9, 5, 2, 1]


def test_requests_at_once_get_their_own_vectors(client: httpx.Client) -> None:
    texts = [f"text number {number} " * (1 + number % 7) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: vectors(ask(client, text))[0], texts))
    assert np.allclose(np.array(answers), vectors(ask(client, texts)), atol=1e-5)


def test_batches_hold_every_text_once_and_keep_to_their_budget() -> None:
    lengths = [512, 3, 700, 90, 512, 3, 4, 511]
    groups = list(batches(lengths, budget=1024))
    assert sorted(position for group in groups for position in group) == list(range(len(lengths)))
    assert all(len(group) == 1 or max(lengths[p] for p in group) * len(group) <= 1024 for group in groups)


def test_weights_that_are_not_the_published_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(weights, "model_folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match=hashlib.sha256(b"other weights").hexdigest()):
        weights.weights_file()
    with pytest.raises(WeightsError, match="missing"):
        tokenizer_file()


def test_a_damaged_graph_is_built_anew(tmp_path: Path) -> None:
    good = next(CACHE.glob("minilm-*.onnx"))
    (tmp_path / good.name).write_bytes(b"damaged")
    loaded = MiniLm.load(tmp_path)
    assert loaded.embed(loaded.tokenize(["hello"])).shape == (1, DIMENSIONS)
    assert (tmp_path / good.name).stat().st_size == good.stat().st_size
