"""What `make lint` does beside calling the tools."""

from pathlib import Path

import pytest
from chores import lint
from chores.lint import CACHE, FIRST, begin_with_what_is_known


def test_a_folders_first_look_at_types_begins_with_what_is_known_of_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint, "REPOSITORY", tmp_path)
    begin_with_what_is_known(tmp_path / "scraper")
    assert not (tmp_path / "scraper" / CACHE).exists()
    (tmp_path / FIRST / CACHE).mkdir(parents=True)
    (tmp_path / FIRST / CACHE / "library").write_text("known")
    begin_with_what_is_known(tmp_path / "scraper")
    assert (tmp_path / "scraper" / CACHE / "library").read_text() == "known"
    (tmp_path / FIRST / CACHE / "library").write_text("known better")
    begin_with_what_is_known(tmp_path / "scraper")
    assert (tmp_path / "scraper" / CACHE / "library").read_text() == "known", "its own is the newer one"
