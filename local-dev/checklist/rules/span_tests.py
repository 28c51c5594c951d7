"""Every task and every span of ours is looked for by a test of its folder."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, held, review
from checklist.fleet import SHARED, Fleet
from checklist.sources import Module, argument, names_in

OPENS = frozenset({"ml_shared.telemetry.spans.work_span", "start_as_current_span", "start_span"})
LOOKING = frozenset({"get_finished_spans", "InMemorySpanExporter", "OtlpReceiver", "spans"})
TASK_SPAN = "run/"
# as the instrumentation calls a task's span


def check(fleet: Fleet) -> Iterator[Finding]:
    """Compare the names of spans with what the tests of the same folder name."""
    named = {folder: _named_in_tests(fleet, folder) for folder in ("ml-shared", *fleet.services)}
    for module in fleet.code():
        for home, call, name in _spans(fleet, module):
            if not name:
                yield review(
                    home.path, call.lineno, "a span whose name the source does not tell; which test looks for it?"
                )
                continue
            wrong = f"no test of {module.folder} looks for the span `{name}`; assert its attributes in tests/test_instrumentation.py"
            found = any(
                text == name or (name.endswith("*") and text.startswith(name[:-1])) for text in named[module.folder]
            )
            yield held(found, home.path, call.lineno, name, wrong)
    for app, task, module, function in fleet.tasks():
        span = f"{TASK_SPAN}{task.name}"
        wrong = f"no test of {app.service} looks for the span `{span}`; assert its attributes in tests/test_instrumentation.py"
        yield held(span in named[app.service], module.path, function.lineno, span, wrong)


def _spans(fleet: Fleet, module: Module) -> Iterator[tuple[Module, ast.Call, str]]:
    """Yield where spans get their names, also where a function of ours passes a name on."""
    if module.path == f"{SHARED}/telemetry/spans.py":
        return  # work_span itself
    wrappers: set[str] = set()
    for call, name in module.calls():
        if _opens(name):
            given = argument(call, 0, "name")
            around = module.function_around(call)
            if isinstance(given, ast.Name) and around and given.id in _parameters(module, around):
                wrappers.add(around.rpartition(".")[2])
            else:
                yield from ((module, call, text) for text in _texts(fleet, module, given))
    if wrappers:
        for other in fleet.tree.modules(module.folder if module.folder != "ml-shared" else SHARED):
            if "/tests/" in other.path:
                continue
            for call, name in other.calls():
                if name.rpartition(".")[2] in wrappers:
                    texts = _texts(fleet, other, argument(call, 0, "name"))
                    yield from ((other, call, text) for text in texts)


def _opens(name: str) -> bool:
    return name in OPENS or name.rpartition(".")[2] in OPENS


def _parameters(module: Module, function: str) -> set[str]:
    given = module.functions[function].args
    return {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}


def _texts(fleet: Fleet, module: Module, given: ast.expr | None) -> list[str]:
    if isinstance(given, ast.JoinedStr):
        first = given.values[0]
        return [f"{first.value!s}*" if isinstance(first, ast.Constant) else ""]
    if isinstance(given, ast.Subscript):  # a mapping of names, by whatever key
        return _texts_of_mapping(fleet.tree.value(module, given.value))
    if isinstance(given, ast.IfExp):
        return _texts(fleet, module, given.body) + _texts(fleet, module, given.orelse)
    return [fleet.tree.string(module, given) or ""]


def _texts_of_mapping(mapping: ast.expr | None) -> list[str]:
    match mapping:
        case ast.DictComp(value=ast.JoinedStr(values=[ast.Constant(value=str(beginning)), *_])):
            return [f"{beginning}*"]
        case ast.Dict(values=values):
            return [one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else "" for one in values]
    return [""]


def _named_in_tests(fleet: Fleet, folder: str) -> set[str]:
    """Return the texts in those test files of a folder that look at spans."""
    found = set()
    for module in fleet.tree.modules(f"{folder}/tests"):
        if not LOOKING & names_in(module.tree):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found
