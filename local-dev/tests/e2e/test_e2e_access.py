"""Who may do what, at the gateway and past it."""

import uuid
from typing import Any

import httpx
import pytest
from conftest import Stage
from e2e_caller import Caller

from ml_shared.clients.tls import shared_tls

pytestmark = pytest.mark.xdist_group("fleet")

SERVICES = ("orchestrator", "scraper", "chunking", "embedding")
OPEN = {"/health", "/health/live", "/metrics"}
INTERNAL = {"/jobs/{job_id}/complete", "/jobs/{job_id}/progress", "/content", "/content/{ref}"}
BODIES: dict[str, dict[str, Any]] = {
    "/jobs": {"url": "http://site.test/"},
    "/jobs/batch": {"urls": ["http://site.test/"]},
    "/webhooks": {"url": "http://site.test/", "events": ["job.completed"]},
    "/crawls": {"url": "http://site.test/"},
    "/scrape": {"url": "http://site.test/"},
    "/chunk": {"text": "words"},
    "/embed": {"texts": ["words"]},
    "/search": {"query": "words"},
    "/v1/embeddings": {"input": "words", "model": "m"},
}
ENQUEUE: dict[str, dict[str, Any]] = {
    "scraper": {"url": "http://site.test/"},
    "embedding": {
        "document": {"url": "http://site.test/"},
        "chunks": [{"index": 0, "text": "words", "start": 0, "end": 5, "token_count": 3}],
    },
}


def routes(stage: Stage, service: str) -> list[tuple[str, str]]:
    """Every route of a service that needs a key, from what it says of itself."""
    document = httpx.get(stage.fleet.addresses.url(service, "/openapi.json"), timeout=60).json()
    return [
        (method.upper(), path) for path, methods in document["paths"].items() if path not in OPEN for method in methods
    ]


def filled(path: str) -> str:
    ids = ("job_id", "batch_id", "crawl_id", "task_id", "ref", "name", "id", "document_id", "webhook_id", "delivery_id")
    for name in ids:
        path = path.replace(f"{{{name}}}", str(uuid.uuid4()))
    return path


@pytest.mark.parametrize("service", SERVICES)
def test_a_bad_key_is_401_on_every_route(stage: Stage, service: str) -> None:
    found = routes(stage, service)
    assert found
    for method, path in found:
        for headers in ({"X-API-Key": "a-bad-key"}, {"Authorization": "Bearer a-bad-key"}, {}):
            body = BODIES.get(path) or ENQUEUE.get(service, {})
            direct = stage.fleet.addresses.url(service, filled(path))
            answer = httpx.request(method, direct, json=body, headers=headers, timeout=60, verify=shared_tls())
            assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text}"
            as_openai = path.startswith("/v1/")
            assert answer.headers["content-type"] == f"application/{'json' if as_openai else 'problem+json'}"
            assert "a-bad-key" not in answer.text


def test_a_bad_key_is_401_through_the_gateway(stage: Stage) -> None:
    bad = Caller(stage.fleet.gateway, "a-bad-key")
    for service in SERVICES:
        for method, path in routes(stage, service):
            body = BODIES.get(path) or ENQUEUE.get(service, {})
            answer = bad.request(method, f"/api/{service}{filled(path)}", json=body)
            assert answer.status_code == 401, f"{method} {service}{path}: {answer.status_code} {answer.text}"
    bad.close()


def test_an_internal_route_refuses_a_users_key_through_the_gateway_and_directly(stage: Stage, caller: Caller) -> None:
    job_id = str(uuid.uuid4())
    attempt = str(uuid.uuid4())
    asked = [
        ("POST", f"/jobs/{job_id}/complete", {"attempt_id": attempt, "stage": "scraping", "status": "success"}),
        ("POST", f"/jobs/{job_id}/progress", {"attempt_id": attempt, "stage": "scraping", "phase": "started"}),
        ("PUT", f"/content?job_id={job_id}&attempt_id={attempt}&stage=scraping", {}),
        ("GET", f"/content/abc?attempt_id={attempt}", None),
    ]
    for method, path, body in asked:
        through = caller.request(method, f"/api/orchestrator{path}", json=body)
        direct = httpx.request(
            method,
            stage.fleet.addresses.url("orchestrator", path),
            json=body,
            headers={"X-API-Key": stage.fleet.keys["user"]},
            timeout=60,
        )
        assert (through.status_code, direct.status_code) == (403, 403), f"{method} {path}"
        assert through.json()["code"] == direct.json()["code"] == "internal_only"


def test_the_fleets_own_callback_path_works_through_the_gateway_and_directly(stage: Stage) -> None:
    body = {"attempt_id": str(uuid.uuid4()), "stage": "scraping", "status": "failed", "error_code": "x"}
    headers = {"X-API-Key": stage.fleet.keys["scraper"]}
    path = f"/jobs/{uuid.uuid4()}/complete"
    for address in (f"{stage.fleet.gateway}/api/orchestrator", stage.fleet.addresses.url("orchestrator")):
        answer = httpx.post(address + path, json=body, headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_another_owner_sees_no_job_no_corpus_and_no_document(stage: Stage, caller: Caller, other: Caller) -> None:
    job = caller.index(stage.web.add("/mine", "osprey", 6), "mine")
    assert other.request("GET", f"/api/orchestrator/jobs/{job['job_id']}").status_code == 404
    listed = other.request("GET", "/api/orchestrator/jobs", params={"limit": 200}).json()["items"]
    assert job["job_id"] not in [one["job_id"] for one in listed]
    assert other.request("GET", "/api/embedding/corpora/mine").status_code == 404
    assert "mine" not in [one["name"] for one in other.request("GET", "/api/embedding/corpora").json()["items"]]
    refused = other.request("POST", "/api/embedding/search", json={"query": "osprey", "corpus_name": "mine"})
    assert (refused.status_code, refused.json()["code"]) == (404, "corpus_not_found")
    documents = other.request("GET", "/api/embedding/corpora/mine/documents")
    assert documents.status_code == 404
    assert caller.search("osprey", "mine")


@pytest.mark.parametrize("field", ["job_id", "attempt_id", "owner", "content_ref"])
def test_a_users_internal_field_is_refused_on_every_route_that_takes_a_body(
    stage: Stage, caller: Caller, field: str
) -> None:
    asked = [("orchestrator", path, BODIES[path]) for path in ("/jobs", "/jobs/batch")]
    asked += [(service, "/enqueue", body) for service, body in ENQUEUE.items()]
    if field != "job_id":  # there it is echoed and nothing more
        asked += [
            ("scraper", "/scrape", BODIES["/scrape"]),
            ("chunking", "/chunk", BODIES["/chunk"]),
            ("embedding", "/embed", BODIES["/embed"]),
            ("embedding", "/search", BODIES["/search"]),
        ]
    for service, path, body in asked:
        answer = caller.request("POST", f"/api/{service}{path}", json=body | {field: "abcdefgh"})
        assert answer.status_code == 403, f"{service}{path} {field}: {answer.status_code} {answer.text}"
        assert answer.json()["code"] == "internal_field"
