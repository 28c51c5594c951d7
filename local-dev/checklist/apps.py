"""The services as they run: each is asked what it is made of, in a process of its own."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.composition import PORTS
from fleet.keys import Keys
from fleet.services import Addresses, service_settings

from checklist.forking import Forks
from ml_shared.names import Service

TIMEOUT_SECONDS: Final = 240
# a service takes a second of a processor's time, which a busy machine may give it in as many minutes
_FORKS: Final = Forks()
MODE_LABEL: Final = "request_mode"
OPERATION_LABEL: Final = "operation"


@dataclass(frozen=True)
class Route:
    """One route of a service's API.

    Attributes
    ----------
    file
        Of its handler, relative to the repository; absolute where it lies elsewhere.
    context
        Whether the handler takes `ctx: CallerContext` from a dependency.
    admits
        The services that an internal route admits; `None` for everybody with a key.
    counted
        By method, the labels that its requests get.
    """

    service: str
    path: str
    methods: list[str]
    module: str
    function: str
    file: str
    tags: list[str]
    status: int
    context: bool
    needs_key: bool
    admits: list[str] | None
    counted: Mapping[str, Mapping[str, str]]

    @property
    def title(self) -> str:
        """Method and path."""
        return f"{'/'.join(self.methods)} {self.path}"

    @property
    def is_open(self) -> bool:
        """Whether it is one of the three that need no key; they are ml_shared's alone."""
        return self.module == "ml_shared.http.health"


@dataclass(frozen=True)
class Task:
    """One Celery task. `bases` are its classes out of `ml_shared.worker.task`, the nearest first."""

    name: str
    function: str
    file: str
    bases: list[str]
    stage: str
    job_stage: str

    @property
    def is_stage(self) -> bool:
        """Whether it is a stage of a job."""
        return "StageTask" in self.bases


@dataclass(frozen=True)
class App:
    """What a service says of itself."""

    service: str
    routes: list[Route]
    tasks: list[Task]
    metrics: list[tuple[str, str, list[str], str]]
    settings: list[dict[str, Any]]
    openapi: dict[str, Any]
    deadline: dict[str, Any]
    log_fields: list[str]


class DescriptionError(Exception):
    """A service could not be imported, or not asked; the message has its own last lines."""


def describe(root: Path, service: str) -> App:
    """Ask one service of a tree. Its modules are imported from there, and nothing is connected to.

    Raises
    ------
    DescriptionError
        If it can't be imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        addresses = Addresses(dict.fromkeys(PORTS, 9), Keys(Path(folder)))
        environment = {**os.environ, **service_settings(addresses, {})[Service(service)]}
    environment |= {"SERVICE_VERSION": "dev", "OTEL_SDK_DISABLED": "true", "PYROSCOPE_SERVER_ADDRESS": ""}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    said, errors = _FORKS.run(root / service, environment, [str(root / "ml-shared")], TIMEOUT_SECONDS)
    try:
        described = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError) as error:
        complaint = errors[-3000:] or f"it has said nothing within {TIMEOUT_SECONDS} s"
        raise DescriptionError(f"{service} could not be asked what it is made of:\n{complaint}") from error
    return parse_description(root, service, described)


def parse_description(root: Path, service: str, said: Mapping[str, Any]) -> App:
    """Return what `describe.py` printed, its files relative to the tree."""

    def relative(one: Mapping[str, Any]) -> dict[str, Any]:
        path = Path(one["file"]).resolve()
        inside = path.is_relative_to(root.resolve())
        function = one["function"].replace(".<locals>.", ".")
        return {
            **one,
            "function": function,
            "file": path.relative_to(root.resolve()).as_posix() if inside else str(path),
        }

    return App(
        service=service,
        routes=[Route(service=service, **relative(one)) for one in said["routes"]],
        tasks=[Task(**relative(one)) for one in said["tasks"]],
        metrics=[(name, kind, labels, says) for name, kind, labels, says in said["metrics"]],
        settings=list(said["settings"]),
        openapi=dict(said["openapi"]),
        deadline=dict(said["deadline"]),
        log_fields=list(said["log_fields"]),
    )
