"""The compose files and `.env.example`: one set of variables, and what the container needs to run the template."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import GATEWAY_FOLDER

TEMPLATE = (GATEWAY_FOLDER / "nginx" / "nginx.conf.template").read_text()
FILES = ("docker-compose.yml", "docker-compose.tls.yml")
NOT_SET = re.compile(r"\$\{(?:IMAGE_DIGEST-@sha256:[0-9a-f]{64}|COMPOSE_PROJECT_NAME)\}")
# by an operator: an image's digest, for which local-dev's tests care, and what Compose itself knows
TEXT = {name: NOT_SET.sub("", (GATEWAY_FOLDER / name).read_text()) for name in FILES}
EXAMPLE = (GATEWAY_FOLDER / ".env.example").read_text()
OF_COMPOSE = {"COMPOSE_FILE"}
# its own, which no file names
SERVERS = "server 10.0.0.10:8000 max_fails=3 fail_timeout=5s;"


def _services(name: str = "docker-compose.yml") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TEXT[name])["services"]
    return found


def _variables() -> dict[str, tuple[str, str]]:
    """Return each variable of the compose files with its operator (`:-`, `-`, `:?`) and what follows that."""
    found = re.findall(r"\$\{([A-Z_]+)(:?[-?])([^}]*)\}", "".join(TEXT.values()))
    assert len(found) == "".join(TEXT.values()).count("${")
    several = {name: {(how, value) for one, how, value in found if one == name} for name, _, _ in found}
    assert all(len(ways) == 1 for ways in several.values()), "one variable has two defaults"
    return {name: ways.pop() for name, ways in several.items()}


def test_the_example_names_every_variable_and_no_other() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) - OF_COMPOSE == _variables().keys()


def test_what_the_example_comments_out_is_the_default_and_the_rest_has_to_be_set() -> None:
    commented = dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    to_set = dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    for name, (how, value) in _variables().items():
        if name in to_set:
            assert how == ":?"
            assert re.search(r"<.+>", to_set[name])
        elif how == ":?":  # of the file that TLS adds
            assert name in TEXT["docker-compose.tls.yml"]
            assert name not in TEXT["docker-compose.yml"]
            assert commented[name].startswith("<")
        else:
            assert commented[name] == value
    assert commented["COMPOSE_FILE"].split(":") == list(FILES)


def test_compose_sets_every_variable_of_the_template_and_no_other() -> None:
    environment = _services()["nginx"]["environment"]
    set_here = {name for name in environment if name.startswith("GATEWAY_")}
    assert set_here == set(re.findall(r"\$\{(GATEWAY_[A-Z_]+)\}", TEMPLATE))
    for name, value in environment.items():
        if found := re.match(r"\$\{([A-Z_]+)", value):
            assert found[1] in (name, name.removeprefix("GATEWAY_"))


def test_ports_are_published_at_an_address_of_ipv4_alloys_to_this_machine_and_stub_status_not_at_all() -> None:
    published = [port for name in FILES for service in _services(name).values() for port in service.get("ports", ())]
    clients = [port for port in published if not port.endswith((":4040", ":4317"))]
    assert all(port.startswith("${BIND_ADDRESS:-0.0.0.0}:") for port in clients)
    # Alloy asks for no key: whoever reaches it writes into the cluster
    assert all(port.startswith("${ALLOY_BIND_ADDRESS:-127.0.0.1}:") for port in published if port not in clients)
    assert sorted(int(port.rpartition(":")[2]) for port in published) == [80, 443, 4040, 4317]


def test_docker_kills_nginx_later_than_nginx_gives_up_on_open_requests() -> None:
    waits = re.search(r"^worker_shutdown_timeout (\d+)s;$", TEMPLATE, re.MULTILINE)
    assert waits is not None
    assert int(_services()["nginx"]["stop_grace_period"].removesuffix("s")) > int(waits[1])
    # longer than a stream of events and `Prefer: wait` last, by the contract
    assert int(waits[1]) > 60


def test_what_nginx_writes_is_memory_or_a_volume() -> None:
    nginx = _services()["nginx"]
    writable = {line.partition(":")[0] for line in nginx["tmpfs"]}
    writable |= {volume["target"] for volume in nginx["volumes"] if isinstance(volume, dict)}
    environment = nginx["environment"]
    folders = [environment[f"GATEWAY_{name}_DIR"] for name in ("RUN", "LOG", "TEMP")]
    assert writable == {*folders, environment["NGINX_ENVSUBST_OUTPUT_DIR"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The compose files with an `.env` that has what has no default."""
    docker = shutil.which("docker")
    version = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if not version or version.returncode:
        pytest.skip("no `docker compose` here: install Docker with its compose plugin")
    for name in FILES:
        shutil.copy(GATEWAY_FOLDER / name, tmp_path)
    required = re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE)
    (tmp_path / ".env").write_text("".join(f"{name}={SERVERS}\n" for name in required))
    return tmp_path


def _config(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", "compose", "config"], cwd=folder, capture_output=True, text=True, check=False)


def test_compose_takes_its_file_alone_and_with_tls(folder: Path) -> None:
    plain = _config(folder)
    assert plain.returncode == 0, plain.stderr
    assert [port["target"] for port in yaml.safe_load(plain.stdout)["services"]["nginx"]["ports"]] == [80]
    with (folder / ".env").open("a") as file:
        file.write(f"COMPOSE_FILE={':'.join(FILES)}\nTLS_CERTIFICATE_DIR=/etc/certificate\nHTTPS_PORT=8443\n")
    tls = _config(folder)
    assert tls.returncode == 0, tls.stderr
    nginx = yaml.safe_load(tls.stdout)["services"]["nginx"]
    assert {port["target"]: port["published"] for port in nginx["ports"]} == {80: "80", 443: "8443"}
    assert nginx["environment"]["GATEWAY_HTTPS_PORT"] == "8443"
    assert {volume["target"] for volume in nginx["volumes"]} >= {"/etc/nginx/tls", "/etc/nginx/server.d"}


@pytest.mark.parametrize("name", [name for name, (how, _) in _variables().items() if how == ":?"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_variable_that_is_missing_or_empty_stops_compose_with_its_name(folder: Path, name: str, empty: bool) -> None:
    with (folder / ".env").open("a") as file:
        file.write(f"COMPOSE_FILE={':'.join(FILES)}\nTLS_CERTIFICATE_DIR=/etc/certificate\n")
    lines = (folder / ".env").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(f"{name}=")]
    (folder / ".env").write_text("\n".join([*kept, f"{name}="] if empty else kept))
    done = _config(folder)
    assert done.returncode != 0
    assert name in done.stderr
