"""Small trees for rules, out of text: `fixtures/<rule>.txt` has one that a rule is content with, and one that it is not.

    == passes
    -- path/of/a/file
    its text
    == fail path:line words of what is said      (or `review`)
    -- path/of/a/file
    its text

`%routes` and `%task` stand for the usual imports. ml_shared is the repository's own.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from checklist.changes import render
from checklist.findings import Status
from checklist.fleet import Fleet
from checklist.rules.contracts import published

REPOSITORY = Path(__file__).resolve().parents[3]
FIXTURES = Path(__file__).with_name("fixtures")
README = REPOSITORY / "local-dev" / "README.md"
SERVICE = "scraper"
OPENAPI = "%openapi\n"
# what the service publishes
IMPORTS = {
    "%routes": """from fastapi import APIRouter, Depends, Request
from app.config import settings
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import internal_only
from ml_shared.auth.membership import validate_api_key
from ml_shared.contracts.queueing import StageFields
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.http.sync import within_deadline
router = APIRouter(tags=["sync"])
""",
    "%task": """from app.worker.celery_app import app
from ml_shared.names import Stage, TaskName
from ml_shared.worker.task import AsyncTask, StageTask
""",
}
IMPORTS["%bare"] = """from ml_shared.instrumentation import init_telemetry
init_telemetry()
from fastapi import FastAPI
app = FastAPI()
"""
BASE = {
    f"{SERVICE}/app/main.py": """from ml_shared.instrumentation import init_telemetry
init_telemetry()
from fastapi import FastAPI
from app.api.routes import sync
from app.config import settings
from ml_shared.http.health import build_health_router
app = FastAPI()
app.include_router(build_health_router(settings, {}))
app.include_router(sync.router)
""",
    f"{SERVICE}/app/config.py": "from ml_shared.settings import ServiceSettings\nsettings = ServiceSettings()\n",
    f"{SERVICE}/app/api/routes/sync.py": "from fastapi import APIRouter\nrouter = APIRouter()\n",
}
WORKER = {
    f"{SERVICE}/app/worker/celery_app.py": """from app.config import settings
from ml_shared.names import Queue
from ml_shared.worker.celery import build_celery_app
app = build_celery_app(settings, queue=Queue.SCRAPER, include=[], resources=None,
                       soft_time_limit_seconds=1, time_limit_seconds=2)
""",
}


@dataclass
class Case:
    """One tree, and what its rule is to say of it."""

    rule: str
    status: Status
    place: str = ""
    words: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def planted(self, root: Path) -> Fleet:
        """Write the tree, and return what the rule looks at."""
        files = {**BASE, **self.files}
        if any("/app/worker/" in path for path in files):
            files = {**WORKER, **files}
        for path, text in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        # not followed when files are listed: the rule sees the tree's own, and single files of ml_shared by name
        (root / "ml-shared").symlink_to(REPOSITORY / "ml-shared")
        fleet = Fleet(root, services=(SERVICE,))
        for path, text in files.items():
            if text == OPENAPI:
                (root / path).write_text(render(published(fleet, fleet.app(SERVICE))))
        return fleet


def _written(line: str) -> str:
    word, _, metric = line.partition(" ")
    if word == "%board":  # one panel each for this metric and for all that the repository has
        shown = [metric, *re.findall(r"^\| `(ml_\w+)`", README.read_text(), re.MULTILINE)]
        common = {"refId": "A", "datasource": {"type": "prometheus"}, "legendFormat": ""}
        return json.dumps({"panels": [{"title": one, "targets": [{**common, "expr": one}]} for one in shown]})
    return IMPORTS.get(line, f"{line}\n")


def cases(rule: str) -> Iterator[Case]:
    """Yield the trees of a rule's fixture."""
    case: Case | None = None
    path = ""
    for line in (FIXTURES / f"{rule}.txt").read_text().splitlines():
        if heading := re.fullmatch(r"== (passes|fail|review)(?: (\S+) (.+))?", line):
            status = Status.PASS if heading[1] == "passes" else Status(heading[1])
            if case is not None:
                yield case
            case = Case(rule, status, heading[2] or "", heading[3] or "")
        elif case is not None and line.startswith("-- "):
            path = line.removeprefix("-- ")
            case.files[path] = ""
        elif case is not None and path:
            case.files[path] += _written(line)
    if case is not None:
        yield case
