"""Images are pinned: everywhere to the version, and the digest where one is known, that the README's one table says."""

import shutil
from pathlib import Path

import pytest
from chores.image_pins import NOT_YET, TABLE_FILE, named_in, pins_of, places, refresh, table_with_pins, with_pins
from chores.registry import RegistryError

REPOSITORY = Path(__file__).resolve().parents[2]
PLACES = [path for path in places(REPOSITORY) if named_in(path.read_text())]
OURS = "cloudcix/"
NEW = f"sha256:{'0' * 64}"


def table() -> str:
    return (REPOSITORY / TABLE_FILE).read_text()


def copied(folder: Path) -> list[Path]:
    for path in [*places(REPOSITORY), REPOSITORY / TABLE_FILE]:
        target = folder / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return [*places(folder), folder / TABLE_FILE]


@pytest.mark.parametrize("path", PLACES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_image_has_the_version_and_the_digest_of_the_table(path: Path) -> None:
    rows = {pin.name: pin for pin in pins_of(table())}
    named = named_in(path.read_text())
    assert {pin.name: pin for pin in named} == {pin.name: rows.get(pin.name) for pin in named}


def test_no_file_names_an_image_in_a_way_that_the_table_does_not_reach() -> None:
    for path in places(REPOSITORY):
        lines = [line.strip() for line in path.read_text().splitlines()]
        named = [line for line in lines if line.startswith(("image:", "ARG PYTHON_IMAGE", "PYTHON_IMAGE:"))]
        assert len(named) - sum(OURS in line for line in named) == len(named_in(path.read_text())), path
        assert [line for line in lines if line.startswith("FROM ") and "${PYTHON_IMAGE}" not in line] == [], path


def test_the_table_lists_no_image_that_nothing_uses_and_none_twice() -> None:
    names = [pin.name for pin in pins_of(table())]
    assert names == sorted({pin.name for path in PLACES for pin in named_in(path.read_text())})


def test_new_digests_are_written_to_the_table_and_to_every_place_at_once(tmp_path: Path) -> None:
    files = copied(tmp_path)
    before = pins_of(table())
    said = refresh(lambda name, version: NEW, tmp_path)
    assert [line.partition("  ")[0] for line in said] == [f"{pin.name}:{pin.version}" for pin in before]
    assert {pin.digest for path in files for pin in named_in(path.read_text())} == {NEW}
    assert {pin.digest for pin in pins_of((tmp_path / TABLE_FILE).read_text())} == {NEW}
    assert NOT_YET not in "".join((tmp_path / TABLE_FILE).read_text().partition("<!-- images:")[2])
    assert refresh(lambda name, version: NEW, tmp_path) == []


def test_a_registry_that_fails_at_the_last_image_changes_nothing(tmp_path: Path) -> None:
    files = copied(tmp_path)
    texts = {path: path.read_text() for path in files}
    last = pins_of(table())[-1].name

    def ask(name: str, version: str) -> str:
        if name == last:
            raise RegistryError("away")
        return NEW

    with pytest.raises(RegistryError, match="away"):
        refresh(ask, tmp_path)
    assert {path: path.read_text() for path in files} == texts


def test_what_is_written_with_the_pins_that_it_has_is_the_same_text() -> None:
    pins = pins_of(table())
    assert table_with_pins(table(), pins) == table()
    for path in PLACES:
        assert with_pins(path.read_text(), pins) == path.read_text()
