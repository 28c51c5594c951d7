"""Every action of a caller leaves one line in the audit trail, which says what was asked and never its text."""

import logging
from typing import Any

import httpx
import pytest

from ml_shared.audit.events import AuditEvent
from ml_shared.testing.endpoint import DEFAULT_MODEL
from tests.documents import add

TEXT = "a text of nobodys business"


@pytest.mark.parametrize(
    ("method", "path", "body", "event", "said"),
    [
        (
            *("POST", "/embed", {"texts": [TEXT], "job_id": "mine"}, AuditEvent.EMBED_SYNC_COMPLETE),
            {"job_id": "mine", "texts": 1, "tokens": 5},
        ),
        (
            *("POST", "/v1/embeddings", {"input": TEXT, "model": DEFAULT_MODEL}, AuditEvent.OPENAI_EMBED_COMPLETE),
            {"texts": 1, "tokens": 5},
        ),
        (
            *("POST", "/search", {"query": TEXT, "corpus_name": "docs", "job_id": "mine"}, AuditEvent.SEARCH_COMPLETE),
            {"job_id": "mine", "mode": "hybrid", "top_k": 10, "results": 1},
        ),
        (
            *("POST", "/enqueue", {"document": {"url": "https://example.com/"}, "chunks": []}),
            *(AuditEvent.EMBED_ENQUEUED, {"url": "https://example.com/", "corpus_name": "default"}),
        ),
        ("GET", "/v1/models", None, AuditEvent.MODELS_LISTED, {}),
        ("GET", f"/v1/models/{DEFAULT_MODEL}", None, AuditEvent.MODEL_READ, {"model": DEFAULT_MODEL}),
        ("GET", "/corpora", None, AuditEvent.CORPORA_LISTED, {}),
        ("GET", "/corpora/docs/documents/{id}", None, AuditEvent.DOCUMENT_READ, {"corpus_name": "docs"}),
        (
            "GET",
            "/corpora/docs/documents/{id}/content",
            None,
            AuditEvent.DOCUMENT_CONTENT_READ,
            {"corpus_name": "docs"},
        ),
        ("GET", "/corpora/docs", None, AuditEvent.CORPUS_READ, {"corpus_name": "docs"}),
        ("GET", "/corpora/docs/documents", None, AuditEvent.DOCUMENTS_LISTED, {"corpus_name": "docs"}),
        ("DELETE", "/corpora/docs/documents/{id}", None, AuditEvent.DOCUMENT_DELETED, {"corpus_name": "docs"}),
        ("DELETE", "/corpora/docs", None, AuditEvent.CORPUS_DELETED, {"corpus_name": "docs"}),
    ],
)
async def test_an_action_is_one_line(
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    event: AuditEvent,
    said: dict[str, Any],
) -> None:
    indexed = await add(client, "words")
    with caplog.at_level(logging.INFO, logger="audit"):
        answer = await client.request(method, path.format(id=indexed.document_id), json=body)
    assert answer.is_success, answer.text
    [record] = [record for record in caplog.records if record.name == "audit"]
    assert record.msg == event
    fields: dict[str, Any] = record.fields  # type: ignore[attr-defined]
    assert said.items() <= fields.items()
    assert fields["outcome"] == "success"
    assert TEXT not in str(record.__dict__)
