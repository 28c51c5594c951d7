"""A tree's Python, parsed: names resolved through imports, calls found, constants read."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

ROOTS: Final = ("ml-shared", "orchestrator", "scraper", "chunking", "embedding", "local-dev")
"""The folders that modules are imported from."""
IGNORED: Final = frozenset({"__pycache__", "node_modules", "build", "dist"})
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """One file of Python.

    Attributes
    ----------
    path
        Relative to the tree, with `/`.
    name
        As it is imported: `app.core.logic`, `ml_shared.http.sync`.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.folder, _, below = path.partition("/")
        self.name = below.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.path)

    @cached_property
    def imports(self) -> dict[str, str]:
        """Local names, and what they were imported as."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    found[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        return found

    @cached_property
    def imported(self) -> dict[str, int]:
        """The modules, and what comes out of them, that this one imports, with the line."""
        found: dict[str, int] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name: node.lineno for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{node.module or ''}.{alias.name}": node.lineno for alias in node.names}
        return found

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Every function by its qualified name; of methods `Class.method`."""
        return dict(_functions(self.tree, ""))

    @cached_property
    def constants(self) -> dict[str, ast.expr]:
        """What is assigned to names at the top of the module."""
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            value = getattr(node, "value", None)
            if isinstance(node, ast.Assign | ast.AnnAssign) and value is not None:
                found |= {target.id: value for target in targets if isinstance(target, ast.Name)}
        return found

    def dotted(self, node: ast.expr | None) -> str:
        """Return a name with its first part resolved through the imports; empty for what is no name."""
        match node:
            case ast.Name(id=name):
                return self.imports.get(name) or (f"{self.name}.{name}" if name in self._own else name)
            case ast.Attribute(value=value, attr=attribute):
                before = self.dotted(value)
                return f"{before}.{attribute}" if before else ""
        return ""

    def calls(self, within: ast.AST | None = None) -> Iterator[tuple[ast.Call, str]]:
        """Yield every call with the dotted name of what is called; of other expressions the last attribute, `.name`."""
        for node in ast.walk(within or self.tree):
            if isinstance(node, ast.Call):
                name = self.dotted(node.func)
                if not name and isinstance(node.func, ast.Attribute):
                    name = f".{node.func.attr}"
                yield node, name

    def function_around(self, node: ast.AST) -> str:
        """Return the qualified name of the innermost function that a node stands in; empty at the top."""
        line = getattr(node, "lineno", 0)
        around = [
            (function.lineno, name)
            for name, function in self.functions.items()
            if function.lineno <= line <= (function.end_lineno or line)
        ]
        return max(around)[1] if around else ""

    @cached_property
    def _own(self) -> set[str]:
        defined = {node.name for node in self.tree.body if isinstance(node, Function | ast.ClassDef)}
        return defined | set(self.constants)


@lru_cache(maxsize=1024)
def _module(path: str, text: str) -> Module:
    """Return a file of Python, parsed once however many trees it is in: a copy with a change is a tree of its own."""
    return Module(path, text)


class Tree:
    """The files of a repository, or of a copy of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, Module] = {}

    @cached_property
    def files(self) -> list[str]:
        """Every file that is not ignored, sorted."""
        if (self.root / ".git").exists():
            listed = subprocess.run(
                ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                cwd=self.root,
                capture_output=True,
                text=True,
                check=True,
                timeout=30,
            )
            return sorted({name for name in listed.stdout.split("\0") if name and (self.root / name).is_file()})
        found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if not IGNORED & set(path.parts))

    def under(self, *folders: str, suffix: str = "") -> list[str]:
        """Return the files below these folders whose names end so."""
        return [
            path
            for path in self.files
            if path.endswith(suffix) and any(path == folder or path.startswith(f"{folder}/") for folder in folders)
        ]

    def has(self, path: str) -> bool:
        """Tell whether there is such a file."""
        return (self.root / path).is_file()

    def text(self, path: str) -> str:
        """Return a file's text."""
        return (self.root / path).read_text()

    def module(self, path: str) -> Module:
        """Return a file of Python, parsed once."""
        if path not in self._modules:
            self._modules[path] = _module(path, self.text(path))
        return self._modules[path]

    def modules(self, *folders: str, without: tuple[str, ...] = ()) -> list[Module]:
        """Return the modules below these folders, except those below some."""
        left_out = set(self.under(*without, suffix=".py")) if without else set()
        return [self.module(path) for path in self.under(*folders, suffix=".py") if path not in left_out]

    def imported_module(self, importing: Module, dotted: str) -> Module | None:
        """Return the module of ours that a dotted name is defined in, as seen from another one."""
        name = dotted.rpartition(".")[0]
        for root in dict.fromkeys((importing.folder, *ROOTS)):
            for path in (f"{root}/{name.replace('.', '/')}.py", f"{root}/{name.replace('.', '/')}/__init__.py"):
                if self.has(path):
                    return self.module(path)
        return None

    def value(self, module: Module, node: ast.expr | None) -> ast.expr | None:
        """Return what an expression stands for: itself, or what the constant that it names was given."""
        for _ in range(4):  # a constant may name another
            if not isinstance(node, ast.Name | ast.Attribute):
                return node
            dotted = module.dotted(node)
            home = self.imported_module(module, dotted)
            if home is None or dotted.rpartition(".")[2] not in home.constants:
                return node
            module, node = home, home.constants[dotted.rpartition(".")[2]]
        return node

    def string(self, module: Module, node: ast.expr | None) -> str | None:
        """Return the text that an expression stands for, if it is one that the source holds."""
        value = self.value(module, node)
        return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    """Return an argument, however it was passed."""
    if position < len(call.args):
        return call.args[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def statements(function: Function) -> list[ast.stmt]:
    """Return a function's statements without its docstring."""
    body = function.body
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def names_in(node: ast.AST) -> set[str]:
    """Return every name and attribute that stands in a piece of code."""
    found = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return found | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield f"{prefix}{child.name}", child
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)
