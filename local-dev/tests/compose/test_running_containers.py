"""What runs, looked at from outside: rights, health, logs, ports, stops, and what the images hold."""

import io
import json
import re
import socket
import subprocess
import tarfile
import time
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import pytest
from compose_engine import Stack, docker, environment, run
from compose_fleet import FIRST_PORT, HTTP_PORT, IMAGES, RENDERER_IMAGE, TAG, ComposeFleet, alloy_ports
from stacks.plan import STACKS

OURS = "cloudcix/"
LOG_ROTATION = {"max-size": "25m", "max-file": "2"}
NOBODY_PUBLISHES = (5432, 6379, 8080, 9100, 9113, 12345)
NOT_IN_AN_IMAGE = {".env", ".git", ".netrc", ".git-credentials", "id_rsa", "id_ed25519", "pip.conf"}
LARGEST_SEARCHED_BYTES = 2**20
TOUCH = 'for place in /app /usr ~ $(ls -d /venv); do touch "$place/x" && echo "$place"; done'


def ours(stack: Stack) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in stack.containers().items() if one["Config"]["Image"].startswith(OURS)}


def ours_running(stack: Stack) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in ours(stack).items() if one["State"]["Running"]}


@pytest.mark.parametrize("name", IMAGES)
def test_our_processes_are_nobody_special_and_can_write_nothing(fleet: ComposeFleet, name: str) -> None:
    stack = fleet[name]
    running = ours_running(stack)
    assert running
    for service in running:
        status = stack.compose("exec", "-T", service, "cat", "/proc/1/status").stdout
        said = dict(line.split(":", 1) for line in status.splitlines())
        assert said["Uid"].split() == ["1000"] * 4, service
        assert {said[kind].strip() for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert said["NoNewPrivs"].strip() == "1", service
        tried = stack.compose("exec", "-T", service, "sh", "-c", TOUCH, check=False)
        assert tried.stdout == ""
        assert tried.stderr.count("Read-only file system") >= 3, tried.stderr


@pytest.mark.parametrize("name", STACKS)
def test_every_container_is_healthy_or_has_done_its_work_and_rotates_its_log(fleet: ComposeFleet, name: str) -> None:
    found = fleet[name].containers()
    assert found.keys() == set(fleet[name].services())
    for service, one in found.items():
        if one["State"]["Running"]:
            assert one["State"].get("Health", {"Status": "healthy"})["Status"] == "healthy", service
        else:
            assert (service.endswith("migrate"), one["State"]["ExitCode"]) == (True, 0), service
        assert one["State"]["OOMKilled"] is False
        assert one["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": LOG_ROTATION}, service


@pytest.mark.parametrize("name", IMAGES)
def test_every_line_that_a_container_of_ours_logs_is_json_and_none_has_a_secret(fleet: ComposeFleet, name: str) -> None:
    for service, one in ours(fleet[name]).items():
        done = run("docker", "logs", one["Id"])
        lines = (done.stdout + done.stderr).splitlines()
        assert not [secret for secret in fleet.secrets if any(secret in line for line in lines)], service
        wrong = [line for line in lines if not line.startswith("{") or not isinstance(json.loads(line), dict)]
        assert wrong == [], service


@pytest.mark.parametrize("name", ["orchestrator", "embedding"])
def test_what_a_migration_did_and_why_one_failed_is_found_after_it_has_ended(fleet: ComposeFleet, name: str) -> None:
    """Alloy looks every ten seconds, and asks the engine for the states that its configuration names."""
    stack, service = fleet[name], f"{name}-migrate"
    (states,) = re.findall(r'name += "status"\n\s+values = (\[.*\])', (stack.folder / "alloy/config.alloy").read_text())
    filters = [word for state in json.loads(states) for word in ("--filter", f"status={state}")]

    def found(container: str) -> dict[str, Any]:
        assert container in docker("ps", "--format", "{{.Names}}", *filters).split()
        line: dict[str, Any] = json.loads(docker("logs", container).splitlines()[-1])
        return line

    applied = stack.containers()[service]
    assert applied["State"]["Status"] == "exited"
    assert found(applied["Name"].removeprefix("/"))["event"] == "migrations_applied"
    failed = f"{stack.project}-failed"
    nowhere = "DATABASE_URL=postgresql://nobody@127.0.0.1:9/none"
    try:
        done = stack.compose("run", "--name", failed, "--no-deps", "-T", "-e", nowhere, service, check=False)
        assert done.returncode == 1
        assert found(failed)["event"] == "migrations_failed"
    finally:
        run("docker", "rm", "--force", failed)


def test_only_what_is_published_can_be_reached(fleet: ComposeFleet) -> None:
    published: dict[str, set[tuple[str, int]]] = {}
    for name in STACKS:
        bound = [port for one in fleet[name].containers().values() for port in one["NetworkSettings"]["Ports"].values()]
        published[name] = {(one["HostIp"], int(one["HostPort"])) for bindings in bound for one in bindings or ()}
    # Alloy asks for no key: it is there for the machine itself and for nobody else
    alloys = {name: {int(port) for port in alloy_ports(number).values()} for number, name in enumerate(STACKS)}
    ours = {name: FIRST_PORT + number if name in IMAGES else HTTP_PORT for number, name in enumerate(STACKS)}
    assert published == {
        name: {("127.0.0.1", port) for port in alloys[name]}
        | {(fleet.host if name in IMAGES else "0.0.0.0", ours[name])}
        for name in STACKS
    }
    for port in ours.values():
        with socket.create_connection((fleet.host, port), timeout=5):
            pass
    for port in (*NOBODY_PUBLISHES, *set().union(*alloys.values())):
        with pytest.raises(OSError), socket.create_connection((fleet.host, port), timeout=5):
            pass


@pytest.mark.parametrize("name", IMAGES)
def test_a_stop_is_orderly_and_well_within_its_grace(fleet: ComposeFleet, name: str) -> None:
    stack = fleet[name]
    running = ours_running(stack)
    began = time.time()
    try:
        stack.compose("stop", *running)
        stopped = ours(stack)
    finally:
        stack.up()
    said = []
    for service in running:
        state = stopped[service]["State"]
        grace = stopped[service]["Config"]["StopTimeout"]
        took = datetime.fromisoformat(state["FinishedAt"][:26] + "+00:00").timestamp() - began
        assert (state["Running"], state["ExitCode"]) == (False, 0), (service, state)
        assert took < grace, (service, took)
        said.append(f"{service} {took:.1f} s of {grace} s")
    fleet.say(f"stopped: {', '.join(said)}")


@pytest.mark.parametrize(("name", "image"), [*IMAGES.items(), ("scraper", RENDERER_IMAGE)])
def test_no_layer_of_an_image_has_a_secret(fleet: ComposeFleet, name: str, image: str) -> None:
    """The `.env` with all secrets lay beside the Dockerfile when the image was built."""
    assert (fleet[name].folder / ".env").is_file()
    image = f"{image}:{TAG}"
    secrets = [secret.encode() for secret in fleet.secrets]
    history = docker("history", "--no-trunc", image) + docker("image", "inspect", image)
    assert not [secret for secret in fleet.secrets if secret in history]
    files = 0
    command = ["docker", "save", image]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as saved:
        with tarfile.open(fileobj=saved.stdout, mode="r|") as outer:
            for blob in outer:
                content = outer.extractfile(blob)
                if content is None:
                    continue
                head = content.read(LARGEST_SEARCHED_BYTES)
                assert not any(secret in head for secret in secrets), blob.name
                try:
                    layer = tarfile.open(fileobj=io.BytesIO(head + content.read()))  # noqa: SIM115 - closed below
                except tarfile.ReadError:
                    continue  # no layer, but what the engine says of one
                with layer:
                    for member in layer:
                        files += 1
                        path = PurePosixPath(member.name)
                        assert path.name not in NOT_IN_AN_IMAGE, path
                        if member.isfile() and path.parts[0] == "app":
                            kept = layer.extractfile(member)
                            assert kept is not None
                            text = kept.read()
                            assert not any(secret in text for secret in secrets), path
    assert saved.returncode == 0
    assert files > 1000
