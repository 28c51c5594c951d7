"""A process whose settings are not right: it ends by itself, and says in one line which they are and what they have to be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml_shared.environment import STARTUP_FAILURE
from ml_shared.telemetry.logs import UVICORN_LOG_CONFIG

CONFIG = """
from ml_shared.settings import ServiceSettings
class Settings(ServiceSettings):
    WITHOUT_WORDS: int
settings = Settings()
"""
NOT_RIGHT = {
    "MEMBERSHIP_URL": "http://<membership-vm-ip>:8000",
    "SERVICE_API_KEY": "<this-service-api-key>",
    "ORCHESTRATOR_KEY_HASH": "the-key-itself-and-no-hash",
    "MAX_QUEUE_DEPTH": "0",
    "WITHOUT_WORDS": "seven",
}
SAID = (
    "SERVICE_NAME is missing (this service: orchestrator, scraper, chunking or embedding)",
    "MEMBERSHIP_URL is refused (the Membership service, which knows the API keys), this is still the placeholder",
    "SERVICE_API_KEY is refused (this service's own key, for calls to its peers: mlservice_ and 32 characters or more), this is still the placeholder",
    "ORCHESTRATOR_KEY_HASH is refused (SHA-256 of the orchestrator's SERVICE_API_KEY",
    "this is not a SHA-256 in 64 lower-case hexadecimal digits",
    "MAX_QUEUE_DEPTH is refused",
    "Input should be greater than 0",
    "WITHOUT_WORDS is refused, Input should be a valid integer",
)


def ran(folder: Path, *command: str, **env: str) -> "subprocess.CompletedProcess[str]":
    (folder / "config.py").write_text(CONFIG)
    inherited = {name: value for name, value in os.environ.items() if name != "SERVICE_NAME"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**inherited, "UVICORN_LOG_CONFIG": str(UVICORN_LOG_CONFIG), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("-c", "import config"),
        ("-m", "celery", "-A", "config", "worker"),
        ("-m", "celery", "-A", "config", "beat"),
        ("-m", "uvicorn", "config:app", "--workers", "2"),
    ],
    ids=["python", "worker", "beat", "api"],
)
def test_a_process_ends_with_one_line_that_names_every_setting_and_repeats_no_value(
    command: tuple[str, ...], tmp_path: Path, free_port: int
) -> None:
    api = "uvicorn" in command
    done = ran(tmp_path, *command, *(("--port", str(free_port)) if api else ()), **NOT_RIGHT)
    lines = [json.loads(line) for line in done.stdout.splitlines()]  # all of them JSON: no traceback between them
    told = [line for line in lines if line["level"] == "CRITICAL"]
    assert 1 <= len(told) <= (2 if api else 1), "a process says it once, an API has two"
    assert [words for words in SAID if words not in told[0]["event"]] == []
    assert [value for value in NOT_RIGHT.values() if len(value) > 1 and value in done.stdout] == []
    if not api:  # uvicorn's parent process ends with 0 whatever ended its children
        assert (done.returncode, len(lines)) == (STARTUP_FAILURE, 1)


def test_telemetry_that_is_told_nonsense_is_no_exception(tmp_path: Path) -> None:
    """It starts first, by settings of its own."""
    code = "from ml_shared.instrumentation import init_telemetry; init_telemetry()"
    done = ran(tmp_path, "-c", code, OTEL_EXPORTER_OTLP_TIMEOUT="soon", SERVICE_NAME="scraper", SERVICE_VERSION="abc")
    [line] = [json.loads(line) for line in done.stdout.splitlines()]
    assert "OTEL_EXPORTER_OTLP_TIMEOUT is refused, Input should be a valid number" in line["event"]
    assert (done.returncode, line["service"], line["version"]) == (STARTUP_FAILURE, "scraper", "abc")


def test_one_key_for_two_services_is_told_at_the_start_too(tmp_path: Path) -> None:
    both = f"scraper={'a' * 64},embedding={'a' * 64}"
    right = {"SERVICE_NAME": "orchestrator", "MEMBERSHIP_URL": "http://m", "WITHOUT_WORDS": "7"}
    done = ran(tmp_path, "-c", "import config", INTERNAL_CALLER_IDS=both, **right)
    [line] = [json.loads(line) for line in done.stdout.splitlines()]
    assert "scraper and embedding have the same key in INTERNAL_CALLER_IDS" in line["event"]
    assert "a" * 64 not in done.stdout
