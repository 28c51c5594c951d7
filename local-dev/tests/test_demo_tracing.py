"""What the demo says of its trace is true of the fleet that runs."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.tracing import how_to_see
from fleet.layout import LOCAL_DEV, Layout
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ml_shared.testing.http_server import ThreadedServer

TRACE_ID = "ab" * 16


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    monkeypatch.setenv("PWD", str(LOCAL_DEV))
    monkeypatch.setattr("demo.tracing.GRAFANA_SECONDS", 30.0)  # it answers from this process, which may be held up
    layout = Layout(tmp_path / "state")
    layout.make()
    with socket.socket() as silent:  # bound for as long as nobody is to answer there, and not listening
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GRAFANA_PORT", str(silent.getsockname()[1]))
        yield layout


def running_with(layout: Layout, **environment: str) -> None:
    (layout.programs / "orchestrator.json").write_text(json.dumps({"environment": environment}))


@pytest.fixture(params=["grafana", "another"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, ThreadedServer]]:
    """Something at Grafana's port, Grafana or not."""

    async def health(_: Request) -> Response:
        return JSONResponse({"database": "ok"}) if request.param == "grafana" else PlainTextResponse("hello")

    with ThreadedServer(Starlette(routes=[Route("/api/health", health)])) as running:
        yield request.param, running


def test_a_fleet_with_the_sink_says_the_command(layout: Layout) -> None:
    running_with(layout, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:20001")
    (layout.programs / "traces.json").write_text("{}")
    assert how_to_see(TRACE_ID, layout) == [f"make trace ID={TRACE_ID}"]


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("http://127.0.0.1:4317", "http://127.0.0.1:4317"),
        ("https://user:secret@collector.example:4317/?key=secret", "https://collector.example:4317/?key=***"),
        ("nonsense", "invalid"),
    ],
)
def test_a_fleet_that_sends_elsewhere_says_where_and_names_no_grafana_that_is_not_there(
    layout: Layout, endpoint: str, told: str
) -> None:
    running_with(layout, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert how_to_see(TRACE_ID, layout) == [f"its spans went to {told}"]


def test_grafana_is_named_when_spans_go_to_this_machine_and_it_answers(
    layout: Layout, server: tuple[str, ThreadedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, running = server
    port = running.url.rpartition(":")[2]
    monkeypatch.setenv("GRAFANA_PORT", port)
    running_with(layout, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4317")
    named = [f"http://localhost:{port}: Explore, Tempo, and that id"] if kind == "grafana" else []
    assert how_to_see(TRACE_ID, layout)[1:] == named
    running_with(layout, OTEL_EXPORTER_OTLP_ENDPOINT="https://collector.example:4317")
    assert how_to_see(TRACE_ID, layout)[1:] == []


def test_a_fleet_that_sends_nothing_says_how_to_start_one_that_does(layout: Layout) -> None:
    running_with(layout, OTEL_TRACES_EXPORTER="none")
    (line,) = how_to_see(TRACE_ID, layout)
    assert "`make down` and `make up`" in line
