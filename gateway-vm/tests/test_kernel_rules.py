"""`host/connections.nft`, held by a real kernel: clients, a VM and its container as network namespaces, nginx in the last."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pytest
from conftest import GATEWAY_FOLDER, HANG_SECONDS, UNLIMITED

from ml_shared.testing.gateway import SERVICES, local_variables, nginx_command, render_gateway
from ml_shared.testing.servers import wait_until

RULES = GATEWAY_FOLDER / "host" / "connections.nft"
TEXT = RULES.read_text()
EXAMPLE = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (GATEWAY_FOLDER / ".env.example").read_text(), re.MULTILINE))
AT_ONCE = 400
BURST = 400
A_SECOND = 60
HALF_SENT = Path(__file__).with_name("half_sent.py")
VM, CONTAINER = "198.51.100.1", "192.0.2.2"
VM6, CONTAINER6 = "2001:db8:0:a::1", "2001:db8:0:c::2"
# each client has a cable of its own to the VM: name, the VM's addresses on it, the client's
CABLES = {
    "many": (
        ("198.51.100.1/24", "2001:db8:0:a::1/64"),
        ("198.51.100.2/24", "2001:db8:0:a::2/64", "2001:db8:0:a::3/64"),
    ),
    "other": (("203.0.113.1/24", "2001:db8:0:b::1/64"), ("203.0.113.2/24", "2001:db8:0:b::2/64")),
    "fleet": (("10.9.0.1/24",), ("10.9.0.2/24",)),
    "container": (("192.0.2.1/24", "2001:db8:0:c::1/64"), ("192.0.2.2/24", "2001:db8:0:c::2/64")),
}
# what Docker does for a published port
PUBLISHED = f"""
table inet published {{
    chain to_container {{
        type nat hook prerouting priority dstnat;
        fib daddr type local tcp dport 80 dnat ip to {CONTAINER}:80
        fib daddr type local tcp dport 80 dnat ip6 to [{CONTAINER6}]:80
    }}
}}
"""
ASK = """
import http.client, sys, time
for _ in range(int(sys.argv[2])):
    began = time.monotonic()
    connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=60)
    connection.request("GET", "/api/scraper/x")
    print(connection.getresponse().status, time.monotonic() - began)
    connection.close()
"""
# one connection from each of some addresses
MEET = """
import socket, sys
for source in sys.argv[2:]:
    socket.create_connection((sys.argv[1], 80), 10, (source, 0)).close()
