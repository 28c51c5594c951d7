"""The fixtures that every test run of this project has."""

import os
import socket

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ml_shared.testing.binaries import BinaryMissingError
from ml_shared.testing.plugin import require


def _missing() -> None:
    raise BinaryMissingError("no such server: install it")


def test_a_missing_server_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install it"):
        require(_missing)


def test_a_missing_server_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install it"):
        require(_missing)


def test_telemetry_stays_on_this_machine() -> None:
    assert os.environ["OTEL_TRACES_EXPORTER"] == "none"
    assert os.environ["PYROSCOPE_SERVER_ADDRESS"] == ""


async def test_each_test_has_a_database_of_its_own(postgres_database: str) -> None:
    connection = await asyncpg.connect(postgres_database)
    try:
        await connection.execute("CREATE TABLE once (a int)")
    finally:
        await connection.close()


test_each_test_has_a_database_of_its_own_again = test_each_test_has_a_database_of_its_own


@pytest.mark.parametrize("run", [1, 2])
def test_spans_holds_those_of_this_test_alone(run: int, spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("test").start_as_current_span(f"run-{run}"):
        pass
    assert [span.name for span in spans.get_finished_spans()] == [f"run-{run}"]


def test_a_free_port_can_be_listened_on(free_port: int) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port))
