"""What is handed on in headers, and what is written down."""

import json
import re

import pytest
from conftest import GATEWAY_FOLDER, UNLIMITED, Gateway, StartGateway

from ml_shared.testing.gateway import SERVICES

TRACE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1",
    "baggage": "user=alice",
}


@pytest.mark.parametrize("request_id", ["abcdefgh", "A.b_c-d.1234", "x" * 128])
def test_a_callers_request_id_is_the_same_in_log_upstream_and_answer(gateway: Gateway, request_id: str) -> None:
    answer = gateway.get("/api/chunking/x", headers={"X-Request-Id": request_id})
    assert answer.headers.get_list("x-request-id") == [request_id]
    assert gateway.last("chunking").headers["x-request-id"] == request_id
    assert gateway.log_line(request_id)["service"] == "chunking"


@pytest.mark.parametrize(
    "request_id", ["", "short", "x" * 129, 'a"b"c"d"e"f', "with space in it", "näher-bestimmt", "a\tbcdefgh"]
)
def test_a_malformed_request_id_is_replaced_everywhere(gateway: Gateway, request_id: str) -> None:
    answer = gateway.get("/api/chunking/x", headers={"X-Request-Id": request_id.encode()})
    given = answer.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", given)
    assert gateway.last("chunking").headers["x-request-id"] == given
    assert gateway.log_line(given)["status"] == "200"


def test_an_answer_of_nginx_itself_carries_the_request_id_too(gateway: Gateway) -> None:
    answer = gateway.get("/nothing", headers={"X-Request-Id": "my-own-id"})
    assert answer.headers.get_list("x-request-id") == ["my-own-id"]
    assert answer.json()["request_id"] == "my-own-id"


@pytest.mark.parametrize("path", ["/api/orchestrator/jobs", "/api/embedding/search", "/api/orchestrator/batches/a/x"])
def test_trace_context_from_outside_is_dropped(gateway: Gateway, path: str) -> None:
    gateway.get(path, headers=TRACE)
    assert not TRACE.keys() & gateway.last(path.split("/")[2]).headers.keys()


def test_trace_context_of_a_callback_is_kept_and_baggage_is_not(gateway: Gateway) -> None:
    gateway.post("/api/orchestrator/jobs/a1/complete", headers=TRACE)
    headers = gateway.last("orchestrator").headers
    assert headers["traceparent"] == TRACE["traceparent"]
    assert headers["tracestate"] == TRACE["tracestate"]
    assert "baggage" not in headers


def test_forwarded_for_is_set_and_not_appended_to(gateway: Gateway) -> None:
    gateway.get("/api/scraper/x", headers={"X-Forwarded-For": "10.9.9.9", "X-Forwarded-Prefix": "/evil"})
    headers = gateway.last("scraper").headers
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-prefix"] == "/api/scraper"


def test_every_log_line_is_json_with_the_services_trace_id(gateway: Gateway) -> None:
    gateway.get('/api/scraper/x?q="quoted"\\', headers={"X-Request-Id": "log-line-1"})
    line = gateway.log_line("log-line-1")
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert line["service"] == "scraper"
    assert line["limit_req_status"] == "PASSED"
    assert isinstance(line["request_time"], float)
    assert gateway.log_lines()[-1].keys() == line.keys()


def test_a_log_line_names_the_route_for_metrics(start_gateway: StartGateway) -> None:
    routes = {
        "/api/orchestrator/jobs/a1": "orchestrator",
        "/api/orchestrator/jobs/events": "orchestrator",
        "/api/orchestrator/jobs/a1/events/x": "orchestrator",
        "/api/orchestrator/jobs/a1/events?after=3": "events",
        "/api/orchestrator/batches/b1/events": "events",
        "/api/orchestrator/crawls/c1/runs/2/events": "events",
        "/api/orchestrator/crawls/c1/events": "orchestrator",
        "/api/scraper/jobs/a1/events": "scraper",
        "/api/chunking/x": "chunking",
        "/api/embedding/x?route=other": "embedding",
        "/api/other/x": "other",
        "/health?api_key=a": "health",
        "/healthy": "other",
        "/": "other",
    }
    # nothing behind it: no stream of events is held open
    with start_gateway(dead=SERVICES, **UNLIMITED) as gateway:
        written = {path: gateway.log_line(gateway.get(path).headers["x-request-id"])["route"] for path in routes}
    assert written == routes


