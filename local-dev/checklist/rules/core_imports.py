"""A service's core imports no transport: no FastAPI, no Celery, and nothing of its own `api` and `worker`."""

import re
from collections.abc import Iterator

from checklist.findings import Finding, failed, passed
from checklist.fleet import Fleet

TRANSPORT = re.compile(r"(fastapi|starlette|celery|kombu|billiard|uvicorn|app\.(api|worker|main)|ml_shared\.worker)\b")


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at every import of every module of the core."""
    for service in fleet.services:
        for module in fleet.tree.modules(f"{service}/app/core"):
            wrong = {name: line for name, line in module.imported.items() if TRANSPORT.match(name)}
            for name, line in wrong.items():
                yield failed(
                    module.path,
                    line,
                    f"core imports {name}; the caller, in api or worker, has to pass in what it needs",
                )
            if not wrong:
                yield passed(module.path, 0, "no transport")
