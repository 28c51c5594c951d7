"""Every attack in its short form: it comes to nothing. `make attack` is the long one, with its figures."""

from collections.abc import Iterator

import pytest
from attack.__main__ import line_of
from attack.ground import SHORT, Ground, fleet_for_attacks
from attack.rows import ROWS, Row, stands


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with fleet_for_attacks(tmp_path_factory.mktemp("attacked") / ".state", {}) as fleet, Ground(fleet) as found:
        yield found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_attack_comes_to_nothing(ground: Ground, row: Row) -> None:
    outcome = row.run(ground, SHORT)
    wrong = stands(outcome, SHORT)
    print(line_of(row, outcome, wrong))
    assert wrong == []
