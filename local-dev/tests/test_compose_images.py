"""Images are pinned, and to the versions that the README's table says."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE_FILES = [path for path in sorted(REPOSITORY.glob("*/docker-compose*.yml")) if "image:" in path.read_text()]
# one that only adds to another's containers names no image
OURS = "cloudcix/"


def _table() -> dict[str, str]:
    _, _, section = (REPOSITORY / "local-dev" / "README.md").read_text().partition("\n## Images\n")
    rows = re.findall(r"^\| ([a-z][\w./-]*) \| ([\w.-]+) \|$", section, re.MULTILINE)
    return {name: version for name, version in rows if name != "image"}


def _images(path: Path) -> dict[str, str]:
    found = re.findall(r"^\s*image:\s*[\"']?([\w./-]+):(\S+?)[\"']?\s*(?:#.*)?$", path.read_text(), re.MULTILINE)
    return {name: version for name, version in found if not name.startswith(OURS)}


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_image_has_the_version_of_the_table(path: Path) -> None:
    table = _table()
    images = _images(path)
    assert images
    assert {name: table.get(name) for name in images} == images


def test_the_table_lists_no_image_that_nothing_uses() -> None:
    used = {name for path in COMPOSE_FILES for name in _images(path)}
    assert set(_table()) == used
