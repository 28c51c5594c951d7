"""Reading a document: its chunks in pages, and its text."""

import httpx
import pytest

from app.core.storage import reading
from tests.documents import add

TEXTS = [f"Chunk number {number}." for number in range(7)]


async def test_a_document_is_read_with_its_chunks_in_pages(client: httpx.AsyncClient) -> None:
    document = {"url": "https://example.com/p", "title": "T", "author": "A", "metadata": {"k": 1}}
    indexed = await add(client, *TEXTS, document=document)
    path = f"/corpora/docs/documents/{indexed.document_id}"
    first = await client.get(path, params={"limit": 3})
    body = first.json()
    assert body["document_id"] == indexed.document_id
    assert (body["title"], body["author"], body["metadata"], body["chunks"]) == ("T", "A", {"k": 1}, 7)
    assert body["items"][1] == {
        "chunk_index": 1,
        "text": TEXTS[1],
        "start": len(TEXTS[0]),
        "end": len(TEXTS[0]) + len(TEXTS[1]),
        "token_count": 3,
        "heading_path": [],
        "table_header": None,
    }
    read = [chunk["text"] for chunk in body["items"]]
    assert 'rel="next"' in first.headers["link"]
    while body["next_cursor"]:
        body = (await client.get(path, params={"limit": 3, "cursor": body["next_cursor"]})).json()
        read += [chunk["text"] for chunk in body["items"]]
    assert read == TEXTS
    other = await add(client, "other", document={"url": "https://example.com/other"})
    cursor = first.json()["next_cursor"]
    elsewhere = await client.get(f"/corpora/docs/documents/{other.document_id}", params={"cursor": cursor})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "invalid_cursor")


async def test_a_documents_text_is_put_together_from_its_chunks(client: httpx.AsyncClient) -> None:
    chunks = [
        {"index": 0, "text": "# A\n\nfirst and", "start": 0, "end": 14},
        {"index": 1, "text": "first and second", "start": 5, "end": 21},
        {"index": 2, "text": "third", "start": 23, "end": 28},
    ]
    indexed = await add(client, *chunks)
    answer = (await client.get(f"/corpora/docs/documents/{indexed.document_id}/content")).json()
    assert answer == {
        "document_id": indexed.document_id,
        "url": "https://example.com/page",
        "title": None,
        "text": "# A\n\nfirst and second\n\nthird",
        "start": 0,
    }


async def test_a_text_that_is_too_long_names_the_pages(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CONTENT_MAX_CHARACTERS", 20)
    indexed = await add(client, *TEXTS)
    answer = await client.get(f"/corpora/docs/documents/{indexed.document_id}/content")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "in pages" in answer.json()["detail"]


async def test_a_deleted_document_is_not_read(client: httpx.AsyncClient) -> None:
    indexed = await add(client, *TEXTS)
    path = f"/corpora/docs/documents/{indexed.document_id}"
    assert (await client.delete(path)).status_code == 204
    for gone in (path, f"{path}/content"):
        answer = await client.get(gone)
        assert (answer.status_code, answer.json()["code"]) == (404, "document_not_found")
