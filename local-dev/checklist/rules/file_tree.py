"""The specification's files and folders are all there, and nothing else is at the top."""

from collections.abc import Iterator

from chores.folders import ALL, SERVICES

from checklist.findings import Finding, failed, held
from checklist.fleet import Fleet

TOP = frozenset({*ALL, "README.md"})
EVERYWHERE = (
    *("app/main.py", "app/config.py", "app/api/schemas.py", "app/api/routes/sync.py", "app/api/routes/health.py"),
    *("app/core/logic.py", "tests/test_routes.py", "tests/test_instrumentation.py", "instrumentation.py"),
    *("Dockerfile", ".dockerignore", "docker-compose.yml", ".env.example", "pyproject.toml", "requirements.txt"),
    *("README.md", "Makefile", "openapi.json", "alloy/config.alloy", "alloy/alloy.env.example"),
)
WITH_WORKER = ("app/api/routes/async_.py", "app/worker/celery_app.py", "app/worker/tasks.py", "tests/test_tasks.py")
REPORTING = ("app/worker/callbacks.py",)
WITHOUT_WORKER = frozenset({"chunking"})
STAGES_WITH_WORKER = frozenset({"scraper", "embedding"})
GATEWAY = (
    "docker-compose.yml",
    "nginx/nginx.conf.template",
    "alloy/config.alloy",
    ".env.example",
    "README.md",
    "Makefile",
)
SHARED = (
    *(
        "pyproject.toml",
        "README.md",
        "ml_shared/__init__.py",
        "ml_shared/instrumentation.py",
        "ml_shared/audit/logger.py",
    ),
    *("ml_shared/auth/context.py", "ml_shared/auth/membership.py"),
    *("ml_shared/ratelimit/strategies.py", "ml_shared/ratelimit/enforcer.py"),
)
LAPTOP = (
    *("docker-compose.observe.yml", "Makefile", "observe/alloy-local.alloy", "observe/loki-local.yaml"),
    *(
        "observe/tempo-local.yaml",
        "observe/prometheus.yml",
        "observe/grafana-provisioning/datasources/datasources.yaml",
    ),
)


def wanted(service: str) -> list[str]:
    """Return the files that a service has to have."""
    files = [*EVERYWHERE]
    if service not in WITHOUT_WORKER:
        files += WITH_WORKER
    if service in STAGES_WITH_WORKER:
        files += REPORTING
    return files


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look for each file, and at the names at the top."""
    folders = {**{service: wanted(service) for service in fleet.services}}
    if fleet.services == SERVICES:
        folders |= {"gateway-vm": [*GATEWAY], "ml-shared": [*SHARED], "local-dev": [*LAPTOP]}
        for name in sorted({path.partition("/")[0] for path in fleet.tree.files} - TOP):
            if not name.startswith("."):
                yield failed(name, 0, f"`{name}` does not belong at the top; put it into the folder of whoever uses it")
    for folder, files in folders.items():
        for name in files:
            wrong = f"the specification has {name} in {folder}; put it back"
            yield held(fleet.tree.has(f"{folder}/{name}"), f"{folder}/{name}", 0, "there", wrong)
