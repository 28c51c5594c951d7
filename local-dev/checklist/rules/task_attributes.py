"""Every Celery task's span says which job, URL and stage it is for, which queue it came through, and how it was asked for."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, failed, held
from checklist.fleet import Fleet
from checklist.sources import Function, Module, names_in

OF_A_JOB = frozenset({"JOB_ID", "JOB_URL", "JOB_STAGE"})
OF_A_QUEUE = frozenset({"QUEUE_NAME", "REQUEST_MODE"})
PASSED_ON = frozenset({"job_id", "attempt_id", "url"})


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at what the base task sets, and at what each task gives it."""
    base = fleet.shared("worker/task.py")
    for name, wanted in (("StageTask.describe", OF_A_JOB), ("AsyncTask._describe_queue", OF_A_QUEUE)):
        missing = sorted(wanted - _set_by(base, base.functions[name]))
        wrong = f"{name} does not set {', '.join(missing)}; every task's span has to have them"
        yield held(
            not missing, base.path, base.functions[name].lineno, f"{name} sets {', '.join(sorted(wanted))}", wrong
        )
    for name, describing in (("StageTask.run_stage", "describe"), ("AsyncTask.run_async", "_describe_queue")):
        calls = any(called.endswith(f".{describing}") for _, called in base.calls(base.functions[name]))
        wrong = f"{name} does not call {describing}; the spans of all tasks lack its attributes"
        yield held(calls, base.path, base.functions[name].lineno, f"{name} describes its task", wrong)
    for app, task, module, function in fleet.tasks():
        if not task.bases:
            wrong = f"{task.name} is a plain Celery task; `base=StageTask`, or AsyncTask where no job is worked on, sets the attributes"
            yield failed(module.path, function.lineno, wrong)
        elif task.is_stage:
            holds = bool(task.stage and task.job_stage) and _runs(module, function, ".run_stage", PASSED_ON)
            wrong = f"{task.name} has to declare stage= and job_stage=, and to call self.run_stage(body, job_id=…, attempt_id=…, url=…)"
            yield held(holds, module.path, function.lineno, f"{app.service}: {task.name}", wrong)
        else:
            wrong = f"{task.name} has to run its body by self.run_async(body), or self.run_pack(jobs), which sets queue.name and request.mode"
            runs = _runs(module, function, ".run_async") or _runs(module, function, ".run_pack")
            yield held(runs, module.path, function.lineno, task.name, wrong)


def _set_by(module: Module, function: Function) -> set[str]:
    keys = (key for node in ast.walk(function) if isinstance(node, ast.Dict) for key in node.keys)
    calls = (call.args[0] for call, name in module.calls(function) if name.endswith("set_attribute") and call.args)
    return {name for key in [*keys, *calls] if key is not None for name in names_in(key)}


def _runs(module: Module, function: Function, method: str, keywords: frozenset[str] = frozenset()) -> bool:
    for call, name in module.calls(function):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        nothing = [one for one in keywords & set(given) if isinstance(given[one], ast.Constant)]  # url=None
        if name.endswith(method) and keywords <= set(given) and not nothing:
            return True
    return False
