"""What stands in a query or a Referer may be a key: no log has it, whatever it is called, and however the request ends."""

import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex

import pytest
from conftest import GATEWAY_FOLDER, HANG_SECONDS, UNLIMITED, Gateway, StartGateway

from ml_shared.testing.servers import wait_until

CANARY = "sk-Canary4711"
REFERER = f"http://elsewhere.example/?page={CANARY}"
SPELLINGS = [
    *(
        f"?{name}={CANARY}"
        for name in ("auth", "sig", "jwt", "key", "q", "Page", "x-key", "k2", "%61uth", "%71", "a%26b")
    ),
    *(f"?{CANARY}", f"?{CANARY}=", f"?={CANARY}", f"?a={CANARY}=b", f"?a=b={CANARY}", f"?&{CANARY}&={CANARY}"),
    *(f"??{CANARY}", f"?a?{CANARY}", f"?a;{CANARY}=b", f"?a=1;q={CANARY}", f"?a[{CANARY}]=1", f"?a.{CANARY}=1"),
    *(
        f"?q=%73%6b-{CANARY}",
        f"?q=+{CANARY}",
        f'?q="{CANARY}"',
        f"?q=a,b,{CANARY}",
        f"?q=#{CANARY}",
        f"?q=\xff{CANARY}",
    ),
    *(f"?a=1&b=2&c=3&d=4&e=5&f={CANARY}", f"?a=1&b=2&c=3&d=4&e=5&{CANARY}", "?" + "a=1&" * 200 + CANARY),
    *(f"?{'q' * 2000}={CANARY}", f"?q={'a' * 2000}{CANARY}", f"?q_{'q' * 30}{CANARY}=1"),
    *(f";q={CANARY}", f"&q={CANARY}", f"%3Fq={CANARY}", f"%3fq%3d{CANARY}", f"%253Fq%253D{CANARY}", f"#q={CANARY}"),
    *(f"#?q={CANARY}", f"?q={CANARY}#", f"\xff?q={CANARY}", f"/../x?q={CANARY}", f"//x?q={CANARY}"),
]
UNREADABLE = [
    f"GET /api/scraper/x y?q={CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET api/scraper/x?q={CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET /%zz?q={CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET /?q={CANARY} HTTP/9.9\r\nHost: x\r\n\r\n",
    f"GET /?q={CANARY} HTTP/1.1\r\n\r\n",
    f"GET /?q={CANARY}\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET /?q={CANARY}{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET /?q={CANARY} HTTP/1.1\r\nHost: x\r\nA: {'a' * 9000}\r\n\r\n",
    f"GET /?q={CANARY} HTTP/1.1\r\nHost: a b?{CANARY}\r\n\r\n",
    f"POST /?q={CANARY} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {CANARY}\r\n\r\n",
    f"TRACE /?q={CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"CONNECT {CANARY}:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET http://user:{CANARY}@x/?q=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    f"GET http://x?q={CANARY} HTTP/1.1\r\nHost: x\r\n\r\n",
    f"{CANARY} / HTTP/1.1\r\nHost: x\r\n\r\n",
    f"{CANARY}\r\n\r\n",
    f"GET {CANARY}\r\n\r\n",
    f"\x16\x03\x01{CANARY}\r\n\r\n",
]
FAILURES = {
    "refused": ("/api/scraper/x", b"", 502, "connect() failed"),
    "broken off": ("/api/orchestrator/x", b"", 502, "prematurely closed connection"),
    "timed out": ("/api/embedding/held", b"", 504, "upstream timed out"),
    "too large": ("/api/embedding/x", b"Content-Length: 99999999\r\n", 413, "intended to send too large body"),
    "forbidden": ("/api/orchestrator/content", b"", 404, "access forbidden by rule"),
    "to a file": ("/api/chunking/x", b"Content-Length: 100000\r\n", 200, "buffered to a temporary file"),
}


def _ask(gateway: Gateway, request: bytes) -> bytes:
    """Return the answer's beginning; nothing where nginx ends the connection without one."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(request)
        return connection.recv(4096)


def _fail(gateway: Gateway, how: str, spelling: str) -> int:
    path, header, _, _ = FAILURES[how]
    head = f"POST {path}{spelling} HTTP/1.1\r\nHost: x\r\nReferer: {REFERER}\r\nConnection: close\r\n".encode("latin-1")
    body = b"a" * 100_000 if how == "to a file" else b""
    return int(_ask(gateway, head + header + b"\r\n" + body).split(b" ")[1])


def _written(gateway: Gateway, lines: int) -> str:
    """Return both logs; nginx writes a line of the first after the answer."""
    assert wait_until(lambda: gateway.server.access_log.read_bytes().count(b"\n") >= lines, HANG_SECONDS)
    return "".join(log.read_bytes().decode("latin-1") for log in (gateway.server.access_log, gateway.server.error_log))


@pytest.fixture
def failing(start_gateway: StartGateway, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A gateway with which every failure can be had; a parameter is the level from which on requests' errors are logged."""
    folder = tmp_path / "gateway-vm"
    shutil.copytree(GATEWAY_FOLDER / "nginx", folder / "nginx")
    shutil.copy(GATEWAY_FOLDER / ".env.example", folder)
    template = folder / "nginx" / "nginx.conf.template"
    template.write_text(template.read_text().replace("proxy_read_timeout 65s;", "proxy_read_timeout 100ms;"))
    level = {"GATEWAY_REQUEST_ERROR_LEVEL": request.param} if hasattr(request, "param") else {}
    with ExitStack() as stack:
        ends = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.enter_context(_Breaking(ends))
        yield stack.enter_context(
            start_gateway(
                folder=folder,
                dead=("scraper",),
                GATEWAY_ORCHESTRATOR_SERVERS=f"server 127.0.0.1:{ends.getsockname()[1]} max_fails=0;",
                GATEWAY_FLEET_ALLOW="",
                **level,
                **UNLIMITED,
            )
        )


