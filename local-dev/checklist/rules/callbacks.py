"""A callback is sent for a job, and only for one."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, failed, held
from checklist.fleet import Fleet
from checklist.sources import names_in

REPORTS = ("complete", "progress", "put_content")
CLIENT = "OrchestratorClient"


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at the client, which cannot be called without a job, at the base task, and at who else reports."""
    client = fleet.shared("clients/orchestrator.py")
    for name in REPORTS:
        function = client.functions[f"{CLIENT}.{name}"]
        typed = {one.arg: ast.unparse(one.annotation) for one in function.args.args if one.annotation}
        wrong = f"{CLIENT}.{name} can be called without a job; `job_id: str` keeps mypy from letting that pass"
        yield held(typed.get("job_id") == "str", client.path, function.lineno, f"{name} takes a job", wrong)
    yield from _base_task(fleet)
    for service in fleet.services:
        if service == "orchestrator":
            continue  # it takes callbacks
        for module in fleet.tree.modules(f"{service}/app"):
            for call, name in module.calls():
                if name.endswith((".complete", ".progress")) and "orchestrator" in name:
                    wrong = f"`{name}` reports beside the base task, which says exactly once how an attempt ended; leave it to run_stage"
                    yield failed(module.path, call.lineno, wrong)


def _base_task(fleet: Fleet) -> Iterator[Finding]:
    module = fleet.shared("worker/task.py")
    run = module.functions["StageTask.run_stage"]
    guarded = [
        node
        for node in ast.walk(run)
        if isinstance(node, ast.If)
        and {"job_id", "attempt_id"} <= names_in(node.test)
        and any("_run_attempt" in names_in(statement) for statement in node.body)
        and not any("_run_attempt" in names_in(statement) for statement in node.orelse)
    ]
    calls = [call for call, name in module.calls() if name.endswith("._run_attempt")]
    wrong = "run_stage has to make an attempt, which ends by a callback, under `if job_id is not None and attempt_id is not None` only"
    yield held(bool(guarded) and len(calls) == 1, module.path, run.lineno, "attempts need a job", wrong)
    direct = module.functions["StageTask._run_direct"]
    reports = [call.lineno for call, name in module.calls(direct) if name.endswith((".complete", "._run_attempt"))]
    wrong = "a task without a job reports to the orchestrator; its outcome belongs to the results only"
    yield held(not reports, module.path, reports[0] if reports else direct.lineno, "no callback without a job", wrong)
