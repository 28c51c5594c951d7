"""Telemetry starts once a process, before what it instruments, and stays off when told to."""

import json
import socket
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator


def _run(code: str, **env: str) -> Any:
    """Run a script in a process of its own and return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={"PATH": "/usr/bin:/bin", "SERVICE_NAME": "scraper", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_telemetry_must_and_does_come_before_the_import_of_fastapi() -> None:
    code = """
        import json, sys
        {first}
        {second}
        app = FastAPI()
        print(json.dumps([getattr(app, "_is_instrumented_by_opentelemetry", False)]))
    """
    start = "from ml_shared.instrumentation import init_telemetry; init_telemetry()"
    imports = "from fastapi import FastAPI"
    env = {"OTEL_TRACES_EXPORTER": "none", "PYROSCOPE_SERVER_ADDRESS": ""}
    assert _run(code.format(first=start, second=imports), **env) == [True]
    assert _run(code.format(first=imports, second=start), **env) == [False], "the trap is gone; the rule may go too"


def test_the_module_itself_imports_neither_fastapi_nor_starlette() -> None:
    code = """
        import json, sys
        import ml_shared.instrumentation
        print(json.dumps(sorted({"fastapi", "starlette", "celery"} & set(sys.modules))))
    """
    assert _run(code) == []


def test_a_second_call_does_nothing_and_a_fork_after_the_first_is_warned_of() -> None:
    code = """
        import json, os
        from opentelemetry import trace
        from ml_shared.instrumentation import init_telemetry
        init_telemetry()
        provider = trace.get_tracer_provider()
        init_telemetry()
        assert trace.get_tracer_provider() is provider
        if os.fork() == 0:
            init_telemetry()
            os._exit(0)
        os.wait()
    """
    assert (
        "before this process was forked"
        in _run(code, OTEL_TRACES_EXPORTER="none", PYROSCOPE_SERVER_ADDRESS="")["event"]
    )


def test_disabled_means_no_provider_no_exporter_no_profiles_and_still_json_logs() -> None:
    code = """
        import json, logging, sys
        from opentelemetry import trace
        from ml_shared.instrumentation import init_telemetry, instrument_celery, shutdown_telemetry
        init_telemetry()
        instrument_celery()
        shutdown_telemetry()
        logging.getLogger("x").warning(json.dumps([
            type(trace.get_tracer_provider()).__name__, "grpc" in sys.modules, "pyroscope" in sys.modules
        ]))
    """
    line = _run(code, OTEL_SDK_DISABLED="true", PYROSCOPE_SERVER_ADDRESS="http://127.0.0.1:9")
    assert json.loads(line["event"]) == ["ProxyTracerProvider", False, False]
    assert line["service"] == "scraper"


def test_a_span_names_the_service_its_version_and_its_environment() -> None:
    code = """
        import json
        from opentelemetry import trace
        from ml_shared.instrumentation import init_telemetry
        init_telemetry()
        print(json.dumps(dict(trace.get_tracer_provider().resource.attributes)))
    """
    env = {"OTEL_TRACES_EXPORTER": "none", "PYROSCOPE_SERVER_ADDRESS": "", "SERVICE_VERSION": "abc"}
    named = _run(code, **env, ENVIRONMENT="staging")
    assert (named["service.name"], named["service.version"], named["deployment.environment"]) == (
        "scraper",
        "abc",
        "staging",
    )
    assert _run(code, **env, OTEL_SERVICE_NAME="scraper-worker")["service.name"] == "scraper-worker"


def test_a_platform_without_pyroscope_runs_without_profiles() -> None:
    code = """
        import json, sys
        sys.modules["pyroscope"] = None
        from ml_shared.instrumentation import init_telemetry
        init_telemetry(worker=True)
        print(json.dumps("started"))
    """
    assert _run(code, OTEL_TRACES_EXPORTER="none", PYROSCOPE_SERVER_ADDRESS="http://127.0.0.1:9") == "started"


@pytest.mark.parametrize(("worker", "tied"), [(True, True), (False, False)])
def test_profiles_are_tied_to_spans_in_workers_only(worker: bool, tied: bool) -> None:
    code = f"""
        import json
        from opentelemetry import trace
        from ml_shared.instrumentation import init_telemetry
        init_telemetry(worker={worker})
        with trace.get_tracer("t").start_as_current_span("work") as span:
            print(json.dumps("pyroscope.profile.id" in span.attributes))
    """
    assert _run(code, OTEL_TRACES_EXPORTER="none", PYROSCOPE_SERVER_ADDRESS="http://127.0.0.1:9") is tied


def test_only_trace_context_crosses_services(spans: object) -> None:
    textmap: TextMapPropagator = propagate.get_global_textmap()
    assert isinstance(textmap, TraceContextTextMapPropagator)
    assert textmap.fields == {"traceparent", "tracestate"}


def test_shutting_down_is_bounded_though_the_collector_takes_all_and_answers_nothing() -> None:
    """A full queue would take the exporter's time limit for each of its batches."""
    code = """
        import json, time
        from opentelemetry import trace
        from ml_shared.instrumentation import SHUTDOWN_TIMEOUT_SECONDS, init_telemetry, shutdown_telemetry
        init_telemetry()
        for _ in range(2000):
            trace.get_tracer("t").start_span("work").end()
        began = time.monotonic()
        shutdown_telemetry(0.5)
        ended = time.monotonic()
        print(json.dumps([ended - began, ended, SHUTDOWN_TIMEOUT_SECONDS]))
    """
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "100"}
        took, ended, by_default = _run(code, **env, PYROSCOPE_SERVER_ADDRESS="")
        assert time.monotonic() - ended < 60, "nor does the process wait for it when it exits"
    assert 0.4 < took < 60, "and not for the exporter's hundred seconds"
    assert by_default < 5
