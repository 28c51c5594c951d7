"""Every error is a problem document that says what is wrong and nothing that it must not."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import Depends, FastAPI
from guarded_app import ORCHESTRATOR_KEY, build_app, serving, settings_for
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from ml_shared.auth.context import CallerContext
from ml_shared.auth.membership import validate_api_key
from ml_shared.errors import ConflictError, NotFoundError, RateLimitedError, UnavailableError
from ml_shared.http.problem_documents import problem_bytes
from ml_shared.http.problems import MAX_FIELD_ERRORS
from ml_shared.http.sync import within_deadline
from ml_shared.testing.membership import FakeMembership

KEY = "user-key-0123456789"
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id", "trace_id"}


class Answer(BaseModel):
    """What a route promises."""

    count: int


@pytest.fixture
def app() -> FastAPI:
    app = build_app()

    @app.get("/conflict")
    async def conflict() -> None:
        raise ConflictError("it has ended", code="job_ended", extra={"job_id": "j1", "status": 1, "code": "x"})

    @app.get("/later")
    async def later() -> None:
        raise RateLimitedError("the queue is full", code="queue_full", retry_after_seconds=29.2)

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, detail={"not": "text"}, headers={"X-Tea": "green"})  # type: ignore[arg-type]

    @app.get("/promise")
    async def promise() -> Answer:
        return {"count": "secret-value"}  # type: ignore[return-value]

    @app.post("/many")
    async def many(items: list[int], ctx: CallerContext = Depends(validate_api_key)) -> None: ...

    @app.delete("/many")
    async def delete_many() -> None: ...

    @app.get("/slow")
    async def slow() -> None:
        await within_deadline(asyncio.sleep(60), 0.01, "POST /jobs")

    return app


@pytest.fixture
async def client(app: FastAPI, membership: FakeMembership) -> AsyncIterator[httpx.AsyncClient]:
    membership.add(KEY)
    async with serving(app, settings_for(membership.url, RATE_LIMIT_TIERS={"default": 5})) as opened:
        yield opened


async def test_an_error_of_ours_has_every_member_and_its_own_extras(client: httpx.AsyncClient) -> None:
    answer = await client.get("/conflict?token=hidden")
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(body) == MEMBERS | {"job_id"}
    assert (answer.status_code, body["status"], body["title"]) == (409, 409, "Conflict")
    assert (body["code"], body["detail"], body["job_id"]) == ("job_ended", "it has ended", "j1")
    assert body["instance"] == "/conflict"


async def test_retry_after_is_in_whole_seconds_rounded_up(client: httpx.AsyncClient) -> None:
    answer = await client.get("/later")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "queue_full", "30")


async def test_an_unknown_path_and_method_are_problems_too(client: httpx.AsyncClient) -> None:
    missing, wrong = await client.get("/nowhere"), await client.delete("/conflict")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "GET")
    assert "/docs" in missing.json()["detail"]
    assert wrong.json()["detail"] == "this path takes GET"


async def test_a_405_names_the_methods_of_every_route_at_its_path(client: httpx.AsyncClient) -> None:
    """Starlette names those of the first one only."""
    answer = await client.get("/many")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, POST")


async def test_work_past_its_deadline_is_a_504_that_names_the_alternative(client: httpx.AsyncClient) -> None:
    answer = await client.get("/slow")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (504, "sync_timeout")
    assert "POST /jobs" in body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["trace_id"] == answer.headers["x-trace-id"]


async def test_the_openapi_document_declares_problems_and_no_other_shape_of_an_error(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    posted = document["paths"]["/numbers"]["post"]["responses"]
    assert set(posted) == {"200", "401", "403", "413", "422", "429", "503", "default"}
    assert all(response["content"] == problem for status, response in posted.items() if status != "200")
    assert set(document["paths"]["/health"]["get"]["responses"]) == {"200", "default"}
    assert "ValidationError" not in document["components"]["schemas"]
    assert set(document["components"]["schemas"]["Problem"]["properties"]) > MEMBERS
    assert document == (await client.get("/openapi.json")).json()


async def test_an_http_exception_keeps_its_status_and_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/teapot")
    assert (answer.status_code, answer.json()["title"], answer.headers["x-tea"]) == (418, "I'm a Teapot", "green")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"number=1", "application/x-www-form-urlencoded"),
        (b"[1]", "application/json"),
        (b"", "application/json"),
        (b"7", "text/plain"),
    ],
)
async def test_a_body_that_is_no_json_object_is_told_what_it_is_to_be(
    client: httpx.AsyncClient, body: bytes, kind: str
) -> None:
    answer = await client.post("/numbers", content=body, headers={"X-API-Key": KEY, "Content-Type": kind})
    assert answer.status_code == 422
    (wrong,) = answer.json()["errors"]
    assert (wrong["field"], "`Content-Type: application/json`" in wrong["message"]) == ("body", True)


async def test_a_422_names_each_field_and_echoes_no_value(client: httpx.AsyncClient) -> None:
    secret = "hunter2-" * 4
    answer = await client.post("/numbers", json={"number": secret}, headers={"X-API-Key": KEY})
    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "invalid_request")
    assert [error["field"] for error in body["errors"]] == ["body.number"]
    assert set(body["errors"][0]) == {"field", "message", "type"}
    assert secret not in answer.text


async def test_a_422_lists_a_bounded_number_of_fields(client: httpx.AsyncClient) -> None:
    answer = await client.post("/many", json=["x"] * 150, headers={"X-API-Key": KEY})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == MAX_FIELD_ERRORS
    assert "150" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"{", b'{"number": "x"}'], ids=["broken", "wrong"])
async def test_what_is_wrong_with_a_body_is_told_to_nobody_without_a_key(
    client: httpx.AsyncClient, body: bytes
) -> None:
    answer = await client.post("/numbers", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_api_key")


@pytest.mark.parametrize("body", [b"{", b'{"number": "x"}'], ids=["broken", "wrong"])
async def test_a_request_that_its_endpoint_never_sees_is_counted_all_the_same(
    client: httpx.AsyncClient, body: bytes
) -> None:
    headers = {"Content-Type": "application/json", "X-API-Key": KEY}
    answers = [await client.post("/numbers", content=body, headers=headers) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [422] * 5 + [429]
    assert answers[0].headers["ratelimit"].startswith('"membership-tier";r=4;')
    assert answers[5].json()["code"] == "rate_limited"


async def test_services_are_told_what_is_wrong_without_being_counted(client: httpx.AsyncClient) -> None:
    for _ in range(7):
        answer = await client.post("/numbers", json={}, headers={"X-API-Key": ORCHESTRATOR_KEY})
        assert answer.status_code == 422
        assert "ratelimit" not in answer.headers


async def test_a_broken_promise_is_logged_without_the_value(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await client.get("/promise")
    assert answer.status_code == 500
    assert "secret-value" not in answer.text + caplog.text
    assert "count" in caplog.text


def test_a_kept_problem_is_the_body_that_would_have_been_answered() -> None:
    body = json.loads(problem_bytes(NotFoundError("no such job")))
    assert (body["status"], body["code"], body["detail"]) == (404, "not_found", "no such job")


async def test_an_outage_within_a_route_is_logged_with_its_code(
    app: FastAPI, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/outage")
    async def outage() -> None:
        raise UnavailableError("the store does not answer", code="store_unavailable")

    assert (await client.get("/outage")).status_code == 503
    assert [record.__dict__["code"] for record in caplog.records if record.message == "request_failed"] == [
        "store_unavailable"
    ]