"""
# opens and ends connections as fast as it can, and says how many there were
OPEN_AND_END = """
import socket, struct, sys, time
ends, opened = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < ends:
    with socket.socket() as connection:
        connection.settimeout(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        opened += connection.connect_ex((sys.argv[1], 80)) == 0
print(opened)
"""
# begins so many large bodies from one address, and then one from another; says what one of them is answered in time, whichever
# nginx came to last
LARGE_BODIES = """
import select, socket, sys
address, count, first, second, seconds = sys.argv[1:]
begun = []
for source in [first] * int(count) + [second]:
    begun.append(socket.create_connection((address, 80), timeout=60, source_address=(source, 0)))
    begun[-1].sendall(b"POST /api/embedding/x HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 1000000\\r\\n\\r\\n")
answered, _, _ = select.select(begun, [], [], float(seconds))
print(*(one.recv(4096).split()[1].decode() for one in answered[:1]) if answered else ["still reading"])
"""
LISTEN = """
import socket, time
with socket.create_server(("", 443), backlog=4096):
    print("listening", flush=True)
    time.sleep(60)
"""


def _missing() -> str | None:
    """Say why no rules can be tried here, or nothing. Where only a program is missing, CI is told by a failure."""
    if sys.platform != "linux":
        return "nftables are Linux'"
    if os.geteuid() != 0:
        return "only root makes network namespaces: run as root, with the packages iproute2 and nftables"
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"no `{program}` here: apt-get install {package}")
            return f"no `{program}` here: apt-get install {package}"
    probe = f"gw{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"this root may not make network namespaces: {made.stderr.strip()}"
    try:
        tried = subprocess.run(
            ["ip", "netns", "exec", probe, "nft", "-c", "-f", str(RULES)], capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(["ip", "netns", "del", probe], check=False)
    # what the file says wrong is no reason to skip
    unable = "not supported" in tried.stderr or "not permitted" in tried.stderr
    return f"this kernel lacks nftables: {tried.stderr.strip()}" if unable else None


class Network:
    """The namespaces; commands run within one."""

    def __init__(self, stack: ExitStack) -> None:
        self._prefix = f"gw{os.getpid()}"
        for name in ("vm", *CABLES):
            self._ip("netns", "add", self._prefix + name)
            stack.callback(self._ip, "netns", "del", self._prefix + name)
            self.run(name, "ip", "link", "set", "lo", "up")
        for name, (of_vm, of_client) in CABLES.items():
            end = f"to-{name}"
            self.run("vm", "ip", "link", "add", end, "type", "veth", "peer", "name", "vm", "netns", self._prefix + name)
            for where, link, addresses in (("vm", end, of_vm), (name, "vm", of_client)):
                for address in addresses:
                    nodad = ("nodad",) if ":" in address else ()
                    self.run(where, "ip", "address", "add", address, "dev", link, *nodad)
                self.run(where, "ip", "link", "set", link, "up")
            for address in of_vm:
                family, gateway = ("-6" if ":" in address else "-4"), address.partition("/")[0]
                self.run(name, "ip", family, "route", "add", "default", "via", gateway)
        for setting in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            self.run("vm", "sysctl", "-q", "-w", f"net.{setting}=1")

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    def within(self, name: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self._prefix + name, *command]

    def run(self, name: str, *command: str, said: str | None = None) -> str:
        done = subprocess.run(self.within(name, *command), input=said, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def python(self, name: str, script: str, *arguments: str) -> str:
        return self.run(name, sys.executable, "-c", script, *arguments)

    @contextmanager
    def half_sent(self, name: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        command = self.within(name, sys.executable, str(HALF_SENT), *arguments)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
            try:
                yield flood
            finally:
                flood.terminate()


def told(flood: "subprocess.Popen[str]") -> int:
    """Return the number that a flood says next."""
    assert flood.stdout is not None
    (number,) = json.loads(flood.stdout.readline()).values()
    return int(number)


def still_open(flood: "subprocess.Popen[str]") -> int:
    """Return how many of a flood's connections are open now."""
    assert flood.stdin is not None
    flood.stdin.write("\n")
    flood.stdin.flush()
    return told(flood)


@pytest.fixture
def network(nginx: str, tmp_path: Path) -> Iterator[Network]:
    """The rules on the VM, and the gateway with its own limits in the container that the VM's port leads to."""
    if why := _missing():
        pytest.skip(why)
    (tmp_path / "server.d").mkdir()
    (tmp_path / "server.d" / "six.conf").write_text("listen [::]:80;")
    (tmp_path / "http.d").mkdir()
    (tmp_path / "http.d" / "service.conf").write_text('server { listen 127.0.0.1:9000; return 200 "{}"; }')
    variables = local_variables(
        GATEWAY_FOLDER, tmp_path, listen="80", upstreams=dict.fromkeys(SERVICES, "127.0.0.1:9000"), **UNLIMITED
    )
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(render_gateway(GATEWAY_FOLDER / "nginx" / "nginx.conf.template", variables))
    with ExitStack() as stack:
        made = Network(stack)
        made.run("vm", "nft", "-f", "-", said=PUBLISHED)
        made.run("vm", "nft", "-f", str(RULES))
        command = made.within("container", *nginx_command(nginx, tmp_path, configuration))
        gateway = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        stack.callback(gateway.terminate)
        assert wait_until(lambda: gateway.poll() is not None or "200" in _asked(made), HANG_SECONDS)
        assert gateway.poll() is None, gateway.stderr
        yield made


def _asked(network: Network) -> str:
    try:
        return network.python("other", ASK, VM, "1")
    except AssertionError:  # nothing listens yet
        time.sleep(0.05)
        return ""


def test_one_address_with_all_the_half_sent_requests_it_can_open_leaves_the_others_their_answers(
    network: Network,
) -> None:
    with network.half_sent("many", VM, "80", "9000", "3") as flood:
        # while it still opens more, and when it has all that it gets
        during = network.python("other", ASK, VM, "20").split()
        opened = told(flood)
        assert AT_ONCE * 0.9 <= opened <= AT_ONCE
        answers = [*during, *network.python("other", ASK, VM, "20").split()]
        assert set(answers[::2]) == {"200"}
        # who is left out asks once more, a second later at the earliest
        assert median(map(float, answers[1::2])) < 1
        # it has them for as long as nginx waits for a header, and no longer
        assert wait_until(lambda: still_open(flood) == 0, HANG_SECONDS, 0.1)
    assert network.python("many", ASK, VM, "1").startswith("200")


def test_addresses_of_one_ipv6_network_share_its_bound(network: Network) -> None:
    sources = ("2001:db8:0:a::2", "2001:db8:0:a::3")
    network.python("many", MEET, VM6, *sources)  # or most of the flood is lost while neighbours are still asked for
    with network.half_sent("many", VM6, "80", "1000", "3", *sources) as flood:
        assert AT_ONCE * 0.9 < told(flood) <= AT_ONCE
        answers = network.python("other", ASK, VM6, "5").split()
        assert set(answers[::2]) == {"200"}
        # who is left out asks once more, a second later at the earliest
        assert median(map(float, answers[1::2])) < 1


def test_addresses_of_one_ipv6_network_share_nginx_limits_too(network: Network) -> None:
    most = EXAMPLE["GATEWAY_LARGE_BODIES_PER_IP"]
    assert network.python("many", LARGE_BODIES, VM6, most, "2001:db8:0:a::2", "2001:db8:0:a::3", "20") == "429\n"
    one = ("2001:db8:0:b::2", "2001:db8:0:b::2")
    assert network.python("other", LARGE_BODIES, VM6, "1", *one, "1") == "still reading\n"


def test_the_fleet_is_not_counted(network: Network) -> None:
    with network.half_sent("fleet", VM, "80", "1000", "5") as flood:
        assert told(flood) == 1000


def test_an_address_opens_only_so_many_a_second(network: Network) -> None:
    seconds = 3
    opened = int(network.python("many", OPEN_AND_END, VM, str(seconds)))
    assert BURST / 2 < opened <= BURST + A_SECOND * (seconds + 1)
    answers = network.python("other", ASK, VM, "5").split()
    assert median(map(float, answers[1::2])) < 1


def test_a_gateway_without_docker_is_behind_the_same_rules(network: Network) -> None:
    command = network.within("vm", sys.executable, "-c", LISTEN)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listening:
        try:
            assert listening.stdout is not None
            assert listening.stdout.readline() == "listening\n"
            with network.half_sent("many", VM, "443", "1000", "3") as flood:
                assert AT_ONCE * 0.9 <= told(flood) <= AT_ONCE
        finally:
            listening.terminate()


def test_other_ports_are_not_touched(network: Network) -> None:
    # refused by the VM and not dropped, however often
    script = "import socket,sys\nfor _ in range(1000):\n assert socket.socket().connect_ex((sys.argv[1], 22)) == 111"
    network.python("many", script, VM)


def test_the_rules_are_put_in_again_in_one_step(network: Network) -> None:
    before = network.run("vm", "nft", "-s", "list", "ruleset")
    network.run("vm", "nft", "-f", str(RULES))
    after = network.run("vm", "nft", "-s", "list", "ruleset")
    assert after.count("table inet ml_gateway") == before.count("table inet ml_gateway") == 1
    assert "table inet published" in after


@pytest.mark.parametrize(
    ("env", "ports", "fleet", "fleet6"),
    [
        (None, "80, 443", "10.0.0.0/8, 172.16.0.0/12", "::1"),
        ("X=1", "80, 443", "10.0.0.0/8, 172.16.0.0/12", "::1"),
        ("HTTP_PORT=8080\nHTTPS_PORT='8443'", "8080, 8443", "10.0.0.0/8, 172.16.0.0/12", "::1"),
        ("GATEWAY_FLEET_ALLOW='allow 192.0.2.5; allow  192.0.2.8/31;'", "80, 443", "192.0.2.5, 192.0.2.8/31", "::1"),
        ("GATEWAY_FLEET_ALLOW=allow 192.0.2.5; allow 2001:db8::/64;", "80, 443", "192.0.2.5", "2001:db8::/64"),
        ('GATEWAY_FLEET_ALLOW="allow 2001:db8::5;"', "80, 443", "127.0.0.1", "2001:db8::5"),
    ],
)
def test_the_rules_get_ports_and_fleet_of_the_env_file(
    tmp_path: Path, env: str | None, ports: str, fleet: str, fleet6: str
) -> None:
    shutil.copytree(RULES.parent, tmp_path / "host")
    if env is not None:
        (tmp_path / ".env").write_text(f"{env}\n")
    printed = subprocess.run(["sh", "host/rules.sh"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    defined = re.findall(r"^define (\w+) = \{ (.*) \}$", printed, re.MULTILINE)
    assert dict(defined) == {"PORTS": ports, "FLEET": fleet, "FLEET6": fleet6}
    behind = "table inet ml_gateway\ndelete"
    assert printed.partition(behind)[2] == TEXT.partition(behind)[2]
    if _missing() is None:
        checked = subprocess.run(["nft", "-c", "-f", "-"], input=printed, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_the_rules_are_of_the_same_fleet_and_ports_as_the_gateway() -> None:
    fleet = re.findall(r"allow ([^;]+);", EXAMPLE["GATEWAY_FLEET_ALLOW"])
    assert f"define FLEET = {{ {', '.join(fleet)} }}" in TEXT
    assert f"define PORTS = {{ {EXAMPLE['HTTP_PORT']}, {EXAMPLE['HTTPS_PORT']} }}" in TEXT


def test_nginx_has_room_for_many_addresses_with_all_that_the_kernel_lets_one_open() -> None:
    (at_once,) = set(re.findall(r"ct count over (\d+)", TEXT))
    ((rate, burst),) = set(re.findall(r"limit rate over (\d+)/second burst (\d+) packets", TEXT))
    assert (int(at_once), int(rate), int(burst)) == (AT_ONCE, A_SECOND, BURST)
    # more than nginx would serve, or an honest client is kept waiting without a word
    assert int(EXAMPLE["GATEWAY_CONNECTIONS_PER_IP"]) < AT_ONCE
    assert int(EXAMPLE["GATEWAY_RATE_PER_IP"].removesuffix("r/s")) < A_SECOND
    # in one worker, which all of them may come to, and a request that is handed on takes two
    assert int(EXAMPLE["GATEWAY_WORKER_CONNECTIONS"]) >= 40 * AT_ONCE


def test_nginx_may_open_as_many_files_as_its_connections_need() -> None:
    compose = (GATEWAY_FOLDER / "docker-compose.yml").read_text()
    files = EXAMPLE["NGINX_OPEN_FILES"]
    told = f"${{NGINX_OPEN_FILES:-{files}}}"
    assert f"worker_rlimit_nofile {told};" in compose
    assert f'nofile: {{soft: "{told}", hard: "{told}"}}' in compose
    # a request that is handed on: two connections, and a file for each direction
    assert int(files) > 2 * int(EXAMPLE["GATEWAY_WORKER_CONNECTIONS"])
