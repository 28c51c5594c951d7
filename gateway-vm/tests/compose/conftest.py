"""One stack for all tests of this folder; each puts back what it changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import stack as stacks


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    missing = stacks.missing() if here else None
    for item in here:
        item.add_marker(pytest.mark.timeout(300))
        if missing:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stacks.Stack]:
    made = stacks.Stack(tmp_path_factory.mktemp("stack"))
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def stack(running: stacks.Stack) -> stacks.Stack:
    """The stack as it began: what a test before changed is changed back."""
    running.write()
    running.up()
    running.reload()
    return running