def test_no_api_key_is_written_down_or_answered(gateway: Gateway) -> None:
    secret = "sk-never-seen-4711"
    headers = {"X-API-Key": secret, "Authorization": f"Bearer {secret}", "X-Request-Id": "key-nowhere-1"}
    for path in ("/api/scraper/x", f"/api/scraper/x?user_token={secret}&b=1", "/nothing", "/api/orchestrator/content"):
        answer = gateway.get(path, headers=headers)
        assert secret not in answer.text + str(answer.headers)
    assert gateway.last("scraper").headers["x-api-key"] == secret
    gateway.get("/nothing", headers={"X-Request-Id": "key-nowhere-2"})
    gateway.log_line("key-nowhere-2")
    assert secret not in gateway.server.access_log.read_text()
    assert secret not in gateway.server.error_log.read_text()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "api_key",
            "API-Key",
            "apikey",
            "x-api-key",
            "access_token",
            "authorization",
            "auth",
            "jwt",
            "token",
            "Bearer",
        ),
        *("sig", "X-Amz-Signature", "secret", "client_secret", "secretKey", "password", "token[]", "auth%5B0%5D"),
        *("%61pi_key", "api%5Fkey", "api%5fkey", "api%2Dkey", "%4A%57%54", "%6a%77%74", "aut%68", "%2561uth", "jwt%00"),
    ],
)
@pytest.mark.parametrize("where", ["/api/scraper/x?{}&b=1", "/api/embedding/held?a=1&{}", "/health?{}", "/nothing?{}"])
def test_a_key_in_the_query_is_refused_and_written_nowhere(gateway: Gateway, name: str, where: str) -> None:
    secret = "sk-in-the-query-4711"
    seen = [len(upstream.received) for upstream in gateway.upstreams.values()]
    answer = gateway.get(where.format(f"{name}={secret}"))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (400, "invalid_request")
    assert ("plain letters" if "%" in name and "%5B" not in name else "X-API-Key header") in body["detail"]
    assert secret not in answer.text + str(answer.headers)
    assert gateway.log_line(answer.headers["x-request-id"])["status"] == "400"
    assert [len(upstream.received) for upstream in gateway.upstreams.values()] == seen
    assert secret not in gateway.server.access_log.read_text() + gateway.server.error_log.read_text()


@pytest.mark.parametrize(
    "query",
    [
        *(
            "key=a",
            "q=api_key",
            "my_api_keys=a",
            "cursor=api_key",
            "stage=x;y=authorization",
            "page_token=a",
            "author=a",
        ),
        *("assignee=a", "a=auth", "q=%61uth", "filter%5Bname%5D=a", "next_tokens=a", "a=b%3Fauth", "c%C3%A4sar=a"),
    ],
)
def test_a_query_that_only_looks_like_a_keys_passes(gateway: Gateway, query: str) -> None:
    assert gateway.get(f"/api/scraper/x?{query}").status_code == 200


@pytest.mark.parametrize("service", SERVICES)
def test_every_query_parameter_of_a_services_own_passes_and_is_named_in_the_log(gateway: Gateway, service: str) -> None:
    document = json.loads((GATEWAY_FOLDER.parent / service / "openapi.json").read_text())
    operations = [one for path in document["paths"].values() for one in path.values() if isinstance(one, dict)]
    names = {given["name"] for one in operations for given in one.get("parameters", []) if given["in"] == "query"}
    for name in names:
        answer = gateway.get(f"/api/{service}/x?{name}=a")
        assert answer.status_code == 200
        assert gateway.log_line(answer.headers["x-request-id"])["uri"] == f"/api/{service}/x?{name}"


def test_no_answer_says_which_nginx_it_is(gateway: Gateway) -> None:
    for path in ("/api/scraper/x", "/nothing", "/health", "/api/scraper/x?api_key=a"):
        assert gateway.get(path).headers.get_list("server") == ["nginx"]
