"""The gateway's containers: what they may do, who reaches what, how they stop, and how a change reaches them."""

import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import trustme
from stack import SECONDS, Stack

from ml_shared.testing.servers import free_port


def test_every_container_is_up_and_what_has_a_check_is_healthy(stack: Stack) -> None:
    for service in ("nginx", "alloy"):
        assert stack.inspect(service)["State"]["Health"]["Status"] == "healthy"
    assert stack.inspect("nginx-exporter")["State"]["Running"]
    assert stack.get("/health").text.startswith("first 8000")
    assert stack.get("/api/embedding/x").text.startswith("first 8003")


def test_the_exporter_reads_stub_status(stack: Stack) -> None:
    ask = "exec 3<>/dev/tcp/nginx-exporter/9113; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    said = stack.compose("exec", "-T", "alloy", "bash", "-c", ask).stdout
    assert "nginx_up 1\n" in said
    assert "nginx_connections_accepted " in said


def test_stub_status_is_for_the_stacks_own_network(stack: Stack) -> None:
    address = stack.inspect("nginx")["NetworkSettings"]["Networks"][stack.network]["IPAddress"]
    inside = stack.elsewhere(stack.network, address, 8080, "/stub_status")
    assert "Active connections" in inside.stdout, inside.stderr
    outside = stack.elsewhere("bridge", address, 8080, "/stub_status")
    assert outside.returncode != 0
    assert "Active connections" not in outside.stdout
    # at an address of IPv4: by way of Docker's proxy every client of IPv6 has the network's own address
    published = {port: where for port, where in stack.inspect("nginx")["NetworkSettings"]["Ports"].items() if where}
    assert published == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(stack.port)}]}
    assert stack.get("/stub_status").status_code == 404


@pytest.mark.parametrize("service", ["nginx", "nginx-exporter", "alloy"])
def test_a_container_has_few_rights_and_a_log_that_rotates(stack: Stack, service: str) -> None:
    host = stack.inspect(service)["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "25m", "max-file": "2"}}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_nginx_cannot_write_its_image_and_its_workers_are_nobody_special(stack: Stack) -> None:
    assert stack.compose("exec", "-T", "nginx", "sh", "-c", "touch /x", check=False).returncode != 0
    workers = stack.sh("nginx", "grep -h '^\\(Name\\|PPid\\|Uid\\|CapEff\\):' /proc/[0-9]*/status").split("Name:")
    workers = [one.split() for one in workers if one.split()[:3] == ["nginx", "PPid:", "1"]]
    assert workers
    nginx = stack.sh("nginx", "id -u nginx").strip()
    for one in workers:
        assert one[one.index("Uid:") + 1] == nginx != "0"
        assert int(one[one.index("CapEff:") + 1], 16) == 0


def test_a_body_as_large_as_any_route_takes_passes(stack: Stack) -> None:
    answer = httpx.post(f"http://127.0.0.1:{stack.port}/api/embedding/x", content=bytes(60 * 2**20), timeout=60)
    assert answer.status_code == 200


def test_who_is_of_the_fleet_is_told_by_address(stack: Stack) -> None:
    bridge = stack.run("docker", "network", "inspect", stack.network, "-f", "{{(index .IPAM.Config 0).Subnet}}")
    inside = bridge.stdout.strip()
    address = stack.inspect("nginx")["NetworkSettings"]["Networks"][stack.network]["IPAddress"]
    stack.write(GATEWAY_FLEET_ALLOW=f"allow {inside};")
    stack.reload()
    assert stack.elsewhere(stack.network, address, 80, "/api/orchestrator/content/r1").returncode == 0
    stack.write(GATEWAY_FLEET_ALLOW="allow 192.0.2.1;")
    stack.reload()
    refused = stack.elsewhere(stack.network, address, 80, "/api/orchestrator/content/r1")
    assert "first" not in refused.stdout
    assert stack.get("/api/orchestrator/content/r1").status_code == 404
    assert stack.get("/api/orchestrator/jobs").status_code == 200


def test_a_reload_applies_env_and_template_to_the_container_that_runs(stack: Stack) -> None:
    before = stack.inspect("nginx")
    template = stack.folder / "nginx" / "nginx.conf.template"
    text = template.read_text()
    stack.write(GATEWAY_CHUNKING_SERVERS="server second:8002;", GATEWAY_CONNECTIONS_PER_IP="7")
    # in a new file, as an upgrade would: the running container still sees the old one
    template.unlink()
    template.write_text(text.replace("return 404;", "return 403;"))
    try:
        said = stack.reload()
        assert "until the next: docker compose up -d" in said.stdout
        assert stack.get("/api/chunking/x").text.startswith("second 8002")
        assert stack.get("/api/scraper/x").text.startswith("first 8001")
        configuration = stack.sh("nginx", "cat /etc/nginx/nginx.conf")
        assert "limit_conn open_per_ip 7;" in configuration
        assert "return 403;" in configuration
    finally:
        template.write_text(text)
    after = stack.inspect("nginx")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GATEWAY_RATE_PER_IP", "many", "invalid rate"),
        ("GATEWAY_SCRAPER_SERVERS", "server no-such-vm:8001;", "host not found in upstream"),
        ("GATEWAY_SCRAPER_SERVERS", "", "GATEWAY_SCRAPER_SERVERS"),
    ],
)
def test_a_reload_that_nginx_refuses_says_why_and_changes_nothing(
    stack: Stack, name: str, value: str, said: str
) -> None:
    before = stack.sh("nginx", "cat /etc/nginx/nginx.conf")
    stack.write(**{name: value})
    done = stack.reload(check=False)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert stack.sh("nginx", "cat /etc/nginx/nginx.conf; ls /etc/nginx | grep -c new || true") == f"{before}0\n"
    assert stack.get("/api/scraper/x").text.startswith("first")


