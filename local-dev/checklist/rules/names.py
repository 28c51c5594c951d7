"""Names of queues, tasks, metrics and spans come from constants: spelled once, and never at a call site."""

import ast
from collections.abc import Iterator

from checklist.counting import METRIC_CLASSES, metric_places
from checklist.findings import Finding, failed, held, passed
from checklist.fleet import Fleet
from checklist.sources import Module, argument

TASK_NAME = "ml_shared.names.TaskName."
KEYWORDS = frozenset({"queue", "task_name", "routing_key", "stage"})
OPENS = ("work_span", "start_as_current_span", "start_span")


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at decorated tasks, at calls that take a name, and at where metrics are made and named."""
    metrics = metric_places(fleet)
    for module in fleet.code():
        yield from _tasks(module)
        wrong = [*_literal_names(module), *_metrics_of(module, set(metrics))]
        yield from wrong
        if not wrong:
            yield passed(module.path, 0, "names are constants")


def _tasks(module: Module) -> Iterator[Finding]:
    for function in module.functions.values():
        for decorator in function.decorator_list:
            if (
                isinstance(decorator, ast.Call)
                and isinstance(decorator.func, ast.Attribute)
                and decorator.func.attr == "task"
            ):
                name = module.dotted(argument(decorator, 99, "name"))
                wrong = f"the task {function.name} needs an explicit name=TaskName.….value: moving it would else rename its messages"
                yield held(name.startswith(TASK_NAME), module.path, function.lineno, function.name, wrong)


def _literal_names(module: Module) -> Iterator[Finding]:
    for call, name in module.calls():
        for keyword in call.keywords:
            if keyword.arg in KEYWORDS and _is_text(keyword.value):
                wrong = (
                    f"{keyword.arg}={ast.unparse(keyword.value)} is spelled here; use the constant of ml_shared.names"
                )
                yield failed(module.path, call.lineno, wrong)
        opened = argument(call, 0, "name")
        if name.endswith(OPENS) and opened is not None and _is_text(opened):
            wrong = f"the span {ast.unparse(opened)} is named where it is opened; make it a constant of its module"
            yield failed(module.path, call.lineno, wrong)


def _metrics_of(module: Module, known: set[str]) -> Iterator[Finding]:
    top = (node for node in module.tree.body if isinstance(node, ast.Assign | ast.AnnAssign))
    made = {inner for node in top for inner in ast.walk(node)}
    names = set()
    for call, name in module.calls():
        if name.rpartition(".")[2] in METRIC_CLASSES and call.args and _is_text(call.args[0]):
            names.add(call.args[0])
            if call not in made:
                wrong = f"the metric {ast.unparse(call.args[0])} is made within a function; make it once, as a constant of its module"
                yield failed(module.path, call.lineno, wrong)
    for node in ast.walk(module.tree):
        match node:
            case ast.Constant(value=str(text)) if text.removesuffix("_total") in known and node not in names:
                yield failed(
                    module.path, node.lineno, f"{text} is a metric's name, spelled a second time; use the constant"
                )


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
