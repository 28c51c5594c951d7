"""What is handed on in headers, and what is written down."""

import json
import re

import pytest
from conftest import Gateway

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


@pytest.mark.parametrize("path", ["/api/orchestrator/jobs", "/api/embedding/search", "/api/orchestrator/jobs/a/events"])
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
    for text in gateway.server.access_log.read_text().splitlines():
        json.loads(text)


def test_no_api_key_is_written_down_or_answered(gateway: Gateway) -> None:
    secret = "sk-never-seen-4711"
    headers = {"X-API-Key": secret, "Authorization": f"Bearer {secret}", "X-Request-Id": "key-nowhere-1"}
    for path in ("/api/scraper/x", f"/api/scraper/x?api_key={secret}&b=1", "/nothing", "/api/orchestrator/content"):
        answer = gateway.get(path, headers=headers)
        assert secret not in answer.text + str(answer.headers)
    assert gateway.last("scraper").headers["x-api-key"] == secret
    gateway.get("/nothing", headers={"X-Request-Id": "key-nowhere-2"})
    gateway.log_line("key-nowhere-2")
    assert secret not in gateway.server.access_log.read_text()
    assert secret not in gateway.server.error_log.read_text()
