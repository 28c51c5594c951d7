"""`make refresh`: new pins become a branch and one pull request; `gh` is a script that writes down how it was called."""

import subprocess
from pathlib import Path

import pytest
from chores import refresh

GH = """#!/bin/sh
echo "$*" >> "{calls}"
case "$1 $2" in
    "pr list") cat "{open}" 2>/dev/null;;
    "pr create") echo 7 > "{open}"; echo https://localhost/pull/7;;
esac
exit 0
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with one pin, its remote, and `gh`."""
    remote, clone, tools = (tmp_path / name for name in ("remote.git", "clone", "tools"))
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(remote))
    git(tmp_path, "clone", "-q", str(remote), str(clone))
    git(clone, "switch", "-qc", "main")
    (clone / "scraper").mkdir()
    (clone / "scraper" / "requirements.txt").write_text("httpx==1\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "begin")
    git(clone, "push", "-q", "origin", "main")
    tools.mkdir()
    (tools / "gh").write_text(GH.format(calls=tmp_path / "calls", open=tmp_path / "open"))
    (tools / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return clone


def pinning(repository: Path, version: int) -> int:
    (repository / "scraper" / "requirements.txt").write_text(f"httpx=={version}\n")
    return 0


def pushed(repository: Path) -> str:
    return git(repository.parent / "remote.git", "show", f"{refresh.BRANCH}:scraper/requirements.txt")


def test_new_pins_are_pushed_and_one_request_is_opened_which_later_pins_go_to(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refresh.main(repository, lambda: pinning(repository, 2)) == 0
    assert capsys.readouterr().out == "https://localhost/pull/7\n"
    assert pushed(repository) == "httpx==2"
    git(repository, "switch", "-q", "main")
    assert refresh.main(repository, lambda: pinning(repository, 3)) == 0
    assert capsys.readouterr().out == "Request 7 has the new pins.\n"
    assert pushed(repository) == "httpx==3"
    calls = (repository.parent / "calls").read_text().splitlines()
    assert sum(call.startswith("pr create --base main") for call in calls) == 1


def test_without_newer_versions_nothing_is_pushed(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refresh.main(repository, lambda: pinning(repository, 1)) == 0
    assert capsys.readouterr().out == "Every pin is the newest allowed version.\n"
    assert not (repository.parent / "calls").exists()


def test_pins_of_ones_own_are_not_swept_along(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pinning(repository, 9)
    assert refresh.main(repository, lambda: 0) == 1
    assert "commit or undo that first" in capsys.readouterr().err


def test_pinning_or_pushing_that_fails_is_told(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refresh.main(repository, lambda: 5) == 5
    git(repository, "remote", "set-url", "origin", "/nowhere")
    assert refresh.main(repository, lambda: pinning(repository, 2)) == 1
    assert capsys.readouterr().err.startswith("git push --quiet --force origin refresh-pins: ")
