"""The trace flows from the worker's span into the callback's HTTP call."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, failed, held
from checklist.fleet import Fleet, spans_around
from checklist.sources import Module

SENDERS = ("complete", "progress", "put_content", "get_content")
INSTRUMENTOR = "opentelemetry.instrumentation.httpx.HTTPXClientInstrumentor"
HTTP = ("httpx.", "requests.", "aiohttp.", "urllib.request.")


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at the client's spans, at its HTTP being instrumented, at stray HTTP in workers, and at the tests."""
    client = fleet.shared("clients/orchestrator.py")
    for name in SENDERS:
        function = client.functions[f"OrchestratorClient.{name}"]
        sent = [call for call, called in client.calls(function) if called.endswith("._send")]
        holds = bool(sent) and all(spans_around(client, call) for call in sent)
        wrong = f"{name} calls the orchestrator outside of a span; put `with tracer.start_as_current_span(…)` around it"
        yield held(holds, client.path, function.lineno, f"{name} is sent within a span", wrong)
    shared = fleet.shared("instrumentation.py")
    uses = [call for call, name in shared.calls() if name == INSTRUMENTOR]
    wrong = "httpx is not instrumented any more: no call of ours carries `traceparent`"
    yield held(bool(uses), shared.path, uses[0].lineno if uses else 0, "httpx carries traceparent", wrong)
    for app in fleet.apps:
        for module in fleet.tree.modules(f"{app.service}/app/worker"):
            for call, name in module.calls():
                if name.startswith(HTTP):
                    wrong = f"`{name}` in a worker: what it tells the orchestrator goes through OrchestratorClient, which carries the trace"
                    yield failed(module.path, call.lineno, wrong)
        if any(task.is_stage for task in app.tasks):
            yield _tested(fleet, app.service)


def _tested(fleet: Fleet, service: str) -> Finding:
    path = f"{service}/tests/test_instrumentation.py"
    tests = _tests_of_callbacks(fleet.tree.module(path)) if fleet.tree.has(path) else []
    wrong = f"no test of {service} asserts that the callback is in the worker's trace; see scraper/tests/test_instrumentation.py"
    return held(bool(tests), path, tests[0] if tests else 0, "a test holds it", wrong)


def _tests_of_callbacks(module: Module) -> list[int]:
    return [
        function.lineno
        for name, function in module.functions.items()
        if name.startswith("test_")
        and "callback" in name
        and any(isinstance(node, ast.Assert) for node in ast.walk(function))
    ]
