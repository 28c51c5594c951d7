"""Every error class of a package, held to what `ml_shared.errors` promises of one: a service's own test calls `walk`."""

import ast
import importlib
import inspect
import json
import pickle
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ml_shared.errors import CLASS_OF_KIND, HTTP_STATUS, RETRYABLE_KINDS, ErrorKind, ServiceError
from ml_shared.http.problem_documents import PROBLEM_MEDIA_TYPE
from ml_shared.http.problems import problem_of

MEMBERS: Final = ("type", "title", "status", "detail", "instance", "code", "request_id", "trace_id")
_CODE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def modules_of(package: ModuleType, *, without: Collection[str] = ()) -> Iterator[ModuleType]:
    """Import and yield a package's modules, itself included; those named in `without`, and what is below, left out."""
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if any(found.name == name or found.name.startswith(f"{name}.") for name in without):
            continue
        if found.name.rpartition(".")[2] not in {"__main__", "main", "migrate"}:  # a program, not a module to import
            yield importlib.import_module(found.name)


def error_classes(
    package: ModuleType, *, without: Collection[str] = ()
) -> tuple[list[type[ServiceError]], list[type[Exception]]]:
    """Return the exceptions that a package defines: those of the tree, and those that stand outside of it."""
    ours: list[type[ServiceError]] = []
    others: list[type[Exception]] = []
    for module in modules_of(package, without=without):
        for defined in vars(module).values():
            if not inspect.isclass(defined) or defined.__module__ != module.__name__:
                continue
            if issubclass(defined, ServiceError):
                ours.append(defined)
            elif issubclass(defined, Exception):
                others.append(defined)
    return ours, others


def walk(
    package: ModuleType,
    *,
    made: Mapping[type[ServiceError], Callable[[], ServiceError]] | None = None,
    against_its_kind: Collection[type[ServiceError]] = (),
    outside: Collection[str] = (),
    without: Collection[str] = (),
) -> None:
    """Check every exception class that a package defines.

    Parameters
    ----------
    package
        `app`, or `ml_shared`.
    made
        How to make an error whose class takes other arguments than a detail, or none.
    against_its_kind
        Errors that are tried again, or are not, whatever their kind says.
    outside
        Names of the exceptions that are not in the tree, because no caller and no callback is ever told of them.
    without
        Modules that are left out.

    Raises
    ------
    AssertionError
        Naming the class and what is wrong with it.
    """
    ours, others = error_classes(package, without=without)
    assert ours, f"{package.__name__} defines no error of the tree"
    strays = {error.__name__ for error in others} ^ set(outside)
    assert not strays, f"outside of the tree and not declared, or declared and not there: {sorted(strays)}"
    kind_of_code: dict[str, ErrorKind] = {}
    for error_class in ours:
        error = (made or {}).get(error_class, lambda error_class=error_class: _made(error_class))()
        check(error, against_its_kind=error_class in against_its_kind)
        known = kind_of_code.setdefault(error.code, error.kind)
        assert known is error.kind, f"{error.code} is of two kinds: {known} and {error.kind}"
    for place, code in _codes_at_call_sites(package, without):
        assert _CODE.fullmatch(code), f"{place}: the code {code!r} is not snake_case"


def _made(error_class: type[ServiceError]) -> ServiceError:
    if inspect.signature(error_class).parameters.keys() >= {"detail"}:
        return error_class("what was wrong and what would be right")
    return error_class()  # type: ignore[call-arg]


def check(error: ServiceError, *, against_its_kind: bool = False) -> None:
    """Check one error: its name and code, its kind in both tables, its problem document, and its way through pickle."""
    name = f"{type(error).__module__}.{type(error).__name__}"
    assert name.endswith("Error"), name
    assert _CODE.fullmatch(error.code), f"{name}: the code {error.code!r} is not snake_case"
    assert isinstance(error, CLASS_OF_KIND[error.kind]) or type(error) is ServiceError, f"{name} is of no kind"
    assert error.retryable is ((error.kind in RETRYABLE_KINDS) is not against_its_kind), f"{name}: retryable?"
    _check_problem(name, error)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error), name
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error)), (
        f"{name} does not survive pickle"
    )


def _check_problem(name: str, error: ServiceError) -> None:
    answer = problem_of(error, "/path")
    body: dict[str, Any] = json.loads(bytes(answer.body))
    assert answer.media_type == PROBLEM_MEDIA_TYPE, name
    assert body.keys() >= set(MEMBERS), f"{name} lacks {set(MEMBERS) - body.keys()}"
    assert answer.status_code == body["status"] == HTTP_STATUS[error.kind], name
    assert (body["code"], body["detail"], body["instance"]) == (error.code, error.detail, "/path"), name
    assert error.detail.strip(), f"{name} says nothing"
    assert ("retry-after" in answer.headers) is (error.retry_after_seconds is not None), name


def _codes_at_call_sites(package: ModuleType, without: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each literal `code="…"` of a call, and where it stands: an instance may carry a code of its own."""
    for module in modules_of(package, without=without):
        source = Path(module.__file__ or "")
        for node in ast.walk(ast.parse(source.read_text(), str(source))):
            if not isinstance(node, ast.Call):
                continue
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    yield f"{source}:{node.lineno}", str(keyword.value.value)
