"""Async routes go through the queue's depth check, and `job_id` is optional on them."""

import ast
from collections.abc import Iterator
from typing import Any

from checklist.apps import App, Route
from checklist.findings import Finding, failed, held, passed
from checklist.fleet import SHARED, Fleet
from checklist.sources import Function, Module, names_in

ACCEPTED = 202
QUEUE = f"{SHARED}/queues/queueing.py"
PUBLISHERS = frozenset({QUEUE})
# it takes room in the queue before
PUBLISHING = frozenset({"apply_async", "delay", "send_task"})
DEPTH = "MAX_QUEUE_DEPTH"
OPEN_JOBS = "MAX_OPEN_JOBS_PER_OWNER"


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at the queue itself, at every 202 route, and at who else publishes."""
    yield _depth_check(fleet)
    for route, module, function in fleet.routes():
        if route.status == ACCEPTED:
            yield _bounded(fleet, route, module, function)
            if _enqueues(module, function):
                yield _optional_job(fleet.app(route.service), route, module, function)
    for module in fleet.code():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in PUBLISHING and module.path not in PUBLISHERS:
                wrong = f"`{ast.unparse(node)}` puts a task past the queue's bound; use request.app.state.tasks.enqueue"
                yield failed(module.path, node.lineno, wrong)


def _depth_check(fleet: Fleet) -> Finding:
    module = fleet.tree.module(QUEUE)
    enqueue, direct = module.functions["TaskQueue.enqueue"], module.functions["TaskQueue._take_in"]
    refusals = _refusals(direct)
    publishing = [call.lineno for call, name in module.calls(direct) if name.endswith("_publish")]
    measured = DEPTH in names_in(module.functions["TaskQueue.__init__"])
    taken_before = bool(refusals) and bool(publishing) and min(refusals) < min(publishing)
    holds = measured and taken_before and _is_queued_by_the_script(module)
    wrong = "TaskQueue.enqueue publishes without comparing the depth with MAX_QUEUE_DEPTH before"
    return held(holds, module.path, enqueue.lineno, "room in the queue is taken before a task is published", wrong)


def _is_queued_by_the_script(module: Module) -> bool:
    """Return whether hand-outs' messages are only written, for the script that finds room for them to queue them."""
    hand_out = module.functions["TaskQueue.hand_out"]
    elsewhere = [function for name, function in module.functions.items() if name != "TaskQueue._publish"]
    written = [
        call
        for function in elsewhere
        for call, name in module.calls(function)
        if name.rpartition(".")[2] in PUBLISHING or (function is hand_out and name.endswith("_publish"))
    ]
    only_written = all(any(keyword.arg == "producer" for keyword in call.keywords) for call in written)
    queued = any(name.endswith("_room.hand_out") for _, name in module.calls(hand_out))
    return bool(written) and only_written and bool(_refusals(hand_out)) and queued


def _refusals(function: Function) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.If | ast.IfExp) and "verdict" in names_in(node.test)
    ]


def _enqueues(module: Module, function: Function) -> bool:
    return any(name.endswith(".enqueue") for _, name in module.calls(function))


def _bounded(fleet: Fleet, route: Route, module: Module, function: Function) -> Finding:
    if _enqueues(module, function):
        return passed(module.path, function.lineno, f"{route.title} goes through TaskQueue.enqueue")
    # the queue is a table then, bounded by owner
    core = fleet.tree.modules(f"{route.service}/app/core")
    holds = any(OPEN_JOBS in names_in(one.tree) for one in core)
    wrong = (
        f"{route.title} takes work in without a bound; use request.app.state.tasks.enqueue, "
        f"or compare what is open with settings.{OPEN_JOBS}"
    )
    return held(holds, module.path, function.lineno, f"{route.title} is bounded by {OPEN_JOBS}", wrong)


def _optional_job(app: App, route: Route, module: Module, function: Function) -> Finding:
    schema = _body_schema(app.openapi, route.path)
    known = "job_id" in schema.get("properties", {})
    holds = known and "job_id" not in schema.get("required", ())
    wrong = (
        f"{route.title} wants a job_id{'' if known else ' nowhere'}; it has to be `job_id: Identifier | None = None`"
    )
    return held(holds, module.path, function.lineno, f"job_id is optional on {route.title}", wrong)


def _body_schema(document: dict[str, Any], path: str) -> dict[str, Any]:
    body = document["paths"][path]["post"].get("requestBody", {})
    schema: dict[str, Any] = body.get("content", {}).get("application/json", {}).get("schema", {})
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema
