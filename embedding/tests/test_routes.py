"""The routes that answer at once: vectors, search, OpenAI's shape; who may, and what they say when they can't."""

import base64
import logging
from typing import Any

import httpx
import numpy as np
import pytest

from app.config import Settings
from ml_shared.auth.context import hash_key
from ml_shared.testing.endpoint import DEFAULT_DIMENSIONS, DEFAULT_MODEL, EndpointMode, FakeEndpoint, vector_of
from tests.conftest import BOB, ORCHESTRATOR
from tests.documents import add

ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/embed", {"texts": ["a"]}),
    ("POST", "/search", {"query": "a"}),
    ("POST", "/enqueue", {"document": {"url": "https://example.com/"}, "chunks": []}),
    ("GET", "/results/some-task", None),
    ("GET", "/corpora", None),
    ("GET", "/corpora/docs", None),
    ("DELETE", "/corpora/docs", None),
    ("GET", "/corpora/docs/documents", None),
    ("DELETE", "/corpora/docs/documents/00000000-0000-0000-0000-000000000000", None),
    ("POST", "/v1/embeddings", {"input": "a", "model": DEFAULT_MODEL}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/some/model", None),
    ("GET", "/corpora/docs/documents/00000000-0000-0000-0000-000000000000", None),
    ("GET", "/corpora/docs/documents/00000000-0000-0000-0000-000000000000/content", None),
]


def code_of(answer: httpx.Response) -> str | None:
    """Return an error's code, in either shape."""
    body = answer.json()
    code: str | None = body["error"]["code"] if "error" in body else body["code"]
    return code


async def test_embed_answers_vectors_in_the_order_of_the_texts(client: httpx.AsyncClient) -> None:
    answer = await client.post("/embed", json={"texts": ["one", "two words"], "job_id": "mine"})
    assert answer.status_code == 200
    body = answer.json()
    np.testing.assert_allclose(body["embeddings"], [vector_of("one"), vector_of("two words")], rtol=1e-5)
    assert body["job_id"] == "mine"
    assert (body["model"], body["dimensions"], body["token_total"]) == (DEFAULT_MODEL, DEFAULT_DIMENSIONS, 3)


@pytest.mark.parametrize("texts", [[], [""], ["a"] * 2049, "a", [1], ["a" * 65_537]])
async def test_embed_refuses_what_is_no_list_of_texts(client: httpx.AsyncClient, texts: object) -> None:
    answer = await client.post("/embed", json={"texts": texts})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_text_that_is_too_long_is_a_422_and_never_truncated(
    client: httpx.AsyncClient, endpoint: FakeEndpoint
) -> None:
    answer = await client.post("/embed", json={"texts": ["word " * 600]})
    assert (answer.status_code, answer.json()["code"]) == (422, "input_too_long")
    assert endpoint.inputs == []


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        (EndpointMode.BROKEN, 503, "endpoint_unavailable"),
        (EndpointMode.RATE_LIMITED, 429, "endpoint_rate_limited"),
        (EndpointMode.WRONG_DIMENSIONS, 502, "dimension_mismatch"),
        (EndpointMode.ZERO, 502, "invalid_vector"),
    ],
)
async def test_the_endpoints_failures_have_their_codes(
    client: httpx.AsyncClient, endpoint: FakeEndpoint, mode: EndpointMode, status: int, code: str
) -> None:
    endpoint.behave(mode)
    endpoint.retry_after_seconds = 30
    answer = await client.post("/embed", json={"texts": ["a"]})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == ("30" if mode is EndpointMode.RATE_LIMITED else None)


@pytest.mark.parametrize(
    ("path", "body", "alternative"),
    [
        ("/embed", {"texts": ["a"]}, "POST /enqueue"),
        ("/search", {"query": "a", "corpus_name": "docs"}, "smaller top_k"),
        ("/v1/embeddings", {"input": "a", "model": DEFAULT_MODEL}, "fewer texts"),
    ],
)
async def test_past_the_deadline_the_answer_is_504_and_names_the_alternative(
    client: httpx.AsyncClient,
    configured: Settings,
    endpoint: FakeEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: dict[str, Any],
    alternative: str,
) -> None:
    await add(client, "a")
    monkeypatch.setattr(configured, "SYNC_TIMEOUT_SECONDS", 0.2)
    endpoint.delay_seconds = 600
    endpoint.behave(EndpointMode.SLOW)
    answer = await client.post(path, json=body)
    assert (answer.status_code, code_of(answer)) == (504, "sync_timeout")
    assert alternative in answer.text


