"""Names resolved through imports, constants across modules, calls and their surroundings."""

import ast
from pathlib import Path

import pytest
from checklist.sources import Module, Tree

MODULE = Module(
    "scraper/app/core/logic.py",
    """
import asyncio
import xml.sax as sax
from app.core.names import SPAN as NAME
from ml_shared.telemetry.spans import work_span

HERE = NAME

class Work:
    async def run(self):
        with work_span(HERE):
            await asyncio.wait_for(self.one(), 1)
            self.made().start()
            sax.parse(local)
""",
)


def test_a_call_is_named_by_what_was_imported() -> None:
    assert {name for _, name in MODULE.calls()} == {
        "ml_shared.telemetry.spans.work_span",
        "asyncio.wait_for",
        "self.one",
        ".start",
        "self.made",
        "xml.sax.parse",
    }


def test_a_function_is_known_by_its_class_and_found_around_what_it_holds() -> None:
    assert set(MODULE.functions) == {"Work.run"}
    call = next(node for node in ast.walk(MODULE.tree) if isinstance(node, ast.Call))
    assert MODULE.function_around(call) == "Work.run"
    assert MODULE.function_around(MODULE.tree.body[0]) == ""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    for path, text in {
        MODULE.path: MODULE.text,
        "scraper/app/core/names.py": "from ml_shared.names import SPAN as THEIRS\nSPAN = THEIRS\n",
        "ml-shared/ml_shared/names.py": 'SPAN = "page.read"\n',
        "scraper/__pycache__/old.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Tree(tmp_path)


def test_a_constant_is_followed_through_the_modules_that_pass_it_on(tree: Tree) -> None:
    module = tree.module(MODULE.path)
    assert tree.string(module, ast.Name("HERE")) == "page.read"
    assert tree.string(module, ast.Name("local")) is None


def test_what_python_leaves_behind_is_no_source(tree: Tree) -> None:
    assert tree.under("scraper", suffix=".py") == ["scraper/app/core/logic.py", "scraper/app/core/names.py"]
