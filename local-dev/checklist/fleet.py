"""What rules look at: a tree of sources, and the services that run from it."""

import ast
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from chores.folders import SERVICES

from checklist.apps import App, Route, Task, describe
from checklist.sources import Function, Module, Tree

SHARED: Final = "ml-shared/ml_shared"
TESTING: Final = f"{SHARED}/testing"
AT_ONCE: Final = 4


class Fleet:
    """A checkout, or a copy of one.

    Parameters
    ----------
    root
        The repository's top.
    services
        Those to look at; a test may have fewer.
    ask
        How a service is asked what it is made of.
    """

    def __init__(
        self, root: Path, *, services: tuple[str, ...] = SERVICES, ask: Callable[[Path, str], App] = describe
    ) -> None:
        self.root = root
        self.services = services
        self.tree = Tree(root)
        self._ask = ask
        self._apps: dict[str, App] = {}

    def start(self) -> None:
        """Ask all services at once, which takes seconds."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(self.app, self.services):
                pass

    def app(self, service: str) -> App:
        """Return what a service is made of."""
        if service not in self._apps:
            self._apps[service] = self._ask(self.root, service)
        return self._apps[service]

    @property
    def apps(self) -> list[App]:
        """All services."""
        return [self.app(service) for service in self.services]

    def routes(self) -> Iterator[tuple[Route, Module, Function]]:
        """Yield every route that needs a key, with its handler."""
        for app in self.apps:
            for route in app.routes:
                if not route.is_open and self.tree.has(route.file):
                    module = self.tree.module(route.file)
                    yield route, module, module.functions[route.function]

    def line(self, route: Route) -> int:
        """Return where a route's handler begins; 0 when it is none of this tree's."""
        return self.tree.module(route.file).functions[route.function].lineno if self.tree.has(route.file) else 0

    def tasks(self) -> Iterator[tuple[App, Task, Module, Function]]:
        """Yield every Celery task, with its function."""
        for app in self.apps:
            for task in app.tasks:
                module = self.tree.module(task.file)
                yield app, task, module, module.functions[task.function]

    def code(self) -> list[Module]:
        """Return what runs in production: the services' modules and ml_shared's, its doubles for tests left out."""
        return self.tree.modules(SHARED, *(f"{service}/app" for service in self.services), without=(TESTING,))

    def shared(self, name: str) -> Module:
        """Return a module of ml_shared's, by its file below that package."""
        return self.tree.module(f"{SHARED}/{name}")


def spans_around(module: Module, node: ast.AST) -> list[ast.Call]:
    """Return the calls that open a span in a `with` around a piece of code."""
    found = []
    for outer in ast.walk(module.tree):
        if isinstance(outer, ast.With | ast.AsyncWith) and any(inner is node for inner in ast.walk(outer)):
            for item in outer.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and _last(call.func).endswith("span"):
                    found.append(call)
    return found


def _last(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
