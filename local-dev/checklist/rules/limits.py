"""Every handler begins with `await enforcer.check(ctx)`: nothing is read or done for who is over a limit."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, held
from checklist.fleet import Fleet
from checklist.sources import Function, Module, statements

ENFORCER = "ml_shared.ratelimit.enforcer.enforcer.check"


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at the first statement of every handler."""
    for route, module, function in fleet.routes():
        wrong = (
            f"{route.title} does something before the limit; `await enforcer.check(ctx)` has to be its first statement"
        )
        yield held(_begins_with_it(module, function), module.path, function.lineno, route.title, wrong)


def _begins_with_it(module: Module, function: Function) -> bool:
    match statements(function)[:1]:
        case [ast.Expr(value=ast.Await(value=ast.Call(func=called, args=[ast.Name(id="ctx")])))]:
            return module.dotted(called) == ENFORCER
    return False
