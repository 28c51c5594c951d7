"""Lines about failures can be joined: `trace_id` and `job_id` on every line, `failed_stage` where a stage failed."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, held, passed, review
from checklist.fleet import Fleet
from checklist.sources import Module

CARRIED = ("trace_id", "job_id")
FAILURES_PASS = (
    ("worker/task.py", "StageTask._tell_of"),
    ("telemetry/spans.py", "direct_work"),
    ("telemetry/spans.py", "_tell"),
)
"""Through these every failure of a stage's work goes: of a task, of a request, and of a span."""
NAMES = frozenset({"failed_stage", "FAILED_STAGE"})
LOUD = (".error", ".exception", ".critical")


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at what a log line carries, at where failures pass, and at what else a service logs as an error."""
    logs = fleet.shared("telemetry/logs.py")
    for app in fleet.apps:
        missing = [name for name in CARRIED if name not in app.log_fields]
        wrong = f"a log line of {app.service} that is written within a job's span lacks {', '.join(missing)}; see ml_shared.telemetry.logs"
        yield held(not missing, logs.path, 0, f"lines of {app.service} carry {' and '.join(CARRIED)}", wrong)
    for path, name in FAILURES_PASS:
        module = fleet.shared(path)
        function = module.functions[name]
        wrong = f"{name} does not say which stage failed; put failed_stage on its line or span"
        yield held(_names_the_stage(function), module.path, function.lineno, f"{name} names the stage", wrong)
    for service in fleet.services:
        for module in fleet.tree.modules(f"{service}/app"):
            yield from _loud_lines(module)


def _loud_lines(module: Module) -> Iterator[Finding]:
    for call, name in module.calls():
        if not name.endswith(LOUD) or "log" not in name.lower():
            continue
        extra = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
        if isinstance(extra, ast.Call):  # a function that makes the fields: they are in its body
            maker = module.functions.get(ast.unparse(extra.func))
            holds = maker is not None and _names_the_stage(maker)
        else:
            holds = extra is not None and _names_the_stage(extra)
        if holds:
            yield passed(module.path, call.lineno, "names the stage")
        else:
            yield review(module.path, call.lineno, "an error without `failed_stage`: did no job's stage fail here?")


def _names_the_stage(code: ast.AST) -> bool:
    for node in ast.walk(code):
        match node:
            case ast.Constant(value=str(name)) | ast.Attribute(attr=name) | ast.Name(id=name):
                if name in NAMES:
                    return True
    return False
