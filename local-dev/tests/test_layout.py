"""What holds of every folder: the specification's tree, one shim, one direction of imports."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TOP = {"ml-shared", "orchestrator", "scraper", "chunking", "embedding", "gateway-vm", "local-dev", "README.md"}
SERVICES = ("orchestrator", "scraper", "chunking", "embedding")
EVERYWHERE = {
    *("app/main.py", "app/config.py", "app/api/schemas.py", "app/api/routes/sync.py", "app/api/routes/health.py"),
    *("app/core/logic.py", "tests/test_routes.py", "tests/test_instrumentation.py", "instrumentation.py"),
    *(
        "Dockerfile",
        ".dockerignore",
        "docker-compose.yml",
        ".env.example",
        "pyproject.toml",
        "requirements.txt",
        "README.md",
        "Makefile",
    ),
}
WITH_WORKER = {"app/api/routes/async_.py", "app/worker/celery_app.py", "app/worker/tasks.py", "tests/test_tasks.py"}


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
