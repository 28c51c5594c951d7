"""One fleet of five Docker Compose projects for all tests here, started when the first one needs it."""

import fcntl
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import compose_fleet
import pytest
from compose_client import PatientCaller
from compose_engine import engine_missing
from compose_fleet import ComposeFleet, Say

TIMEOUT_SECONDS = 1200
# of one test; the first one waits for the images


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    missing = engine_missing() if here else None
    for item in here:
        item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))
        if missing:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Say:
    """Show a line at once, whatever pytest captures."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    began = time.monotonic()

    def shown(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  [{time.monotonic() - began:5.0f} s] {line}", end="", flush=True)

    return shown


@pytest.fixture(scope="session")
def only_run() -> Iterator[None]:
    """Two runs on one engine would remove each other's containers."""
    with (Path(tempfile.gettempdir()) / "ml-compose-tests.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pytest.fail(f"another run of these tests holds {lock.name}; wait for its end", pytrace=False)
        yield


@pytest.fixture(scope="session")
def fleet(request: pytest.FixtureRequest, say: Say, only_run: None) -> Iterator[ComposeFleet]:
    """The five stacks, up and healthy."""
    # a polite end, as after Ctrl-C, so that nothing of ours goes on running
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="ml-compose-") as folder:
        fleet = compose_fleet.new_fleet(Path(folder), say)
        compose_fleet.remove(fleet)  # what a killed run left
        failed_before = request.session.testsfailed
        whole = False
        try:
            compose_fleet.check_free(fleet.host)
            with fleet.outside:
                compose_fleet.build(fleet)
                compose_fleet.start(fleet)
                whole = True
                yield fleet
                whole = request.session.testsfailed == failed_before
        finally:
            interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # once more must not leave half of it behind
            if not whole:
                logs = Path(tempfile.mkdtemp(prefix="ml-compose-logs-"))
                compose_fleet.keep_logs(fleet, logs)
                say(f"the containers' logs are in {logs}")
            say("removing the stacks")
            compose_fleet.remove(fleet)
            say("removed\n")
            signal.signal(signal.SIGINT, interrupted)
            signal.signal(signal.SIGTERM, before)


@pytest.fixture
def caller(fleet: ComposeFleet) -> Iterator[PatientCaller]:
    """A user, at the gateway."""
    user = PatientCaller(fleet.gateway, fleet.keys["user"])
    yield user
    user.close()
