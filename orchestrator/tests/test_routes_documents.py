"""`POST /documents`: what is taken in, what is refused, and what the scraper is handed."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from conftest import ALICE, BOB, SCRAPER

from ml_shared.auth.context import hash_key
from ml_shared.names import Stage

ASKED = {"corpus_name": "docs", "metadata": {"shelf": 3}, "chunking": {"max_tokens": 128}}


def key(raw: str = ALICE, **more: str) -> dict[str, str]:
    return {"X-API-Key": raw, **more}


async def upload(
    api: httpx.AsyncClient, body: bytes = b"%PDF-1.7 x", raw: str = ALICE, **fields: str
) -> httpx.Response:
    files = {"file": ("report.pdf", body, "application/pdf")}
    return await api.post("/documents", files=files, data=fields, headers=key(raw))


async def job_of(job_id: str) -> Any:
    from app.main import app

    return await app.state.orchestrator.pool.fetchrow("SELECT * FROM jobs WHERE id = $1", UUID(job_id))


async def kept() -> list[Any]:
    from app.main import app

    rows: list[Any] = await app.state.orchestrator._content._pool.fetch("SELECT ref, job_id FROM content")
    return rows


async def test_a_file_is_a_job_named_by_the_file_and_its_bytes_are_handed_to_the_scraper_alone(
    api: httpx.AsyncClient, fleet: Any
) -> None:
    from app.main import app

    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in ASKED.items()}
    answer = await upload(api, **fields)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    row = await job_of(job_id)
    assert (row["kind"], row["url"], row["corpus_name"]) == ("upload", "upload:report.pdf", "docs")
    assert (row["metadata"], row["chunking"]["max_tokens"]) == ({"shelf": 3}, 128)
    assert row["upload"]["type"] == "application/pdf"
    await app.state.orchestrator.dispatch(Stage.SCRAPING)
    (task,) = fleet.scraper.tasks
    sent = task.request.model_dump()
    assert (sent["url"], sent["content_ref"], sent["upload_type"]) == (
        *("upload:report.pdf", row["upload"]["ref"], "application/pdf"),
    )
    path = f"/content/{sent['content_ref']}"
    mine = await api.get(path, params={"attempt_id": sent["attempt_id"]}, headers=key(SCRAPER))
    assert (mine.status_code, mine.content) == (200, b"%PDF-1.7 x")
    for attempt_id in ("other", job_id):
        assert (await api.get(path, params={"attempt_id": attempt_id}, headers=key(SCRAPER))).status_code == 404
    assert (await api.get(path, params={"attempt_id": sent["attempt_id"]}, headers=key())).status_code == 403


async def test_a_text_comes_as_json_and_is_found_under_its_url(api: httpx.AsyncClient) -> None:
    body = {**ASKED, "url": "http://site.test/a b", "content": "# Grüße", "content_type": "text/markdown"}
    answer = await api.post("/documents", json=body, headers=key())
    assert answer.status_code == 202, answer.text
    row = await job_of(answer.json()["job_id"])
    assert (row["url"], row["document_url"]) == ("http://site.test/a b", "http://site.test/a%20b")
    assert row["upload"]["type"] == "text/markdown; charset=utf-8"
    view = (await api.get(f"/jobs/{answer.json()['job_id']}", headers=key())).json()
    assert (view["url"], view["status"]) == ("http://site.test/a b", "queued")


async def test_uploads_wait_for_no_host_and_many_are_handed_out_at_once(api: httpx.AsyncClient, fleet: Any) -> None:
    from app.main import app

    for number in range(4):
        body = {"name": f"{number}.md", "content": "# A"}
        assert (await api.post("/documents", json=body, headers=key())).status_code == 202
    lanes = {(await job_of(str(row["job_id"])))["host"] for row in await kept()}
    await app.state.orchestrator.dispatch(Stage.SCRAPING)
    assert len(fleet.scraper.tasks) == len(lanes)


async def test_the_same_key_is_one_job_and_its_bytes_are_kept_once(api: httpx.AsyncClient) -> None:
    body = {"name": "a.md", "content": "# A"}
    headers = key(**{"Idempotency-Key": "once-1"})
    first, second = [await api.post("/documents", json=body, headers=headers) for _ in range(2)]
    assert first.json() == second.json()
    assert len(await kept()) == 1
    other = await api.post("/documents", json={**body, "content": "# B"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(await kept()) == 1


async def test_what_is_refused_leaves_no_bytes(api: httpx.AsyncClient, configured: Any) -> None:
    for _ in range(5):
        assert (await upload(api)).status_code == 202
    refused = await upload(api)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_open_jobs")
    assert len(await kept()) == 5


async def test_half_of_what_is_kept_is_for_pages(
    api: httpx.AsyncClient, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "HIGH_WATER_CONTENT_BYTES", 1_000)
    full = await upload(api, b"x" * 501)
    assert (full.status_code, full.json()["code"]) == (503, "uploads_full")
    assert int(full.headers["retry-after"]) == 30
    assert (await upload(api, b"x" * 499)).status_code == 202


async def test_a_document_that_is_too_long_is_refused_whether_it_says_so_or_not(
    api: httpx.AsyncClient, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "MAX_UPLOAD_BYTES", 1_000)
    long = await upload(api, b"x" * 1_001)
    assert (long.status_code, long.json()["code"]) == (413, "too_large")
    assert "1000 is the most" in long.json()["detail"]

    async def pieces() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 2**20
            await asyncio.sleep(0)

    headers = key(**{"Content-Type": "multipart/form-data; boundary=b"})
    streamed = await api.post("/documents", content=pieces(), headers=headers)
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": "a"}, "body"),
        ({"name": "a", "content": ""}, "content"),
        ({"name": "a\n", "content": "a"}, "name"),
        ({"name": "a", "content": "a", "content_type": "text"}, "content_type"),
        ({"name": "a", "content": "a", "content_type": "text/plain\r\nX: y"}, "content_type"),
        ({"name": "a", "content": "a", "colour": "blue"}, "colour"),
        ({"url": "http://u:p@h.test/", "content": "a"}, "url"),
        ({"name": "a", "content": "a", "metadata": []}, "metadata"),
        ([], "body"),
    ],
)
async def test_a_wrong_field_is_named(api: httpx.AsyncClient, body: Any, field: str) -> None:
    answer = await api.post("/documents", json=body, headers=key())
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert field in answer.text


async def test_a_form_without_its_file_with_a_wrong_field_or_an_empty_file_says_so(api: httpx.AsyncClient) -> None:
    headers = key(**{"Content-Type": "multipart/form-data; boundary=b"})
    part = b'--b\r\nContent-Disposition: form-data; name="corpus_name"\r\n\r\nx\r\n--b--\r\n'
    missing = await api.post("/documents", content=part, headers=headers)
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "body.file")
    assert (await upload(api, b"")).json()["errors"][0]["field"] == "body.file"
    assert (await upload(api, metadata="{")).status_code in (400, 422)
    assert (await upload(api, corpus_name="no spaces")).json()["errors"][0]["field"] == "body.corpus_name"
    broken = await api.post("/documents", content=b"no form", headers=headers)
    assert broken.headers["content-type"] == "application/problem+json"
    assert 400 <= broken.status_code < 500
    other = await api.post("/documents", content=b"x", headers=key(**{"Content-Type": "text/plain"}))
    assert (other.status_code, other.json()["code"]) == (415, "unsupported_media_type")


async def test_an_upload_is_not_tried_again_but_sent_again(api: httpx.AsyncClient) -> None:
    job_id = (await upload(api)).json()["job_id"]
    await api.post(f"/jobs/{job_id}/cancel", headers=key())
    again = await api.post(f"/jobs/{job_id}/retry", headers=key())
    assert (again.status_code, again.json()["code"]) == (409, "not_retryable")
    assert "send the document again" in again.json()["detail"]


async def test_another_owners_upload_is_none(api: httpx.AsyncClient) -> None:
    job_id = (await upload(api)).json()["job_id"]
    assert (await api.get(f"/jobs/{job_id}", headers=key(BOB))).status_code == 404
    assert (await job_of(job_id))["owner"] == f"key:{hash_key(ALICE)}"
