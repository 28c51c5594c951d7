"""`make checklist`, as it is run."""

import subprocess
from pathlib import Path

import pytest
from checklist.__main__ import RevisionError, changed_files, main
from checklist.items import ITEMS, RULES


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def branch(tmp_path: Path) -> Path:
    """A repository whose branch left `main` a commit ago, and `main` went on."""
    git(tmp_path, "init", "-q", "-b", "main")
    for name in ("kept", "renamed", "edited"):
        (tmp_path / name).write_text(f"{name}\n" * 9)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "begin")
    git(tmp_path, "switch", "-qc", "branch")
    git(tmp_path, "mv", "renamed", "new name")
    git(tmp_path, "commit", "-qm", "rename")
    git(tmp_path, "switch", "-q", "main")
    (tmp_path / "elsewhere").write_text("x")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "main goes on")
    git(tmp_path, "switch", "-q", "branch")
    return tmp_path


def test_what_a_branch_changed_is_what_it_committed_edited_and_added_and_nothing_of_mains(branch: Path) -> None:
    (branch / "edited").write_text("y")
    (branch / "added").write_text("z")
    assert changed_files(branch, "main") == {"renamed", "new name", "edited", "added"}


@pytest.mark.parametrize("revision", ["no-such-branch", "--help"])
def test_a_revision_that_is_none_is_named(branch: Path, revision: str) -> None:
    with pytest.raises(RevisionError, match=f"--since {revision}: "):
        changed_files(branch, revision)


def test_every_item_is_answered_and_nothing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for item in (*ITEMS, *RULES):
        [line] = [line for line in lines if item.text in line]
        assert line.split()[0] in {"pass", "review"}
    assert lines[-1].endswith("0 fail")


def test_the_markdown_for_a_pull_request_has_every_item(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--markdown", "--since", "HEAD"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("## Implementation checklist\n")
    assert all(item.text in said for item in (*ITEMS, *RULES))


def test_without_a_revision_that_there_is_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--since", "no-such-branch"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("--since no-such-branch: ")