async def test_search_answers_the_passage_and_where_it_stood(client: httpx.AsyncClient) -> None:
    chunk = {"index": 0, "text": "hello world", "start": 5, "end": 16, "token_count": 4, "heading_path": ["H", "I"]}
    await add(client, chunk, document={"url": "https://example.com/p#x", "title": "T", "metadata": {"k": [1]}})
    answer = await client.post("/search", json={"query": "hello world", "corpus_name": "docs"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model"], body["mode"]) == (DEFAULT_MODEL, "hybrid")
    assert body["took_ms"] > 0
    assert body["next_offset"] is None
    assert body["warnings"] == []
    assert body["took"].keys() == {"embed", "vector", "text", "fuse", "rerank"}
    assert min(body["took"][step] for step in ("embed", "vector", "text", "fuse")) > 0
    [hit] = body["results"]
    assert hit.pop("document_id")
    assert hit.pop("trace_id")
    assert 0.4 < hit.pop("score") < 0.7
    assert hit == {
        "text": "hello world",
        "url": "https://example.com/p",
        "title": "T",
        "heading_path": ["H", "I"],
        "start": 5,
        "end": 16,
        "chunk_index": 0,
        "corpus_name": "docs",
        "metadata": {"k": [1]},
    }


async def test_search_in_a_corpus_that_is_not_there_is_a_404(client: httpx.AsyncClient) -> None:
    answer = await client.post("/search", json={"query": "a"})
    assert (answer.status_code, answer.json()["code"]) == (404, "corpus_not_found")
    assert "'default'" in answer.json()["detail"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": ""},
        {"query": " \n\u3000"},
        {"query": "a", "top_k": 101},
        {"query": "a", "mode": "magic"},
        {"query": "a", "corpus_name": "a", "corpora": ["b"]},
        {"query": "a", "filters": {"colour": "red"}},
        {"query": "a", "owner_": "x"},
    ],
)
async def test_search_refuses_what_is_not_in_the_contract(client: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    answer = await client.post("/search", json=wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"]


async def test_openai_clients_get_floats_and_base64(client: httpx.AsyncClient) -> None:
    body = {"input": ["one", "two"], "model": DEFAULT_MODEL}
    floats = (await client.post("/v1/embeddings", json=body)).json()
    packed = (await client.post("/v1/embeddings", json=body | {"encoding_format": "base64", "user": "u"})).json()
    assert [item["index"] for item in floats["data"]] == [0, 1]
    assert floats["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    for loose, tight in zip(floats["data"], packed["data"], strict=True):
        np.testing.assert_allclose(
            np.frombuffer(base64.b64decode(tight["embedding"]), dtype="<f4"), loose["embedding"], rtol=1e-6
        )
    models = (await client.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == [DEFAULT_MODEL]


async def test_a_bearer_key_serves_as_well(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models", headers={"X-API-Key": "", "Authorization": "Bearer key-of-bob"})
    assert answer.status_code == 200


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_no_route_answers_without_a_valid_key(
    client: httpx.AsyncClient, endpoint: FakeEndpoint, method: str, path: str, body: Any
) -> None:
    answer = await client.request(method, path, json=body, headers={"X-API-Key": "of-nobody"})
    assert (answer.status_code, code_of(answer)) == (401, "invalid_api_key")
    assert endpoint.bodies == []


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_every_route_is_limited_and_says_so(client: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    answer = await client.request(method, path, json=body)
    assert "ratelimit" in answer.headers
    assert "ratelimit-policy" in answer.headers
    assert "x-request-id" in answer.headers


async def test_another_owners_things_are_404_on_every_route(client: httpx.AsyncClient) -> None:
    await add(client, "mine")
    [document] = (await client.get("/corpora/docs/documents")).json()["items"]
    search = {"query": "mine", "corpus_name": "docs"}
    for method, path, body in [
        ("POST", "/search", search),
        ("GET", "/corpora/docs", None),
        ("GET", "/corpora/docs/documents", None),
        ("GET", f"/corpora/docs/documents/{document['document_id']}", None),
        ("GET", f"/corpora/docs/documents/{document['document_id']}/content", None),
        ("POST", "/search", {"like": {"document_id": document["document_id"], "chunk_index": 0}, "corpora": ["docs"]}),
        ("DELETE", f"/corpora/docs/documents/{document['document_id']}", None),
        ("DELETE", "/corpora/docs", None),
    ]:
        answer = await client.request(method, path, json=body, headers=BOB)
        assert (answer.status_code, answer.json()["code"]) == (404, "corpus_not_found"), path
    assert (await client.get("/corpora", headers=BOB)).json()["items"] == []
    await add(client, "of bob", headers=BOB)
    path = f"/corpora/docs/documents/{document['document_id']}"
    assert (await client.delete(path, headers=BOB)).json()["code"] == "document_not_found"
    like = {"like": {"document_id": document["document_id"], "chunk_index": 0}, "corpora": ["docs"]}
    for answer in (
        await client.get(path, headers=BOB),
        await client.get(f"{path}/content", headers=BOB),
        await client.post("/search", json=like, headers=BOB),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "document_not_found")
    answer = await client.post("/search", json=search | {"top_k": 100}, headers=BOB)
    assert [hit["text"] for hit in answer.json()["results"]] == ["of bob"]
    assert (await client.get("/corpora/docs")).json()["chunks"] == 1


async def test_the_orchestrators_owner_field_does_not_reach_a_search(client: httpx.AsyncClient) -> None:
    await add(client, "mine")
    body = {"query": "mine", "corpus_name": "docs", "owner": f"key:{hash_key('key-of-alice')}"}
    assert (await client.post("/search", json=body, headers=BOB)).json()["code"] == "internal_field"
    assert (await client.post("/search", json=body, headers=ORCHESTRATOR)).json()["code"] == "users_only"


async def test_corpora_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    for name in ("b", "a", "c"):
        await add(client, f"words of {name}", corpus_name=name)
    first = await client.get("/corpora", params={"limit": 2})
    assert [corpus["name"] for corpus in first.json()["items"]] == ["a", "b"]
    assert 'rel="next"' in first.headers["link"]
    second = await client.get("/corpora", params={"limit": 2, "cursor": first.json()["next_cursor"]})
    assert [corpus["name"] for corpus in second.json()["items"]] == ["c"]
    assert second.json()["next_cursor"] is None
    corpus = (await client.get("/corpora/a")).json()
    assert (corpus["documents"], corpus["chunks"], corpus["tokens"], corpus["model"]) == (1, 1, 3, DEFAULT_MODEL)


@pytest.mark.parametrize("parameters", [{"cursor": "!"}, {"cursor": "AA=="}, {"limit": 0}, {"limit": "x"}])
async def test_a_cursor_or_limit_that_is_none_is_a_422(client: httpx.AsyncClient, parameters: Any) -> None:
    assert (await client.get("/corpora", params=parameters)).status_code == 422


async def test_documents_are_listed_by_url_and_deleted(client: httpx.AsyncClient) -> None:
    for path in ("b", "a", "c"):
        await add(client, path, document={"url": f"https://example.com/{path}", "title": path})
    page = (await client.get("/corpora/docs/documents", params={"limit": 2})).json()
    assert [document["title"] for document in page["items"]] == ["a", "b"]
    elsewhere = await client.get("/corpora", params={"cursor": page["next_cursor"]})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "invalid_cursor")
    rest = await client.get("/corpora/docs/documents", params={"cursor": page["next_cursor"]})
    assert [document["title"] for document in rest.json()["items"]] == ["c"]
    target = f"/corpora/docs/documents/{page['items'][0]['document_id']}"
    assert (await client.delete(target)).status_code == 204
    assert (await client.delete(target)).json()["code"] == "document_not_found"
    assert (await client.get("/corpora/docs")).json()["documents"] == 2
    assert (await client.delete("/corpora/docs/documents/nonsense")).status_code == 422


async def test_a_deleted_corpus_is_gone_and_can_be_made_again(client: httpx.AsyncClient) -> None:
    await add(client, "words")
    assert (await client.delete("/corpora/docs")).status_code == 204
    assert (await client.get("/corpora/docs")).status_code == 404
    assert (await client.delete("/corpora/docs")).status_code == 404
    await add(client, "again")
    assert (await client.get("/corpora/docs")).json()["documents"] == 1


async def test_health_says_what_works(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health", headers={"X-API-Key": ""})
    assert answer.status_code == 200
    assert {name: check["status"] for name, check in answer.json()["checks"].items()} == {
        "redis": "ok",
        "postgres": "ok",
    }
    await client.post("/embed", json={"texts": ["a"]})
    assert b"ml_embedding_endpoint_seconds" in (await client.get("/metrics")).content


async def test_neither_keys_nor_texts_reach_the_logs(
    client: httpx.AsyncClient, endpoint: FakeEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        endpoint.behave(EndpointMode.BROKEN)
        await client.post("/embed", json={"texts": ["a secret text"]})
    written = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for secret in ("key-of-alice", endpoint.key, "a secret text"):
        assert secret not in written
