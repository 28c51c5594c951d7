"""Which request reaches which service, and under which path."""

import httpx
import pytest
from conftest import PROBLEM, UNLIMITED, Gateway, StartGateway

from ml_shared.clients.tls import shared_tls

INTERNAL = [
    ("POST", "/jobs/a1/complete"),
    ("POST", "/jobs/a1/progress"),
    ("PUT", "/content?job_id=a1&attempt_id=b2&stage=scraping"),
    ("GET", "/content/r3?attempt_id=b2"),
]


@pytest.mark.parametrize("service", ["orchestrator", "scraper", "chunking", "embedding"])
def test_each_prefix_is_taken_off_and_said_in_a_header(gateway: Gateway, service: str) -> None:
    assert gateway.get(f"/api/{service}/v1/models?x=%2F").json() == {"service": service}
    assert gateway.last(service).path == "/v1/models"
    assert gateway.last(service).headers["x-forwarded-prefix"] == f"/api/{service}"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/health", "/health/live"])
def test_documentation_and_health_of_every_service_pass_from_outside(outside: Gateway, path: str) -> None:
    assert outside.get(f"/api/embedding{path}").status_code == 200
    assert outside.last("embedding").path == path


@pytest.mark.parametrize(("method", "path"), INTERNAL)
def test_an_internal_route_reaches_the_orchestrator_under_its_own_path(
    gateway: Gateway, method: str, path: str
) -> None:
    assert gateway.client.request(method, f"/api/orchestrator{path}").status_code == 200
    assert gateway.last("orchestrator").path == path.partition("?")[0]


@pytest.mark.parametrize(("method", "path"), INTERNAL)
def test_an_internal_route_is_not_there_for_outsiders(outside: Gateway, method: str, path: str) -> None:
    seen = len(outside.upstreams["orchestrator"].received)
    answer = outside.client.request(method, f"/api/orchestrator{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
    assert len(outside.upstreams["orchestrator"].received) == seen


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs"),
        ("POST", "/jobs/batch"),
        ("POST", "/jobs/a1/cancel"),
        ("POST", "/jobs/a1/retry"),
        ("GET", "/batches"),
        ("GET", "/batches/b1"),
        ("POST", "/batches/b1/cancel"),
        ("POST", "/batches/b1/retry"),
        ("POST", "/webhooks"),
        ("PATCH", "/webhooks/w1"),
        ("DELETE", "/webhooks/w1"),
        ("POST", "/webhooks/w1/deliveries/d1/replay"),
        ("POST", "/crawls"),
        ("GET", "/crawls"),
        ("PATCH", "/crawls/c1"),
        ("DELETE", "/crawls/c1"),
        ("POST", "/crawls/c1/runs"),
        ("POST", "/crawls/c1/pause"),
        ("GET", "/crawls/c1/runs/2/pages"),
        ("POST", "/crawls/c1/runs/2/confirm"),
    ],
)
def test_a_users_route_reaches_the_orchestrator_with_what_its_client_prefers(
    outside: Gateway, method: str, path: str
) -> None:
    answer = outside.client.request(method, f"/api/orchestrator{path}", headers={"Prefer": "wait=30"})
    assert answer.status_code == 200
    received = outside.last("orchestrator")
    assert (received.path, received.headers["prefer"]) == (path, "wait=30")


@pytest.mark.parametrize(
    "path",
    [
        "/api/orchestrator/jobs/a1/complete/",
        "/api/orchestrator//jobs//a1//complete",
        "/api/orchestrator/jobs/a1%2Fcomplete",
        "/api/orchestrator/jobs/a1/%63omplete",
        "/api/orchestrator/x/../jobs/a1/complete",
        "/api/scraper/../orchestrator/jobs/a1/progress",
        "/api/orchestrator/./content/r3",
        "/api/orchestrator/content",
        "/api/orchestrator/content/",
    ],
)
def test_an_internal_route_in_disguise_is_not_there_for_outsiders(outside: Gateway, path: str) -> None:
    seen = len(outside.upstreams["orchestrator"].received)
    raw = httpx.Request("POST", httpx.URL(str(outside.client.base_url), raw_path=path.encode()), content=b"{}")
    assert outside.client.send(raw).status_code == 404
    assert len(outside.upstreams["orchestrator"].received) == seen


@pytest.mark.parametrize(
    "path",
    [
        "/api/embedding/models/changes/1%0a%0a",
        "/api/embedding/models/changes%0a",
        "/api/embedding/models/changes/1%0d%0a/rollback",
        "/api/orchestrator/jobs/a1/complete%0a",
        "/api/orchestrator/content/r3%0a",
        "/api/embedding/metrics%0a%0a",
        "/api/scraper/enqueue/batch%0a",
        "/api/chunking/chunk%01",
        "/api/chunking/chunk%7f",
        "/%0a",
    ],
)
def test_a_path_with_a_control_character_is_nowhere_even_for_the_fleet(gateway: Gateway, path: str) -> None:
    seen = {name: len(upstream.received) for name, upstream in gateway.upstreams.items()}
    raw = httpx.Request("POST", httpx.URL(str(gateway.client.base_url), raw_path=path.encode()), content=b"{}")
    answer = gateway.client.send(raw)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert {name: len(upstream.received) for name, upstream in gateway.upstreams.items()} == seen


