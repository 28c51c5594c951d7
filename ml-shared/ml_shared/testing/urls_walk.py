"""URLs held to the one function that may write them into telemetry, `ml_shared.telemetry.urls.told_url`: in the source."""

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from ml_shared.testing.errors_walk import modules_of

_NAMES_A_URL: Final = re.compile(r"(^|_)(ur[li]|href|location)s?$", re.IGNORECASE)
_TELLERS: Final = frozenset({"told_url", "with_told_urls", "told_text"})
_SAYS_NO_URL: Final = frozenset({"len", "bool", "host_of", "origin_of"})
# calls that make of a URL what may be told: its length, whether there is one, whose it is
_LOG_CALLS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
_SPAN_CALLS: Final = frozenset({"set_attribute", "set_attributes", "add_event", "record_exception", "set_status"})
_EMIT: Final = "emit"


def walk(package: ModuleType, *, without: Collection[str] = ()) -> int:
    """Check every place in a package's source that tells of a URL, and return how many there are.

    Those are: attributes of spans, arguments and `extra` of log calls, fields of `emit`, and texts of errors that are
    raised (they end on spans and in log lines). What stands there under a URL's name, or is called like one, has to
    come from `told_url`.

    Raises
    ------
    AssertionError
        Naming each place that tells of one in another way.
    """
    places = 0
    wrong: list[str] = []
    for module in modules_of(package, without=without):
        source = Path(module.__file__ or "")
        tree = ast.parse(source.read_text(), str(source))
        for told in _told(tree):
            for node, fine in _urls(told):
                places += 1
                if not fine:
                    wrong.append(f"{source}:{node.lineno}: {ast.unparse(node)}")
    assert not wrong, "URLs in telemetry that are not by ml_shared.telemetry.urls.told_url:\n" + "\n".join(wrong)
    return places


def _told(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield what is told: values of mappings with a URL's key, and what calls that tell are given."""
    for node in ast.walk(tree):
        match node:
            case ast.Dict(keys=keys):
                if any(key is not None and _of_a_span(key) for key in keys):
                    yield node
            case ast.Call(func=func, args=args, keywords=keywords):
                name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
                if name == "set_attribute" and len(args) == 2:
                    yield ast.copy_location(ast.Dict(keys=[args[0]], values=[args[1]]), node)
                elif name == _EMIT or name in _SPAN_CALLS or (name in _LOG_CALLS and isinstance(func, ast.Attribute)):
                    yield from args
                    yield from keywords
            case ast.Raise(exc=ast.Call(args=args, keywords=keywords)):
                yield from args
                yield from keywords


def _of_a_span(key: ast.expr) -> bool:
    match key:
        case ast.Attribute(value=ast.Name(id="attributes"), attr=name):
            return _NAMES_A_URL.search(name) is not None
        case ast.Name(id=name):
            return name.isupper() and name in {"URL_FULL", "HTTP_URL", "HTTP_TARGET"}
    return False


def _urls(node: ast.AST, *, named: bool = False) -> Iterator[tuple[ast.expr, bool]]:
    """Yield each URL that is told below a node, and whether by the one function.

    Parameters
    ----------
    named
        Whether what stands here is under a URL's name, so that anything but a constant is one.
    """
    match node:
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                yield from _urls(value, named=key is not None and _is_named(key))
        case ast.keyword(arg=name, value=value):
            yield from _urls(value, named=name is not None and _NAMES_A_URL.search(name) is not None)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _urls(body, named=named)
            yield from _urls(orelse, named=named)
        case ast.BoolOp(op=ast.And(), values=[*_, last]):
            yield from _urls(last, named=named)
        case ast.Call(func=func) if _called(func) in _TELLERS:
            yield node, True
        case ast.Call(func=func) if _called(func) in _SAYS_NO_URL:
            return
        case ast.Constant():
            return
        case ast.Name(id=name) | ast.Attribute(attr=name):
            if (named and not name.isupper()) or _NAMES_A_URL.search(name):
                yield node, False
        case ast.expr() if named:
            yield node, False
        case _:
            for below in ast.iter_child_nodes(node):
                yield from _urls(below)


def _is_named(key: ast.expr) -> bool:
    match key:
        case ast.Constant(value=str(name)) | ast.Name(id=name) | ast.Attribute(attr=name):
            return _NAMES_A_URL.search(name) is not None or name == "URL_FULL"
    return False


def _called(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
