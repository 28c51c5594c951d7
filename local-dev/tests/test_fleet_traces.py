"""Where a fleet's spans go, and the sink as one of its programs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from fleet import Fleet, cli, databases
from fleet.cleanup import processes_of
from fleet.composition import PORTS, Compose, _traces, compose, compose_with_traces
from fleet.keys import Keys
from fleet.layout import Layout
from fleet.programs import Program
from fleet.services import Overrides
from fleet.telemetry import keeps_traces, spans_go_to
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from traces.reading import opened

from ml_shared.names import Service
from ml_shared.testing.servers import wait_until

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
ELSEWHERE = "http://127.0.0.1:4317"


@pytest.fixture(autouse=True)
def _no_collector_of_the_developers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """No PostgreSQL runs in these tests, so none of their data folders is made."""
    monkeypatch.setattr(databases, "prepare", lambda data, password: None)


def composed(tmp_path: Path, how: Compose) -> dict[str, Program]:
    layout = Layout(tmp_path / "state")
    layout.make()
    ports = dict(zip(PORTS, range(20_000, 20_000 + len(PORTS)), strict=True))
    return {program.name: program for program in how(layout, ports, Keys(layout.keys), {})}


def settings(programs: Mapping[str, Program]) -> list[Mapping[str, str]]:
    """Return the environments of everything that sends spans."""
    senders = (*Service, "orchestrator-worker", "orchestrator-beat", "scraper-worker", "embedding-worker")
    return [programs[name].environment for name in senders]


def test_the_developers_fleet_keeps_its_traces(tmp_path: Path) -> None:
    fleet = cli.fleet_of(tmp_path / "state", {})
    programs = composed(tmp_path, fleet._compose)
    assert "traces" in programs
    port = 20_000 + PORTS.index("traces")
    assert {environment[ENDPOINT] for environment in settings(programs)} == {f"http://127.0.0.1:{port}"}
    assert not [environment for environment in settings(programs) if "OTEL_TRACES_EXPORTER" in environment]


def test_with_an_endpoint_of_the_developers_spans_go_there_and_no_sink_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, ELSEWHERE)
    fleet = cli.fleet_of(tmp_path / "state", {ENDPOINT: ELSEWHERE})
    programs = composed(tmp_path, fleet._compose)
    assert "traces" not in programs
    assert {environment[ENDPOINT] for environment in settings(programs)} == {ELSEWHERE}


def test_who_wants_no_spans_gets_none_and_no_sink(tmp_path: Path) -> None:
    fleet = cli.fleet_of(tmp_path / "state", {"OTEL_TRACES_EXPORTER": "none"})
    programs = composed(tmp_path, fleet._compose)
    assert "traces" not in programs
    assert {environment["OTEL_TRACES_EXPORTER"] for environment in settings(programs)} == {"none"}


def test_fleets_of_tests_have_no_sink_and_send_nothing_unless_asked(tmp_path: Path) -> None:
    programs = composed(tmp_path, Fleet(tmp_path / "state")._compose)
    assert "traces" not in programs
    assert {environment["OTEL_TRACES_EXPORTER"] for environment in settings(programs)} == {"none"}
    asked = composed(tmp_path, Fleet(tmp_path / "state", programs=compose_with_traces)._compose)
    assert asked.keys() - programs.keys() == {"traces"}


@pytest.mark.parametrize("how", [compose, compose_with_traces])
def test_nothing_waits_for_the_sink(tmp_path: Path, how: Compose) -> None:
    assert not [program.name for program in composed(tmp_path, how).values() if "traces" in program.needs]


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({ENDPOINT: ELSEWHERE}, ELSEWHERE),
        ({"OTEL_TRACES_EXPORTER": "none", ENDPOINT: ELSEWHERE}, None),
        ({"OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_where_spans_go_is_read_from_the_fleet_that_runs(
    tmp_path: Path, environment: dict[str, str], endpoint: str | None
) -> None:
    layout = Layout(tmp_path / "state")
    assert spans_go_to(layout) is None
    layout.make()
    (layout.programs / "orchestrator.json").write_text(json.dumps({"environment": environment}))
    assert spans_go_to(layout) == endpoint


def sink_alone(layout: Layout, ports: Mapping[str, int], keys: Keys, overrides: Overrides) -> list[Program]:
    return [_traces(layout, ports)]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "state", programs=sink_alone, tied=True)
    fleet.start()
    yield fleet
    fleet.stop()
    assert list(processes_of(fleet.layout.state)) == []


def send(fleet: Fleet, name: str) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=fleet.addresses.url("traces"))))
    provider.get_tracer("test").start_span(name).end()
    provider.shutdown()


def names(fleet: Fleet) -> set[str]:
    with opened(fleet.layout.traces) as reader:
        return {summary.name for summary in reader.latest(-1)}


def test_status_shows_the_sink_and_down_ends_it_and_its_traces_stay(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    send(fleet, "first")
    assert keeps_traces(fleet.layout)
    # for its first second the manager calls a program starting
    assert wait_until(lambda: cli.status(fleet) == 0, 60, poll_seconds=0.1)
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("traces"))
    assert row.split()[-1] == str(fleet.ports["traces"])
    process = fleet.process("traces")
    fleet.stop()
    assert not psutil.pid_exists(process.pid)
    assert not keeps_traces(fleet.layout)
    assert names(fleet) == {"first"}


def test_a_killed_sink_comes_back_on_its_port_with_its_traces(fleet: Fleet) -> None:
    send(fleet, "before")
    fleet.kill("traces")
    fleet.wait_ready("traces", timeout_seconds=60)
    send(fleet, "after")
    assert names(fleet) == {"before", "after"}


def test_nobody_else_can_read_what_the_sink_keeps(fleet: Fleet) -> None:
    assert fleet.layout.traces.stat().st_mode & 0o077 == 0
