"""What an operator sets by the standard's variables is what happens."""

import inspect
import json
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pydantic import ValidationError

from ml_shared.settings import ServiceSettings
from ml_shared.telemetry.exporting import AnnouncingExporter
from ml_shared.telemetry.settings import TelemetrySettings
from ml_shared.testing.otlp import OtlpReceiver

QUIET = {"OTEL_TRACES_EXPORTER": "none", "PYROSCOPE_SERVER_ADDRESS": ""}
LIBRARY = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")


def _run(code: str, **env: str) -> list[Any]:
    """Run a script in a process of its own and return the JSON lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={"PATH": os.environ["PATH"], "SERVICE_NAME": "scraper", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_spans_go_where_by_whom_and_as_often_as_the_standards_variables_say() -> None:
    code = """
        import sys
        from opentelemetry import trace
        from ml_shared.instrumentation import init_telemetry
        init_telemetry()
        trace.get_tracer("t").start_span("work").end()
        sys.stdin.read()
    """
    with OtlpReceiver() as receiver:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
            "OTEL_BSP_SCHEDULE_DELAY": "10",  # of 5 s by default; nothing here shuts down
            "OTEL_SERVICE_NAME": "scraper-api",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=staging,team=search,service.name=not-this",
            "PYROSCOPE_SERVER_ADDRESS": "",
            "PATH": os.environ["PATH"],
        }
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=env, stdin=subprocess.PIPE) as process:
            [span] = receiver.wait_for(lambda arrived: len(arrived) == 1, 60)
            assert process.poll() is None
            process.communicate()
    assert receiver.headers[0]["x-tenant"] == "a"
    named = ("service.name", "deployment.environment", "team", "service.version")
    assert tuple(span.resource[name] for name in named) == ("scraper-api", "staging", "search", "dev")


def test_the_sampler_is_the_operators() -> None:
    code = """
        import json
        from opentelemetry import trace
        from ml_shared.instrumentation import init_telemetry
        init_telemetry()
        print(json.dumps(sum(trace.get_tracer("t").start_span("work").is_recording() for _ in range(1000))))
    """
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.2"}
    [kept] = _run(code, **QUIET, **sampler)
    assert 100 < kept < 300


@pytest.mark.parametrize(
    ("given", "disabled"),
    [("true", True), ("TRUE", True), (" True ", True), ("false", False), ("1", False), ("", False)],
)
def test_only_true_disables_however_it_is_written(given: str, disabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenTelemetry has it: what means nothing there leaves telemetry on, and stops no service."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", given)
    assert TelemetrySettings().OTEL_SDK_DISABLED is disabled


@pytest.mark.parametrize("given", ["none", "None", "NONE "])
def test_no_exporter_means_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", given)
    assert TelemetrySettings().span_endpoint == ""


def test_a_batch_may_take_as_long_as_the_more_exact_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    assert TelemetrySettings().span_timeout_seconds == 3
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "4.5")
    assert TelemetrySettings().span_timeout_seconds == 4.5


def test_what_is_not_built_in_is_said_at_the_start() -> None:
    code = "from ml_shared.instrumentation import init_telemetry; init_telemetry()"
    asked = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_TRACES_EXPORTER": "zipkin"}
    lines = _run(code, PYROSCOPE_SERVER_ADDRESS="", OTEL_EXPORTER_OTLP_ENDPOINT="", **asked)
    assert [(line["level"], line["event"]) for line in lines] == [
        ("WARNING", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf is not built in: spans go by grpc"),
        ("WARNING", "OTEL_TRACES_EXPORTER=zipkin is not built in: spans go by otlp"),
    ]
    with pytest.raises(ValidationError, match="OTEL_EXPORTER_OTLP_PROTOCOL"):
        ServiceSettings(
            _env_file=None,
            SERVICE_NAME="scraper",
            MEMBERSHIP_URL="http://127.0.0.1:1",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",  # type: ignore[arg-type]
        )


def test_profiles_go_where_and_with_what_the_variables_say_and_no_secret_is_written() -> None:
    code = """
        import json, logging, sys, types
        sys.modules["pyroscope"] = types.SimpleNamespace(configure=lambda **given: print(json.dumps(given)))
        from ml_shared.instrumentation import init_telemetry
        from ml_shared.telemetry.settings import TelemetrySettings
        init_telemetry()
        logging.getLogger("x").warning("%r %s", TelemetrySettings(), TelemetrySettings().model_dump())
    """
    given, line = _run(
        code,
        OTEL_TRACES_EXPORTER="none",
        PYROSCOPE_SERVER_ADDRESS="https://profiles.test",
        PYROSCOPE_APPLICATION_NAME="scraper.cpu",
        PYROSCOPE_SAMPLE_RATE="50",
        PYROSCOPE_BASIC_AUTH_USER="tenant-user",
        PYROSCOPE_BASIC_AUTH_PASSWORD="hunter2-hunter2",
        PYROSCOPE_AUTH_TOKEN="opaque-token",
        PYROSCOPE_TENANT_ID="tenant-7",
        ENVIRONMENT="staging",
    )
    assert given == {
        "application_name": "scraper.cpu",
        "server_address": "https://profiles.test",
        "sample_rate": 50,
        "basic_auth_username": "tenant-user",
        "basic_auth_password": "hunter2-hunter2",
        "tenant_id": "tenant-7",
        "http_headers": {"Authorization": "Bearer opaque-token"},
        "tags": {"service_version": "dev", "environment": "staging"},
        "mem_enabled": False,
    }
    assert not any(secret in json.dumps(line) for secret in ("hunter2", "opaque-token"))
    pyroscope = pytest.importorskip("pyroscope")
    inspect.signature(pyroscope.configure).bind(**given)  # and the real one takes all of it


class Moody(SpanExporter):
    """Fails and succeeds as it is told, and shouts each time it fails, as the real one does."""

    def __init__(self, answers: str) -> None:
        self._answers = iter(answers)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Answer `+` or `-`."""
        if next(self._answers) == "+":
            return SpanExportResult.SUCCESS
        LIBRARY.warning("Transient error")
        LIBRARY.error("Failed to export: %s", "UNAVAILABLE")
        return SpanExportResult.FAILURE


def test_that_spans_get_lost_is_said_once_with_the_reason_and_once_that_they_do_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = {
        name: list(logging.getLogger(name).filters) for name in (LIBRARY.name, "opentelemetry.sdk._shared_internal")
    }
    try:
        exporter = AnnouncingExporter(Moody("+---++-"), "http://alloy:4317")
        with caplog.at_level(logging.INFO):
            for _ in range(7):
                exporter.export([])
        said = [(record.levelname, record.message, record.__dict__.get("reason")) for record in caplog.records]
        lost = ("WARNING", "spans get lost until their collector answers", "Failed to export: UNAVAILABLE")
        assert said == [lost, ("INFO", "spans are taken again", None), lost]
        with caplog.at_level(logging.ERROR):
            try:
                raise ValueError("nobody foresaw it")
            except ValueError:
                logging.getLogger("opentelemetry.sdk._shared_internal").exception("Exception while exporting")
        assert caplog.records[-1].message == "Exception while exporting"
    finally:
        for name, filters in before.items():
            logging.getLogger(name).filters[:] = filters
