"""What holds of every folder: the specification's tree, one shim, settings and their example alike, one direction."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
TOP = {"ml-shared", "orchestrator", "scraper", "chunking", "embedding", "gateway-vm", "local-dev", "README.md"}
SERVICES = ("orchestrator", "scraper", "chunking", "embedding")
EVERYWHERE = {
    *("app/main.py", "app/config.py", "app/api/schemas.py", "app/api/routes/sync.py", "app/api/routes/health.py"),
    *("app/core/logic.py", "tests/test_routes.py", "tests/test_instrumentation.py", "instrumentation.py"),
    *(
        "Dockerfile",
        "docker-compose.yml",
        ".env.example",
        "pyproject.toml",
        "requirements.txt",
        "README.md",
        "Makefile",
    ),
}
WITH_WORKER = {"app/api/routes/async_.py", "app/worker/celery_app.py", "app/worker/tasks.py", "tests/test_tasks.py"}
# what a service without Redis, worker and callers of its own has no use for
NOT_IN_CHUNKING = {
    *("INTERNAL_CALLER_IDS", "LEASE_RENEW_SECONDS", "MAX_QUEUE_DEPTH", "ORCHESTRATOR_URL", "REDIS_URL"),
    *("RESULTS_MAX_BYTES", "SERVICE_API_KEY", "WORKER_METRICS_PORT"),
}


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.splitlines()


def test_nothing_else_is_at_the_top() -> None:
    top = {path.split("/")[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} == TOP


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_specifications_tree(service: str) -> None:
    wanted = set(EVERYWHERE)
    if service != "chunking":
        wanted |= WITH_WORKER
    if service in ("scraper", "embedding"):
        wanted.add("app/worker/callbacks.py")
    assert [path for path in sorted(wanted) if not (REPOSITORY / service / path).is_file()] == []


def test_the_telemetry_shim_is_the_same_everywhere() -> None:
    assert len({(REPOSITORY / service / "instrumentation.py").read_text() for service in SERVICES}) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_the_example_names_every_setting_and_nothing_else(service: str) -> None:
    example = (REPOSITORY / service / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE))
    code = "from app.config import Settings; print(*Settings.model_fields)"
    settings = subprocess.run(
        [sys.executable, "-c", code.replace("from app.config import Settings", IMPORT_CLASS)],
        cwd=REPOSITORY / service,
        capture_output=True,
        text=True,
        check=True,
    )
    fields = set(settings.stdout.split()) - (NOT_IN_CHUNKING if service == "chunking" else set())
    compose = set(re.findall(r"\$\{([A-Z0-9_]+)", (REPOSITORY / service / "docker-compose.yml").read_text()))
    assert (sorted(fields - named), sorted(named - fields - compose)) == ([], [])


# the module makes its settings when it is imported, which needs an environment; the class alone does not
IMPORT_CLASS = (
    "import pydantic_settings; pydantic_settings.BaseSettings.__init__ = lambda self, **_: None; "
    "from app.config import Settings"
)


@pytest.mark.parametrize("service", SERVICES)
def test_the_example_has_no_value_for_a_secret(service: str) -> None:
    for line in (REPOSITORY / service / ".env.example").read_text().splitlines():
        name, _, value = line.lstrip("#").partition("=")
        if re.fullmatch(r"[A-Z_]*(PASSWORD|API_KEY|SECRET[A-Z_]*)", name):
            assert value == "" or value.startswith("<"), line


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_writes_json_from_uvicorns_first_line_on_and_stops_before_it_is_killed(service: str) -> None:
    image, compose = image_settings(service), containers(service)
    dockerfile = (REPOSITORY / service / "Dockerfile").read_text()
    assert image["UVICORN_LOG_CONFIG"] == "/app/uvicorn_logs.json"
    assert "\nWORKDIR /app\n" in dockerfile
    assert "\nCOPY --from=ml-shared ml_shared/uvicorn_logs.json .\n" in dockerfile
    assert (REPOSITORY / "ml-shared" / "ml_shared" / "uvicorn_logs.json").is_file()
    # beyond the requests, the lifespan's end: three seconds for the last spans, and the pools
    assert seconds(compose[service]["stop_grace_period"]) >= int(image["UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"]) + 5


@pytest.mark.parametrize("service", [service for service in SERVICES if service != "chunking"])
def test_a_worker_hands_back_what_it_holds_before_it_is_killed(service: str) -> None:
    worker = containers(service)[f"{service}-worker"]
    assert worker["environment"]["REMAP_SIGTERM"] == "SIGQUIT"
    assert seconds(worker["stop_grace_period"]) == 30


def test_celery_prints_no_banner_between_the_json_lines() -> None:
    printing = {
        (service, name)
        for service in SERVICES
        for name, container in containers(service).items()
        if str(container.get("command")).startswith("celery ")
        and "CELERY_QUIET" not in image_settings(service) | container["environment"]
    }
    assert printing == set()
    assert "orchestrator-beat" in containers("orchestrator")


def containers(service: str) -> dict[str, dict[str, Any]]:
    compose = yaml.safe_load((REPOSITORY / service / "docker-compose.yml").read_text())
    return {name: found for name, found in compose["services"].items() if found["image"].startswith("cloudcix/")}


def image_settings(service: str) -> dict[str, str]:
    last_stage = (REPOSITORY / service / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    lines = re.findall(r"^ENV (.+)$", last_stage, re.MULTILINE)
    return dict(setting.split("=", 1) for line in lines for setting in line.split())


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


@pytest.mark.parametrize("service", SERVICES)
def test_core_knows_neither_http_routing_nor_the_queue(service: str) -> None:
    for path in (REPOSITORY / service / "app" / "core").rglob("*.py"):
        imported = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        wrong = {name for name in imported if re.match(r"(fastapi|starlette|celery|kombu|app\.(api|worker))\b", name)}
        assert wrong == set(), f"{path}: {wrong}"


def test_importing_ml_shared_has_no_effect() -> None:
    assert importlib.util.find_spec("ml_shared") is not None
    code = "import sys; before = set(sys.modules); import ml_shared; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ml_shared"]
