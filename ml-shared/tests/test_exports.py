"""What ml_shared exports is what services were written against: a change is made on purpose, and is in the CHANGELOG."""

import ast
import os
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ml_shared"
PINNED = Path(__file__).with_name("exported_names.txt")


def exported() -> list[str]:
    """Every public name that a module defines; what it only imports is not its to export."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for statement in ast.parse(path.read_text()).body:
            found += [f"{module}:{name}" for name in _defined(statement) if not name.startswith("_")]
    return sorted(set(found))


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name) and target.id not in ("logger", "tracer")]


def test_the_exported_names_are_the_pinned_ones() -> None:
    names = exported()
    if os.environ.get("PIN_EXPORTED_NAMES"):
        PINNED.write_text("\n".join(names) + "\n")
    pinned = PINNED.read_text().split()
    gone, new = sorted(set(pinned) - set(names)), sorted(set(names) - set(pinned))
    assert (gone, new) == ([], []), "PIN_EXPORTED_NAMES=1 pins them anew; CHANGELOG.md says what became of them"


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
