"""Sync routes work under `asyncio.wait_for`, and answer 504 when `SYNC_TIMEOUT_SECONDS` are over."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, held
from checklist.fleet import Fleet
from checklist.rules.limits import ENFORCER
from checklist.sources import Function, Module, argument

DEADLINE = "ml_shared.http.sync.within_deadline"
WAIT_FOR = "asyncio.wait_for"
SETTING = "app.config.settings.SYNC_TIMEOUT_SECONDS"
SYNC = "sync"
WORK = "app.core.logic.execute_"
# the use cases that take as long as a page, a text or a model does
POOL = "asyncpg.create_pool"


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at the deadline itself, at what sync routes await, and at what bounds the reads of the others."""
    yield from _deadline_itself(fleet)
    for route, module, function in fleet.routes():
        if SYNC in route.tags or _works(module, function):
            unbounded = sorted(set(_unbounded(module, function)))
            wrong = (
                f"{route.title} awaits {', '.join(unbounded)} without a deadline; "
                "within_deadline(…, settings.SYNC_TIMEOUT_SECONDS, <its async route>) ends it with a 504"
            )
            yield held(not unbounded, module.path, function.lineno, route.title, wrong)
    for module in fleet.code():
        for call, name in module.calls():
            if name == POOL:
                bounded = {"timeout", "command_timeout"} <= {keyword.arg for keyword in call.keywords}
                wrong = "a pool without `timeout` and `command_timeout`: what reads from it would have no end"
                yield held(bounded, module.path, call.lineno, "a pool whose commands end", wrong)


def _deadline_itself(fleet: Fleet) -> Iterator[Finding]:
    module = fleet.shared("http/sync.py")
    function = module.functions["within_deadline"]
    waits = [call for call, name in module.calls(function) if name == WAIT_FOR and argument(call, 1, "timeout")]
    wrong = "within_deadline has no asyncio.wait_for with a timeout any more; work would go on after the answer"
    yield held(bool(waits), module.path, function.lineno, "within_deadline uses asyncio.wait_for", wrong)
    for app in fleet.apps:
        said = app.deadline["status"]
        wrong = f"in {app.service} an expired deadline answers {said} and not 504; see ml_shared.errors.HTTP_STATUS"
        yield held(said == 504, module.path, function.lineno, f"{app.service} answers 504", wrong)


def _works(module: Module, function: Function) -> bool:
    return any(name.startswith(WORK) for _, name in module.calls(function))


def bounded_calls(module: Module, function: Function) -> list[ast.Call]:
    """Return the calls of `within_deadline` in a handler that take the setting."""
    found = [call for call, name in module.calls(function) if name == DEADLINE]
    return [call for call in found if module.dotted(argument(call, 1, "seconds")) == SETTING]


def _unbounded(module: Module, function: Function) -> Iterator[str]:
    bounded = bounded_calls(module, function)
    below = {inner for call in bounded for inner in ast.walk(call)}
    for node in ast.walk(function):
        if isinstance(node, ast.Await) and node.value not in below:
            name = module.dotted(node.value.func) if isinstance(node.value, ast.Call) else ast.unparse(node.value)
            if name != ENFORCER:
                yield name or ast.unparse(node.value)
        if isinstance(node, ast.Call) and module.dotted(node.func).startswith(WORK) and node not in below:
            yield module.dotted(node.func)


def routes_with_deadline(fleet: Fleet) -> Iterator[tuple[str, Module, ast.Call]]:
    """Yield each deadline of a handler, with the route's title."""
    for route, module, function in fleet.routes():
        for call in bounded_calls(module, function):
            yield route.title, module, call
