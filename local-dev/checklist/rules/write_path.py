"""What changes something is counted as `operation="write"`, and every span of work says which of the two it is."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, held
from checklist.fleet import Fleet
from checklist.rules.read_path import READ, READING
from checklist.sources import Module, argument, names_in

WRITE = "write"
WORK_SPAN = "ml_shared.telemetry.spans.work_span"
OPERATION = "OPERATION"


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at how each route that writes is counted, at the queues' constant labels, and at spans of work."""
    for route, module, function in fleet.routes():
        for method, labels in route.counted.items():
            if method in READING or READ in route.tags:
                continue
            wrong = f"{method} {route.path} writes and is counted as {labels.get('operation')!r}; see ml_shared.telemetry.metrics.observe_request"
            yield held(labels.get("operation") == WRITE, module.path, function.lineno, f"{method} {route.path}", wrong)
    for module in fleet.code():
        for call, name in module.calls():
            if name == WORK_SPAN:
                holds = OPERATION in _keys(module, call)
                wrong = "a span of work without attributes.OPERATION: nobody can tell reads from writes; add it"
                yield held(holds, module.path, call.lineno, "a span that says its operation", wrong)


def _keys(module: Module, call: ast.Call) -> set[str]:
    """Return the names in the attributes of a span: a mapping, or the variable of its function that holds one."""
    given = argument(call, 1, "attributes")
    if not isinstance(given, ast.Name):
        return names_in(given) if given is not None else set()
    around = module.functions.get(module.function_around(call))
    assigned = (
        node.value
        for node in ast.walk(around or module.tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        if given.id in {ast.unparse(one) for one in getattr(node, "targets", [getattr(node, "target", None)])}
    )
    return {name for value in assigned for name in names_in(value)}
