"""Whoever speaks in a process, and whenever: one JSON line, with the labels that tell whose it is."""

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

LABELS = {"service": "scraper", "version": "abc", "environment": "test"}
ENV = {
    "SERVICE_NAME": "scraper",
    "SERVICE_VERSION": "abc",
    "ENVIRONMENT": "test",
    "OTEL_TRACES_EXPORTER": "none",
    "PYROSCOPE_SERVER_ADDRESS": "",
}


def _run(code: str, *, status: int = 0, **env: str) -> list[dict[str, Any]]:
    """Run a script in a process of its own, and return all lines that it writes, wherever to."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PATH": os.environ["PATH"], **ENV, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line.items() >= LABELS.items() for line in lines)
    assert all(line.keys() >= {"timestamp", "level", "logger", "event"} for line in lines)
    return lines


def test_every_library_speaks_alike_with_the_ids_of_what_is_being_done() -> None:
    code = """
        import logging, warnings
        from opentelemetry import trace
        from ml_shared.instrumentation import init_telemetry
        from ml_shared.telemetry.logs import job_context
        init_telemetry()
        with trace.get_tracer("t").start_as_current_span("work"), job_context("job-1", "request-0001"):
            for name in ("app.core", "uvicorn.error", "celery.worker", "httpx", "asyncio", "redis"):
                logging.getLogger(name).warning("%s\\nspeaks", name)
            warnings.warn("of Python's own")
    """
    lines = _run(code)
    assert len(lines) == 7
    assert all(line["event"] == f"{line['logger']}\nspeaks" for line in lines[:6])
    assert "of Python's own" in lines[6]["event"]
    assert {(line["job_id"], line["request_id"]) for line in lines} == {("job-1", "request-0001")}
    assert len({(line["trace_id"], line["span_id"]) for line in lines}) == 1
    assert len(lines[0]["trace_id"]) == 32


def test_a_process_that_fails_says_why_on_one_line() -> None:
    code = """
        from ml_shared.instrumentation import init_telemetry
        init_telemetry()
        raise RuntimeError("no database at postgresql://user:hunter2@db/jobs")
    """
    [line] = _run(code, status=1)
    assert (line["level"], line["event"]) == ("CRITICAL", "process_failed")
    assert "RuntimeError: no database at postgresql://***@db/jobs" in line["exc_info"]


def test_a_line_can_be_written_while_another_is_being_written() -> None:
    """A signal's handler runs within whatever it interrupts, which may hold the handler's lock; and its own too."""
    code = """
        import logging
        from ml_shared.instrumentation import init_telemetry
        from ml_shared.telemetry.logs import write_line
        init_telemetry()
        [handler] = logging.getLogger().handlers
        handler.acquire()
        import threading
        other = threading.Thread(target=write_line, args=("celery.apps.worker", "worker: Warm shutdown"))
        other.start()
        other.join(60)
        handler.release()
        write_line("x", "after " + ("waiting" if other.is_alive() else "all"))
    """
    assert [line["event"] for line in _run(code)] == ["worker: Warm shutdown", "after all"]


def test_nobody_puts_an_access_line_together_unless_it_is_wanted() -> None:
    code = """
        import json, logging
        from ml_shared.instrumentation import init_telemetry
        init_telemetry()
        access = logging.getLogger("uvicorn.access")
        logging.getLogger().critical(json.dumps([access.hasHandlers(), access.isEnabledFor(logging.INFO)]))
    """
    assert _run(code)[-1]["event"] == "[false, false]"
    assert _run(code, LOG_LEVEL="DEBUG")[-1]["event"] == "[true, true]"


def test_uvicorns_own_lines_keep_to_the_level_of_the_service() -> None:
    code = """
        import json, logging.config
        from ml_shared.telemetry.logs import UVICORN_LOG_CONFIG
        logging.config.dictConfig(json.loads(UVICORN_LOG_CONFIG.read_text()))
        logging.getLogger("uvicorn.error").info("Started parent process")
        logging.getLogger("uvicorn.error").warning("Child process died")
    """
    assert [line["event"] for line in _run(code)] == ["Started parent process", "Child process died"]
    assert [line["event"] for line in _run(code, LOG_LEVEL="WARNING")] == ["Child process died"]
