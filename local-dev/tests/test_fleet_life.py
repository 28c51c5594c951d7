"""A fleet's life, with real servers and small programs in place of the services."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from fleet import Fleet, databases
from fleet.cleanup import processes_of
from fleet.composition import _postgres, _redis
from fleet.errors import FleetError, StartError
from fleet.keys import Keys
from fleet.layout import Layout, read_json
from fleet.programs import Program, Tier
from fleet.readiness import http_ok
from fleet.services import Overrides

from ml_shared.testing.servers import wait_until

SERVE = textwrap.dedent(
    """
    import http.server, os, signal, sys
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    child = os.fork()
    if child == 0:  # shares the socket, and outlives a parent that is killed
        signal.pause()
    signal.signal(signal.SIGTERM, lambda *_: (os.kill(child, signal.SIGTERM), sys.exit()))
    server.serve_forever()
    """
)


def serving(layout: Layout, name: str, port: int, needs: tuple[str, ...] = ()) -> Program:
    return Program(
        name=name,
        tier=Tier.SERVICES,
        command=[sys.executable, "-c", SERVE, str(port)],
        cwd=layout.run,
        environment={"SECRET": "s3cret-of-" + name},
        ready=http_ok(port, "/"),
        needs=needs,
    )


def small_fleet(layout: Layout, ports: Mapping[str, int], keys: Keys, overrides: Overrides) -> list[Program]:
    return [
        *_redis(layout, ports, keys)[:1],
        *_postgres(layout, ports, keys, ["postgres"]),
        serving(layout, "orchestrator", ports["orchestrator"], ("redis-orch", "postgres")),
    ]


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a state folder of the small fleet keeps from its first start on: its keys, and a database."""
    layout = Layout(tmp_path_factory.mktemp("seed") / "state")
    layout.make()
    data = databases.data_folder(layout, "postgres")
    if data.is_relative_to(layout.state):  # else another user's, who may not enter a copy either
        databases.prepare(data, Keys(layout.keys)["postgres"])
    return layout.state