class _Breaking:
    """Takes connections and ends each as soon as something comes."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()


@pytest.mark.parametrize("how", FAILURES)
def test_no_spelling_of_a_query_is_in_a_log_however_the_request_ends(failing: Gateway, how: str) -> None:
    statuses = [_fail(failing, how, spelling) for spelling in SPELLINGS]
    # the others are refused for a name, or are no such path
    assert statuses.count(FAILURES[how][2]) > len(SPELLINGS) / 2
    written = _written(failing, len(SPELLINGS))
    assert "Canary" not in written
    assert "elsewhere.example" not in written
    assert "request:" not in written


def test_a_request_that_cannot_be_read_leaves_none_of_its_text_in_a_log(failing: Gateway) -> None:
    for request in UNREADABLE:
        _ask(failing, request.encode("latin-1"))
    written = _written(failing, len(UNREADABLE))
    assert "Canary" not in written
    assert "request:" not in written
    for line in failing.server.access_log.read_text().splitlines():
        assert json.loads(line)["method"] in {"GET", "POST", "TRACE", "CONNECT", "other", ""}


@pytest.mark.parametrize("failing", ["warn"], indirect=True)
def test_nginx_own_reasons_can_be_had_and_then_hold_the_query(failing: Gateway) -> None:
    """So each of these failures would be a line with the key in it."""
    for how, (_, _, status, _) in FAILURES.items():
        assert _fail(failing, how, f"?q={CANARY}") == status
    _written(failing, len(FAILURES))
    lines = failing.server.error_log.read_text().splitlines()
    for _, _, _, said in FAILURES.values():
        assert any(said in line and CANARY in line and REFERER in line for line in lines), said


def test_the_access_log_tells_why_a_service_did_not_answer(failing: Gateway) -> None:
    for how in ("refused", "broken off", "timed out"):
        _fail(failing, how, "")
    _written(failing, 3)
    refused, broken, timed_out = map(json.loads, failing.server.access_log.read_text().splitlines())
    assert refused["upstream_status"] == "502"
    # a number where the kernel says so only a moment later: nginx waits for the connection then, and notes how long
    assert re.fullmatch(r"-|\d+\.\d{3}", refused["upstream_connect_time"])
    assert broken["upstream_status"] == "502"
    assert float(broken["upstream_connect_time"]) <= float(broken["upstream_response_time"])
    assert timed_out["upstream_status"] == "504"
    assert float(timed_out["upstream_connect_time"]) < float(timed_out["upstream_response_time"])


@pytest.mark.parametrize(
    ("query", "logged"),
    [
        ("", ""),
        ("?", ""),
        ("?limit=50&cursor=abc", "?limit&cursor"),
        ("?created_after=2026-01-01T00:00:00Z&status=failed", "?created_after&status"),
        ("?job_id=1&attempt_id=2&stage=scraping", "?job_id&attempt_id&stage"),
        ("?limit=1&word&cursor=2", "?limit&...&cursor"),
        ("?a=1&b=2&c=3&d=4&e=5", "?a&b&c&d&e"),
        ("?a=1&b=2&c=3&d=4&e=5&f=6&g=7", "?a&b&c&d&e&..."),
        ("?Limit=1&%6cimit2=2&l3=1&limit=", "?...&...&...&limit"),
        (f"?{'a' * 24}=1&{'b' * 25}=1", f"?{'a' * 24}&..."),
        ("/;x=1?limit=2", "/...?limit"),
        ("/%20?limit=2", "/...?limit"),
        (f"/{'a' * 600}?limit=2", f"/{'a' * (512 - len('api/embedding/x/'))}...?limit"),
    ],
)
def test_the_access_log_has_the_path_and_the_plain_names_of_a_query(gateway: Gateway, query: str, logged: str) -> None:
    request_id = f"names-{token_hex(8)}"
    _ask(
        gateway,
        f"GET /api/embedding/x{query} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {request_id}\r\n\r\n".encode(),
    )
    assert gateway.log_line(request_id)["uri"] == f"/api/embedding/x{logged}"


def test_every_location_keeps_requests_out_of_the_error_log() -> None:
    template = (GATEWAY_FOLDER / "nginx" / "nginx.conf.template").read_text()
    locations = re.findall(r"^ +location [^\n]*\{\n +([^\n]+)\n", template, re.MULTILINE)
    assert len(locations) == len(re.findall(r"^ +location ", template, re.MULTILINE)) > 10
    assert set(locations) == {"error_log ${GATEWAY_LOG_DIR}/error.log ${GATEWAY_REQUEST_ERROR_LEVEL};"}
