"""What is done on a pool's connection ends with its transaction: such connections go back to the pool without a reset."""

import re
from pathlib import Path

import pytest
from chores.folders import REPOSITORY

OUTLIVES = re.compile(
    r"pg_(?:try_)?advisory_lock(?:_shared)?\s*\(|\bLISTEN\s+\w|add_listener|WITH HOLD|\bPREPARE\s+\w"
    r"|\bSET\s+(?!LOCAL\b|TRANSACTION\b)(?:SESSION\s+)?[a-z_.]+\s*(?:=|TO)\s*[\w'\"]+\s*(?:;|\"|$)"
    r"|set_config\s*\([^)]*,\s*false\s*\)"
)
"""What outlives a transaction: session locks and settings, notifications, cursors, prepared statements by name."""
PARTS = ("ml-shared/ml_shared", "orchestrator/app", "embedding/app", "scraper/app", "chunking/app")
APART = {"ml_shared/storage/migrations.py", "ml_shared/testing", "embedding/app/core/storage/pool.py"}
# which connect by themselves, once, and end


def sources() -> list[Path]:
    found = [path for part in PARTS for path in sorted((REPOSITORY / part).rglob("*.py"))]
    return [path for path in found if not any(apart in path.as_posix() for apart in APART)]


def test_nothing_that_is_done_on_a_pools_connection_outlives_its_transaction() -> None:
    files = sources()
    assert len(files) > 150
    assert [
        f"{path.relative_to(REPOSITORY)}: {found[0]}" for path in files for found in OUTLIVES.finditer(path.read_text())
    ] == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock(1, 2)",
        "LISTEN jobs",
        "SET jit = off",
        "SET SESSION jit TO off",
        "SELECT set_config('jit', 'off', false)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    ],
)
def test_what_outlives_a_transaction_is_known_when_seen(statement: str) -> None:
    assert OUTLIVES.search(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_advisory_xact_lock(1)",
        "SET LOCAL jit = off",
        "SELECT set_config('jit', 'off', true)",
        "UPDATE a SET b = $1",
    ],
)
def test_what_ends_with_its_transaction_is_let_be(statement: str) -> None:
    assert OUTLIVES.search(statement) is None