@pytest.fixture
def fleet(seed: Path, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of the test's own, not yet started."""
    if not (seed / "foreign-data").exists():
        shutil.copytree(seed, tmp_path / "state")
    fleet = Fleet(tmp_path / "state", programs=small_fleet, tied=True)
    yield fleet
    fleet.stop()
    assert_nothing_is_left(fleet)


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the fleet of all said when it was started."""
    return []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> Iterator[Fleet]:
    """The fleet of all tests that leave it as it was: every program running. It began with nothing."""
    fleet = Fleet(tmp_path_factory.mktemp("shared") / "state", programs=small_fleet, tied=True, say=said.append)
    assert fleet.start()
    yield fleet
    fleet.stop()
    assert_nothing_is_left(fleet)


def running(fleet: Fleet) -> set[str]:
    return {name for _, name in processes_of(fleet.layout.state)}


def assert_nothing_is_left(fleet: Fleet) -> None:
    assert running(fleet) == set()
    assert list(fleet.layout.run.rglob("*.json*")) == []
    assert list(fleet.layout.data.rglob("postmaster.pid")) == []


def test_after_stop_nothing_runs_and_the_data_are_there(fleet: Fleet) -> None:
    assert fleet.start()
    assert running(fleet) == {"", "redis-orch", "postgres", "orchestrator", "tether"}
    fleet.stop()
    assert_nothing_is_left(fleet)
    assert (fleet.layout.data / "postgres" / "PG_VERSION").exists()


def test_a_second_start_while_it_is_up_changes_nothing(shared: Fleet) -> None:
    pids = {state.name: state.pid for state in shared.states()}
    assert not Fleet(shared.layout.state, programs=small_fleet).start()
    assert {state.name: state.pid for state in shared.states()} == pids


@pytest.mark.usefixtures("shared")
def test_a_program_starts_when_what_it_needs_is_ready_and_not_before(said: list[str]) -> None:
    order = [line.split()[2] for line in said]
    assert order.index("orchestrator") > order.index("postgres")
    assert order.index("orchestrator") > order.index("redis-orch")


@pytest.mark.parametrize("next_step", ["start", "stop"])
def test_after_sigkill_of_the_manager_the_next_command_ends_what_was_left(fleet: Fleet, next_step: str) -> None:
    fleet.start()
    manager = fleet.manager.process
    assert manager is not None
    before = {process.pid for process, _ in processes_of(fleet.layout.state)}
    manager.kill()
    assert wait_until(lambda: not fleet.is_up, 60)
    assert {"redis-orch", "postgres", "orchestrator"} <= running(fleet)
    if next_step == "stop":
        assert fleet.stop()
        assert_nothing_is_left(fleet)
        return
    assert fleet.start()
    assert not before & {process.pid for process, _ in processes_of(fleet.layout.state)}


def test_sigterm_to_the_manager_ends_everything(fleet: Fleet) -> None:
    fleet.start()
    manager = fleet.manager.process
    assert manager is not None
    manager.terminate()
    assert wait_until(lambda: running(fleet) == set(), 60)


def test_a_killed_program_comes_back_though_a_child_of_it_held_its_port(shared: Fleet) -> None:
    old = shared.kill("orchestrator", children=False)
    shared.wait_ready("orchestrator", timeout_seconds=60)
    assert shared.process("orchestrator").pid != old


def test_a_killed_postgres_comes_back_with_its_data(shared: Fleet) -> None:
    shared.kill("postgres")
    shared.wait_ready("postgres", timeout_seconds=60)


def test_a_stopped_program_stays_down_until_it_is_started(shared: Fleet) -> None:
    shared.stop_program("orchestrator")
    with pytest.raises(FleetError, match="not running"):
        shared.process("orchestrator")
    shared.start_program("orchestrator", timeout_seconds=60)
    assert shared.process("orchestrator").is_running()


@pytest.mark.parametrize("name", ["orchestrator", "redis-orch", "postgres"])
def test_a_program_that_was_knocked_out_died_of_it_and_stays_down_until_it_is_started(
    shared: Fleet, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {process.pid for process, found in processes_of(shared.layout.state) if found == name}
    let_end, told = shared.manager.let_end, len(shared.log("supervisord").read_text())

    def and_linger(name: str) -> None:  # time enough to end in order, for one that could
        let_end(name)
        time.sleep(0.5)

    monkeypatch.setattr(shared.manager, "let_end", and_linger)
    shared.knock_out(name)
    assert wait_until(lambda: name not in running(shared), 60)
    supervisord = shared.log("supervisord").read_text()[told:]
    assert f"stopped: {name} (terminated by SIGKILL)" in supervisord
    with pytest.raises(FleetError, match="not running"):
        shared.process(name)
    shared.start_program(name, timeout_seconds=60)
    assert shared.process(name).pid not in before


def test_a_program_that_can_not_start_shows_its_log_and_nothing_is_left(tmp_path: Path) -> None:
    def broken(layout: Layout, ports: Mapping[str, int], keys: Keys, overrides: Overrides) -> list[Program]:
        command = [sys.executable, "-c", "print('the reason why'); raise SystemExit(3)"]
        redis = _redis(layout, ports, keys)[:1]
        return [*redis, Program("scraper", Tier.SERVICES, command, layout.run, {}, ready=lambda: False)]

    fleet = Fleet(tmp_path / "state", programs=broken)
    with pytest.raises(StartError, match="the reason why"):
        fleet.start()
    assert_nothing_is_left(fleet)


def test_a_step_that_fails_ends_the_start(tmp_path: Path) -> None:
    def failing(layout: Layout, ports: Mapping[str, int], keys: Keys, overrides: Overrides) -> list[Program]:
        command = [sys.executable, "-c", "raise SystemExit('no such table')"]
        return [Program("orchestrator-migrate", Tier.SERVICES, command, layout.run, {}, once=True)]

    with pytest.raises(StartError, match="no such table"):
        Fleet(tmp_path / "state", programs=failing).start()


def test_keys_are_on_no_command_line_and_in_no_file_that_others_can_read(shared: Fleet) -> None:
    secrets = [*shared.keys.values(), "s3cret-of-orchestrator"]
    for process, _ in processes_of(shared.layout.state):
        command = " ".join(process.cmdline())
        assert not [secret for secret in secrets if secret in command]
    for folder in (shared.layout.state, shared.layout.keys, shared.layout.programs, shared.layout.data):
        assert folder.stat().st_mode & 0o077 == 0
    for file in shared.layout.keys.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert not [s for s in secrets if s in (shared.layout.run / "supervisord.conf").read_text()]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_starting_process_is_ended(tmp_path: Path, how: signal.Signals) -> None:
    script = textwrap.dedent(
        f"""
        import signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from fleet import Fleet
        from fleet.cli import _interrupt
        from fleet.programs import Program, Tier
        from test_fleet_life import small_fleet
        signal.signal(signal.SIGTERM, _interrupt)
        # a shell starts what it runs in the background with SIGINT ignored, and these tests may be such
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def endless(*given):
            print("composed", flush=True)
            return [*small_fleet(*given), Program("chunking", Tier.SERVICES, ["sleep", "99"], given[0].run,
                                                  {{"PATH": "/usr/bin:/bin"}}, ready=lambda: False)]
        Fleet(Path(sys.argv[1]), programs=endless, say=lambda line: print(line, flush=True), tied=True).start()
        """
    )
    state = tmp_path / "state"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(state)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if "orchestrator" in line:
                break
        sockets = Path(read_json(Layout(state).manager)["folder"])
        os.kill(child.pid, how)
        child.communicate(timeout=60)
    assert wait_until(lambda: not list(processes_of(state)), 60), [(p, n) for p, n in processes_of(state)]
    assert not sockets.exists()


def test_two_fleets_run_side_by_side(shared: Fleet, fleet: Fleet) -> None:
    fleet.start()
    # what a fleet of three does not start holds no port of its seventeen, and the other may draw the same
    taken = [{each.ports[name] for name in ("orchestrator", "postgres", "redis-orch")} for each in (shared, fleet)]
    assert not taken[0] & taken[1]
    assert psutil.pid_exists(shared.process("postgres").pid)
    assert psutil.pid_exists(fleet.process("postgres").pid)