def test_a_reload_that_only_the_running_nginx_refuses_is_put_back(stack: Stack) -> None:
    """A zone cannot change its key while nginx runs, which `nginx -t` doesn't see."""
    template = stack.folder / "nginx" / "nginx.conf.template"
    text = template.read_text()
    before = stack.sh("nginx", "cat /etc/nginx/nginx.conf")
    template.write_text(text.replace("limit_req_zone $client_network", "limit_req_zone $remote_addr"))
    try:
        done = stack.reload(check=False)
    finally:
        template.write_text(text)
    assert done.returncode != 0
    assert 'limit_req "per_ip" uses the' in done.stderr
    assert stack.sh("nginx", "cat /etc/nginx/nginx.conf") == before
    assert stack.get("/api/scraper/x").status_code == 200


def test_a_reload_finds_a_name_at_its_new_address_and_loses_no_request(stack: Stack) -> None:
    stack.write(GATEWAY_CHUNKING_SERVERS="server moving:8002;", GATEWAY_RATE_PER_IP="9000r/s")
    stack.reload()
    stack.answers("/api/chunking/x", "first")
    statuses: list[int] = []

    def ask() -> None:
        while not ended:
            statuses.append(stack.get("/api/chunking/x").status_code)

    ended: list[bool] = []
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            second = stack.container("second")
            stack.run("docker", "network", "disconnect", stack.network, second)
            stack.run("docker", "network", "connect", "--alias", "second", "--alias", "moved", stack.network, second)
            stack.write(GATEWAY_CHUNKING_SERVERS="server moved:8002;", GATEWAY_RATE_PER_IP="9000r/s")
            stack.reload()
            stack.answers("/api/chunking/x", "second")
        finally:
            ended.append(True)
        for one in asking:
            one.result()
    assert len(statuses) > 50
    assert set(statuses) == {200}


def test_logs_put_aside_are_followed_by_new_ones_and_nginx_starts_again_after_it(stack: Stack) -> None:
    stack.get("/api/scraper/before")
    stack.run("make", "-s", "rotate-logs")
    stack.get("/api/scraper/after")
    assert "/api/scraper/after" in stack.sh("nginx", "cat /var/log/nginx/access.log")
    assert "/api/scraper/before" in stack.sh("alloy", "cat /var/log/nginx/access.log.1")
    # the workers' user owns the new files now
    stack.compose("restart", "nginx")
    stack.up()
    assert stack.get("/api/scraper/x").status_code == 200
    stack.reload()


def test_nginx_stops_at_once_when_nothing_is_open_and_with_status_0(stack: Stack) -> None:
    assert stack.get("/health").status_code == 200
    began = time.monotonic()
    stack.compose("stop", "nginx")
    assert time.monotonic() - began < 10
    assert stack.inspect("nginx")["State"]["ExitCode"] == 0


def test_a_request_that_is_open_ends_before_nginx_does(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=SECONDS) as connection:
        connection.sendall(
            b"POST /api/scraper/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\n{}"
        )
        container = stack.container("nginx")
        _until_open(stack)
        stopping = subprocess.Popen(["docker", "stop", container], stdout=subprocess.DEVNULL)
        try:
            _until_closed(stack)
            assert stopping.poll() is None
            connection.sendall(b"{}")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        finally:
            assert stopping.wait(SECONDS) == 0
    assert stack.inspect("nginx")["State"]["ExitCode"] == 0


def _until_open(stack: Stack) -> None:
    """Wait until nginx reads a request of which a part is missing."""
    ask = "exec 3<>/dev/tcp/nginx/8080; printf 'GET /stub_status HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    deadline = time.monotonic() + 20
    while "Writing: 2" not in stack.compose("exec", "-T", "alloy", "bash", "-c", ask).stdout:
        assert time.monotonic() < deadline


def _until_closed(stack: Stack) -> None:
    """Wait until nginx, told to stop, takes no request any more."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            stack.get("/health")
        except httpx.TransportError:
            return
    raise AssertionError("nginx goes on taking requests")


def test_tls_is_switched_on_by_env_and_a_renewed_certificate_comes_with_a_reload(stack: Stack, tmp_path: Path) -> None:
    port = free_port()
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def issue() -> None:
        certificate = authority.issue_cert("localhost")
        (tmp_path / "fullchain.pem").write_bytes(b"".join(one.bytes() for one in certificate.cert_chain_pems))
        (tmp_path / "privkey.pem").unlink(missing_ok=True)
        (tmp_path / "privkey.pem").write_bytes(certificate.private_key_pem.bytes())
        (tmp_path / "privkey.pem").chmod(0o600)

    def served() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                return connection.getpeercert(binary_form=True) or b""

    issue()
    files = f"{stack.env['COMPOSE_FILE']}:docker-compose.tls.yml"
    stack.write(COMPOSE_FILE=files, TLS_CERTIFICATE_DIR=str(tmp_path), HTTPS_PORT=str(port))
    stack.up()
    answer = httpx.get(f"https://localhost:{port}/api/scraper/x", verify=context, timeout=30)
    assert answer.text.endswith(" https")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    redirect = stack.get("/api/scraper/x?y=1")
    assert redirect.status_code == 308
    assert redirect.headers["location"] == f"https://127.0.0.1:{port}/api/scraper/x?y=1"
    assert stack.get("/health").status_code == 200
    first = served()
    issue()
    assert served() == first
    stack.reload()
    assert served() not in (b"", first)
