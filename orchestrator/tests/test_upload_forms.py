"""What an upload is said to be, and which of its fields is wrong."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from conftest import ALICE

KEY = {"X-API-Key": ALICE}


async def kept_type(job_id: str) -> str:
    from app.main import app

    upload = await app.state.orchestrator.pool.fetchval("SELECT upload FROM jobs WHERE id = $1", UUID(job_id))
    told: str = upload["type"]
    return told


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/plain; charset=iso-8859-1", "text/plain; charset=utf-8"),
        ("text/plain;CHARSET=latin1", "text/plain; charset=utf-8"),
        ("text/markdown; variant=GFM; charset=utf-16", "text/markdown; charset=utf-8; variant=GFM"),
        ("text/markdown; x=charset", "text/markdown; charset=utf-8; x=charset"),
        ("text/plain; x=" + "a" * 241, "text/plain; charset=utf-8; x=" + "a" * 226),
    ],
)
async def test_a_text_of_json_is_utf_8_whatever_its_file_was(api: httpx.AsyncClient, said: str, kept: str) -> None:
    body = {"name": "a.txt", "content": "Größe", "content_type": said}
    accepted = await api.post("/documents", json=body, headers=KEY)
    assert accepted.status_code == 202, accepted.text
    assert await kept_type(accepted.json()["job_id"]) == kept


async def test_a_file_keeps_the_charset_that_it_is_said_to_have(api: httpx.AsyncClient, configured: Any) -> None:
    files = {"file": ("a.txt", "Größe".encode("latin-1"), "text/plain; charset=iso-8859-1")}
    accepted = await api.post("/documents", files=files, headers=KEY)
    assert await kept_type(accepted.json()["job_id"]) == "text/plain; charset=iso-8859-1"


@pytest.mark.parametrize(
    ("name", "value", "field", "kind"),
    [
        ("metadata", "{", "body.metadata", "json_invalid"),
        ("metadata", "", "body.metadata", "json_invalid"),
        ("metadata", '{"a": NaN}', "body.metadata", "json_refused"),
        ("metadata", '{"a": 1, "a": 2}', "body.metadata.a", "duplicate_name"),
        ("chunking", "max_tokens=3", "body.chunking", "json_invalid"),
        ("force", "True", "body.force", "json_invalid"),
    ],
)
async def test_a_forms_field_that_is_no_json_is_named(
    api: httpx.AsyncClient, name: str, value: str, field: str, kind: str
) -> None:
    files = {"file": ("a.md", b"# A", "text/markdown")}
    refused = await api.post("/documents", files=files, data={name: value}, headers=KEY)
    assert refused.status_code == 422, refused.text
    (error,) = refused.json()["errors"]
    assert (error["field"], error["type"]) == (field, kind)
