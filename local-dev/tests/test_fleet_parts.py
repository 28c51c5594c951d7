"""Ports, keys, settings and the manager's configuration, each alone."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fleet.composition import PORTS, compose
from fleet.keys import Keys
from fleet.layout import Layout
from fleet.manager import SOCKET_PATH_BYTES, _short_folder
from fleet.ports import HIGHEST, LOWEST, choose_ports, hold, is_free
from fleet.services import Addresses, overrides_from_environment, service_settings

from ml_shared.names import Service
from ml_shared.testing.servers import free_port


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    layout.make()
    return layout


def test_a_port_that_is_free_again_is_used_again(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = choose_ports(file, ["a", "b"])
    assert choose_ports(file, ["a", "b"]) == first
    assert first["a"] != first["b"]
    assert all(LOWEST <= port <= HIGHEST for port in first.values())


def test_a_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    taken = choose_ports(file, ["a"])["a"]
    with socket.socket() as other:
        other.bind(("127.0.0.1", taken))
        other.listen()
        assert choose_ports(file, ["a"])["a"] != taken


def test_the_preferred_port_is_taken_when_it_is_free_and_only_then(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    wish = free_port()  # below those that connections going out are given
    with socket.socket() as other:
        other.bind(("127.0.0.1", wish))
        other.listen()
        assert choose_ports(file, ["gateway"], preferred={"gateway": wish})["gateway"] != wish
    assert choose_ports(file, ["gateway"], preferred={"gateway": wish})["gateway"] == wish


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no port is held")
def test_a_port_that_is_held_is_found_by_nobody_who_looks_for_one_and_given_to_the_server_that_it_is_held_for() -> None:
    port = free_port()
    with hold([port]), socket.socket() as server:
        assert not is_free(port, reuse=False)
        with pytest.raises(OSError, match="in use"), socket.socket() as other:  # as `free_port` looks
            other.bind(("127.0.0.1", port))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        with hold([port]):  # taken already: whoever starts there will say so
            assert not is_free(port)


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"a": "x"}'])
def test_a_damaged_ports_file_is_made_anew(tmp_path: Path, content: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(content)
    assert set(choose_ports(file, ["a"])) == {"a"}


def test_keys_are_made_once_and_are_their_owners_alone(layout: Layout) -> None:
    keys = Keys(layout.keys)
    assert dict(Keys(layout.keys)) == dict(keys)
    assert len(set(keys.values())) == len(keys)
    for name in keys:
        assert keys.file(name).stat().st_mode & 0o777 == 0o600
    assert layout.keys.stat().st_mode & 0o777 == 0o700
    assert not any(key in repr(keys) for key in keys.values())


def test_a_key_file_that_was_opened_to_others_is_closed_again(layout: Layout) -> None:
    path = Keys(layout.keys).file("user")
    path.chmod(0o644)
    Keys(layout.keys)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_file_left_empty_by_a_crash_is_made_anew(layout: Layout) -> None:
    path = Keys(layout.keys).file("user")
    path.write_text("")
    assert Keys(layout.keys)["user"]


def test_overrides_come_from_variables_that_name_a_service() -> None:
    environment = {
        "FLEET_SCRAPER_HOST_DELAY_SECONDS": "0",
        "FLEET_ORCHESTRATOR_RUN_LEASE_SECONDS": "2",
        "FLEET_SCRAPER_": "nothing",
        "FLEET_ELSEWHERE_X": "1",
        "SCRAPER_URL": "http://elsewhere",
    }
    assert overrides_from_environment(environment) == {
        "scraper": {"HOST_DELAY_SECONDS": "0"},
        "orchestrator": {"RUN_LEASE_SECONDS": "2"},
    }


def test_the_scraper_may_fetch_from_the_demo_site_and_from_nothing_else_that_is_private(layout: Layout) -> None:
    ports = dict(zip(PORTS, range(20_000, 20_000 + len(PORTS)), strict=True))
    settings = service_settings(Addresses(ports, Keys(layout.keys)), {})[Service.SCRAPER]
    assert settings["ALLOWED_PRIVATE_NETWORKS"] == "127.0.0.1/32"
    assert settings["ALLOWED_PORTS"] == str(ports["demo-site"])


def test_each_service_gets_its_own_key_and_only_hashes_of_the_others(layout: Layout) -> None:
    ports = dict(zip(PORTS, range(20_000, 20_000 + len(PORTS)), strict=True))
    keys = Keys(layout.keys)
    for service, settings in service_settings(Addresses(ports, keys), {}).items():
        text = json.dumps(settings)
        foreign = [name for name in ("user", "other-user", "orchestrator", "scraper", "embedding") if name != service]
        assert not [name for name in foreign if keys[name] in text]


def test_the_commands_are_those_of_the_compose_files(layout: Layout) -> None:
    ports = dict(zip(PORTS, range(20_000, 20_000 + len(PORTS)), strict=True))
    programs = {program.name: program for program in compose(layout, ports, Keys(layout.keys), {})}
    commands = {name: " ".join(program.command) for name, program in programs.items()}
    assert commands["orchestrator-worker"].endswith("worker --loglevel=info -Q orchestration")
    assert commands["scraper-worker"].endswith("-Q scraper --concurrency=4 --max-tasks-per-child=200")
    assert commands["embedding-worker"].endswith("-Q embed_jobs --concurrency=2 --max-tasks-per-child=100")
    for service in Service:
        assert "uvicorn app.main:app" in commands[service]
        assert "--workers 1" in commands[service]
    two = compose(layout, ports, Keys(layout.keys), {"chunking": {"API_PROCESSES": "2"}})
    [chunking] = [program for program in two if program.name == "chunking"]
    assert "--workers 2" in " ".join(chunking.command)
    assert chunking.environment["API_PROCESSES"] == "2", "it divides limits by as many"
    listening = [command for command in commands.values() if "0.0.0.0" in command]
    assert listening == []


def test_a_socket_fits_into_the_length_that_systems_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 80) / ("e" * 80)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    folder = _short_folder()
    try:
        assert len(str(folder)) < SOCKET_PATH_BYTES - len("/manager.sock.0000000")
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()


def test_the_launcher_gives_a_program_exactly_its_environment(tmp_path: Path) -> None:
    emptied, removed, told = tmp_path / "emptied", tmp_path / "removed", tmp_path / "told"
    emptied.mkdir()
    (emptied / "old").touch()
    removed.touch()
    script = "import json, os; json.dump([dict(os.environ), os.getcwd()], open('told', 'w'))"
    launch = {
        "name": "x",
        "state": str(tmp_path),
        "command": [sys.executable, "-I", "-c", script],
        "cwd": str(tmp_path),
        "environment": {"ONLY": "this", "LC_ALL": "C.UTF-8"},
        "emptied": [str(emptied)],
        "removed": [str(removed)],
        "user": None,
    }
    file = tmp_path / "x.json"
    file.write_text(json.dumps(launch))
    launcher = Path(__file__).parents[1] / "fleet" / "launch.py"
    subprocess.run([sys.executable, "-I", "-S", str(launcher), str(file)], check=True, env={"NOT": "this"})
    environment, folder = json.loads(told.read_text())
    assert environment == {"ONLY": "this", "LC_ALL": "C.UTF-8"}
    assert Path(folder) == tmp_path.resolve()
    assert list(emptied.iterdir()) == []
    assert not removed.exists()


@pytest.mark.parametrize("command", ["status", "down"])
def test_a_command_whose_reader_has_enough_goes_on_to_its_end(tmp_path: Path, command: str) -> None:
    def run(**streams: int) -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-m", "fleet", command, "--state", str(tmp_path / "state")]
        return subprocess.run(words, stderr=subprocess.PIPE, cwd=Path(__file__).parent.parent, check=False, **streams)

    reading, writing = os.pipe()
    os.close(reading)
    unread = run(stdout=writing)
    os.close(writing)
    assert (unread.returncode, unread.stderr) == (run(stdout=subprocess.DEVNULL).returncode, b"")
