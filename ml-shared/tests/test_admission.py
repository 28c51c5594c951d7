"""Who may send which fields of a body."""

from typing import Any

import pytest

from ml_shared.auth.context import CallerContext
from ml_shared.contracts.embedding import EnqueueEmbed
from ml_shared.contracts.jobs import JobRequest
from ml_shared.contracts.scraping import EnqueueScrape, ScrapeRequest
from ml_shared.errors import ForbiddenError, InvalidError
from ml_shared.http.admission import admit

USER = CallerContext("h", "user", "key:h")
SCRAPER = CallerContext("s", "service", "service:scraper", service="scraper", is_internal=True)
ORCHESTRATOR = CallerContext("o", "service", "service:orchestrator", service="orchestrator", is_internal=True)
# one who calls itself so without being internal
PRETENDER = CallerContext("p", "user", "key:p", service="orchestrator")
URL = "https://example.org/"
INTERNAL: dict[str, Any] = {
    "job_id": "j1",
    "attempt_id": "a1",
    "owner": "key:someone",
    "as_of": "2026-01-01T00:00:00Z",
    "submitted_at": "2026-01-01T00:00:00Z",
    "content_ref": "c1",
}


def test_the_orchestrator_may_send_everything() -> None:
    admit(EnqueueScrape(url=URL, **INTERNAL, added_by_an_upgrade=1), ORCHESTRATOR)


@pytest.mark.parametrize("ctx", [USER, SCRAPER, PRETENDER], ids=["user", "scraper", "pretender"])
@pytest.mark.parametrize("name", sorted(INTERNAL))
def test_nobody_else_may_send_its_fields(ctx: CallerContext, name: str) -> None:
    with pytest.raises(ForbiddenError) as raised:
        admit(EnqueueScrape(url=URL, **{name: INTERNAL[name]}), ctx)
    assert (raised.value.code, raised.value.status) == ("internal_field", 403)
    assert name in raised.value.detail


def test_a_field_of_the_orchestrators_that_the_contract_does_not_have_is_refused_as_such() -> None:
    with pytest.raises(ForbiddenError):
        admit(ScrapeRequest(url=URL, attempt_id="a1", unknown=1), USER)


def test_null_asks_for_nothing() -> None:
    admit(EnqueueScrape(url=URL, job_id=None), USER)


def test_on_sync_routes_a_job_id_is_welcome_and_nothing_else() -> None:
    admit(ScrapeRequest(url=URL, job_id="mine"), USER, echo_job_id=True)
    with pytest.raises(ForbiddenError) as raised:
        admit(ScrapeRequest(url=URL, job_id="mine", owner="key:other"), USER, echo_job_id=True)
    assert "owner" in raised.value.detail
    assert "job_id" not in raised.value.detail


def test_unknown_fields_of_users_are_listed_wherever_they_are() -> None:
    chunk = {"index": 0, "text": "t", "colour": "red"}
    document = {"url": URL, "color": "red", "metadata": {"any": "thing"}}
    payload = EnqueueEmbed(document=document, chunks=[chunk], colour="red")
    with pytest.raises(InvalidError) as raised:
        admit(payload, USER)
    fields = [error["field"] for error in raised.value.extra["errors"]]
    assert sorted(fields) == ["body.chunks.0.colour", "body.colour", "body.document.color"]
    assert "red" not in str(raised.value.extra)


def test_unknown_fields_of_nested_options_are_found() -> None:
    with pytest.raises(InvalidError) as raised:
        admit(JobRequest(url=URL, chunking={"max_tokens": 64, "overlap_tokens": 0, "overlap": 1}), USER)
    assert [error["field"] for error in raised.value.extra["errors"]] == ["body.chunking.overlap"]


def test_unknown_fields_of_services_are_ignored() -> None:
    admit(ScrapeRequest(url=URL, added_by_an_upgrade=1), SCRAPER)
