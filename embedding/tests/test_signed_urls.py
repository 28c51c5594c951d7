"""A URL can be a key: the document's row has it, whose identity it is, and no span, log line or audit line has it whole."""

from types import ModuleType

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ml_shared.testing.orchestrator import FakeOrchestrator
from tests.test_tasks import DOCUMENT, arguments, hand_out, rows, run

CANARY = "c4n4ryOfASignature"
URL = f"https://example.com/page?X-Amz-Signature={CANARY}&auth={CANARY}"
TOLD = "https://example.com/page?X-Amz-Signature=***&auth=***"


async def test_a_document_of_a_signed_url_is_told_of_without_the_signature(
    tasks: ModuleType,
    client: httpx.AsyncClient,
    fake_orchestrator: FakeOrchestrator,
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    database: str,
) -> None:
    caplog.set_level("INFO", logger="audit")
    caplog.set_level("DEBUG", logger="app")
    document = {**DOCUMENT, "url": URL}
    run(tasks, hand_out(fake_orchestrator, "one", document=document))
    body = {key: arguments()[key] for key in ("corpus_name",)} | {"document": document, "chunks": []}
    assert (await client.post("/enqueue", json=body)).status_code == 202
    assert await rows(database, "SELECT url FROM documents") == [{"url": URL}]
    urls = {span.attributes["job.url"] for span in spans.get_finished_spans() if "job.url" in (span.attributes or {})}
    assert urls == {TOLD}
    records = [record.__dict__ for record in caplog.records]
    assert [record["fields"]["url"] for record in records if record["name"] == "audit"] == [TOLD]
    assert CANARY not in "".join(span.to_json() for span in spans.get_finished_spans())
    assert CANARY not in str(records)