@pytest.mark.parametrize("service", ["scraper", "embedding"])
def test_several_hand_outs_at_once_are_the_fleets_alone(gateway: Gateway, outside: Gateway, service: str) -> None:
    assert gateway.client.post(f"/api/{service}/enqueue/batch").status_code == 200
    assert gateway.last(service).path == "/enqueue/batch"
    seen = len(outside.upstreams[service].received)
    for path in ("/enqueue/batch", "/enqueue/batch/", "//enqueue//batch", "/%65nqueue/batch", "/x/../enqueue/batch"):
        assert outside.client.post(f"/api/{service}{path}").status_code == 404
    assert len(outside.upstreams[service].received) == seen


def test_changes_of_model_are_for_who_asks_from_the_fleet(gateway: Gateway, outside: Gateway) -> None:
    assert gateway.client.post("/api/embedding/models/changes/3/cancel").status_code == 200
    assert gateway.last("embedding").path == "/models/changes/3/cancel"
    seen = len(outside.upstreams["embedding"].received)
    for path in ("/models/changes", "/models/changes/", "//models//changes/plan", "/models/%63hanges/1"):
        assert outside.client.post(f"/api/embedding{path}").status_code == 404
    assert len(outside.upstreams["embedding"].received) == seen


@pytest.mark.parametrize("service", ["orchestrator", "scraper", "chunking", "embedding"])
def test_metrics_are_for_the_fleet_only(gateway: Gateway, outside: Gateway, service: str) -> None:
    assert gateway.get(f"/api/{service}/metrics").status_code == 200
    assert gateway.last(service).path == "/metrics"
    seen = len(outside.upstreams[service].received)
    for path in ("/metrics", "/metrics/", "//metrics", "/%6detrics"):
        assert outside.get(f"/api/{service}{path}").status_code == 404
    assert len(outside.upstreams[service].received) == seen


def test_health_is_the_orchestrators_and_what_only_begins_so_is_not(gateway: Gateway) -> None:
    assert gateway.get("/health").json() == {"service": "orchestrator"}
    assert gateway.last("orchestrator").path == "/health"
    for path in ("/healthanything", "/health/live", "/console", "/api/", "/api/unknown/x", "/metrics", "/stub_status"):
        assert gateway.get(path).json()["code"] == "not_found"


def test_a_services_redirect_keeps_the_prefix(gateway: Gateway) -> None:
    assert gateway.get("/api/orchestrator/onward").headers["location"] == "/api/orchestrator/jobs?x=1"


@pytest.mark.parametrize("service", ["orchestrator", "scraper", "chunking", "embedding"])
@pytest.mark.parametrize("path", ["/", "/jobs/", "/corpora/x/", "/docs/", "//", "/a/../b/", "/corpora/x//?limit=2"])
def test_a_path_that_ends_in_a_slash_is_handed_on_and_never_redirected(
    gateway: Gateway, service: str, path: str
) -> None:
    raw = httpx.Request("GET", httpx.URL(str(gateway.client.base_url), raw_path=f"/api/{service}{path}".encode()))
    answer = gateway.client.send(raw)
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert gateway.last(service).path.endswith("/")


@pytest.mark.parametrize("path", ["/console/", "/api/", "/nothing/", "/health/"])
def test_a_path_of_no_service_that_ends_in_a_slash_is_not_redirected_either(gateway: Gateway, path: str) -> None:
    assert gateway.get(path).status_code == 404


def test_a_services_own_problem_passes_unchanged(gateway: Gateway) -> None:
    answer = gateway.get("/api/scraper/problem")
    assert (answer.status_code, answer.content) == (429, PROBLEM)
    assert answer.headers.get_list("retry-after") == ["17"]


@pytest.mark.parametrize(
    ("path", "megabytes"),
    [("/api/chunking/chunk", 47), ("/api/orchestrator/content?job_id=a", 33), ("/api/orchestrator/jobs/batch", 15)],
)
def test_a_body_as_large_as_the_contracts_allow_passes(gateway: Gateway, path: str, megabytes: int) -> None:
    assert gateway.put(path, content=bytes(megabytes * 2**20)).status_code == 200
    assert gateway.last(path.split("/")[2]).body_bytes == megabytes * 2**20


def test_the_fleet_is_told_from_others_by_address_and_by_nothing_a_client_says(start_gateway: StartGateway) -> None:
    with start_gateway(GATEWAY_FLEET_ALLOW="allow 127.0.0.1;", **UNLIMITED) as gateway:
        with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.1", verify=shared_tls())) as vm:
            assert vm.post(f"{gateway.server.url}/api/orchestrator/jobs/a1/complete").status_code == 200
        claims = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP"), "127.0.0.1")
        try:
            elsewhere = httpx.HTTPTransport(local_address="127.0.0.2", verify=shared_tls())
            with httpx.Client(transport=elsewhere, headers=claims) as stranger:
                for method, path in INTERNAL:
                    answer = stranger.request(method, f"{gateway.server.url}/api/orchestrator{path}")
                    assert answer.status_code == 404
                assert stranger.get(f"{gateway.server.url}/api/embedding/metrics").status_code == 404
                assert stranger.get(f"{gateway.server.url}/api/embedding/x").status_code == 200
        except httpx.ConnectError as error:
            pytest.skip(f"127.0.0.2 is no address of this machine: {error}")
        assert gateway.last("embedding").headers["x-forwarded-for"] == "127.0.0.2"
        assert len(gateway.upstreams["orchestrator"].received) == 1
