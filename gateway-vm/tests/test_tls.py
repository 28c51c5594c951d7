"""TLS beside plain HTTP: `server.d/tls.conf`, as docker-compose.tls.yml mounts it, on a port of the test's own."""

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme
from conftest import GATEWAY_FOLDER, HANG_SECONDS, UNLIMITED, Gateway, StartGateway

from ml_shared.testing.servers import free_port

TLS_FILE = GATEWAY_FOLDER / "nginx" / "server.d" / "tls.conf"
HSTS = "max-age=31536000"


@dataclass
class TlsGateway:
    """A gateway that has a certificate, with a client of each of its ports."""

    gateway: Gateway
    port: int
    https: httpx.Client
    authority: trustme.CA

    @property
    def http(self) -> httpx.Client:
        return self.gateway.client

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def tls(start_gateway: StartGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsGateway]:
    folder: Path = tmp_path_factory.mktemp("certificate")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    (folder / "fullchain.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "privkey.pem").write_bytes(certificate.private_key_pem.bytes())
    port = free_port()
    text = TLS_FILE.read_text()
    assert "listen 443 ssl backlog=4096;" in text
    text = text.replace("listen 443 ssl ", f"listen 127.0.0.1:{port} ssl ").replace("/etc/nginx/tls", str(folder))
    with start_gateway(server_files={"tls.conf": text}, GATEWAY_HTTPS_PORT=str(port), **UNLIMITED) as gateway:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with httpx.Client(base_url=f"https://localhost:{port}", verify=context) as https:
            yield TlsGateway(gateway, port, https, authority)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/orchestrator/jobs?limit=5&x=%2F"),
        ("POST", "/api/embedding/search"),
        ("GET", "/"),
        ("GET", "/nothing"),
    ],
)
def test_plain_http_is_sent_on_to_https_with_its_method_and_query(tls: TlsGateway, method: str, path: str) -> None:
    answer = tls.http.request(method, path, headers={"Host": "localhost"})
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://localhost:{tls.port}{path}"
    assert "strict-transport-security" not in answer.headers


def test_the_port_is_left_out_of_the_redirect_where_it_is_the_usual_one(start_gateway: StartGateway) -> None:
    redirect = "if ($redirect_to_https) { return 308 https://$https_authority$request_uri; }"
    with start_gateway(server_files={"redirect.conf": redirect}) as gateway:
        assert gateway.get("/x", headers={"Host": "api.example:80"}).headers["location"] == "https://api.example/x"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("POST", "/api/orchestrator/jobs/a1/complete"),
        ("POST", "/api/orchestrator/jobs/a1/progress"),
        ("PUT", "/api/orchestrator/content?job_id=a1"),
        ("GET", "/api/orchestrator/content/r1"),
        *(("GET", f"/api/{service}/metrics") for service in ("orchestrator", "scraper", "chunking", "embedding")),
    ],
)
def test_what_the_fleet_calls_by_address_is_not_redirected(tls: TlsGateway, method: str, path: str) -> None:
    answer = tls.http.request(method, path)
    assert answer.status_code == 200
    assert "strict-transport-security" not in answer.headers


def test_an_internal_route_over_plain_http_is_still_not_there_for_outsiders(start_gateway: StartGateway) -> None:
    redirect = "if ($redirect_to_https) { return 308 https://$https_authority$request_uri; }"
    with start_gateway(server_files={"redirect.conf": redirect}, GATEWAY_FLEET_ALLOW="allow 192.0.2.1;") as gateway:
        assert gateway.post("/api/orchestrator/jobs/a1/complete").status_code == 404
        assert gateway.get("/api/scraper/metrics").status_code == 404


def test_an_answer_over_tls_tells_browsers_to_stay_with_it(tls: TlsGateway) -> None:
    answer = tls.https.get("/api/scraper/x")
    assert answer.status_code == 200
    assert answer.headers.get_list("strict-transport-security") == [HSTS]
    assert tls.gateway.last("scraper").headers["x-forwarded-proto"] == "https"
    assert tls.gateway.log_line(answer.headers["x-request-id"])["scheme"] == "https"
    for refused in (tls.https.get("/nothing"), tls.https.get("/api/scraper/x?api_key=a")):
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers.get_list("strict-transport-security") == [HSTS]


def test_plain_http_sent_to_the_tls_port_is_sent_on_too(tls: TlsGateway) -> None:
    with socket.create_connection(("127.0.0.1", tls.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(b"GET /api/scraper/x?y=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = connection.recv(4096).decode()
    assert said.startswith("HTTP/1.1 308 ")
    assert f"Location: https://localhost:{tls.port}/api/scraper/x?y=1\r\n" in said


def test_an_unreadable_request_over_plain_http_is_a_problem_and_no_redirect(tls: TlsGateway) -> None:
    with socket.create_connection(("127.0.0.1", tls.gateway.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9000 + b"\r\n\r\n")
        said = connection.recv(4096).decode()
    assert said.startswith("HTTP/1.1 400 ")
    assert "application/problem+json" in said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_modern_versions_are_spoken_with_forward_secrecy(tls: TlsGateway, version: ssl.TLSVersion) -> None:
    context = tls.context()
    context.minimum_version = context.maximum_version = version
    with _connected(tls, context) as connection:
        name, _, bits = connection.cipher() or ("", "", 0)
        assert name.startswith(("ECDHE-", "TLS_"))
        assert "GCM" in name or "CHACHA20" in name
        assert bits >= 128


def test_no_older_version_and_no_older_cipher_is_spoken(tls: TlsGateway) -> None:
    # OpenSSL 3 speaks no older version at its usual level, whatever it is told
    assert re.search(r"^ssl_protocols +TLSv1\.2 TLSv1\.3;$", TLS_FILE.read_text(), re.MULTILINE)
    context = tls.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        _connected(tls, context)
    for ciphers in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA"):
        context = tls.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        with pytest.raises(ssl.SSLError):
            _connected(tls, context)


def test_a_session_is_resumed_without_a_ticket(tls: TlsGateway) -> None:
    context = tls.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with _connected(tls, context) as first:
        session = first.session
        assert session is not None
        assert not session.has_ticket
    with _connected(tls, context, session) as second:
        assert second.session_reused


def _connected(tls: TlsGateway, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", tls.port), timeout=HANG_SECONDS)
    try:
        return context.wrap_socket(plain, server_hostname="localhost", session=session)
    except OSError:
        plain.close()
        raise
