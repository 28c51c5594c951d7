"""Which folders a branch has to be checked in."""

import json
import subprocess
from pathlib import Path

import pytest
from chores import changed
from chores.changed import NOTHING_BEFORE, RevisionError, changed_paths, concerned
from chores.folders import ALL


@pytest.mark.parametrize(
    ("paths", "folders"),
    [
        (["scraper/openapi.json"], ["scraper", "gateway-vm", "local-dev"]),
        (["orchestrator/app/core/errors.py"], ["orchestrator", "gateway-vm", "local-dev"]),
        ([], []),
        (["scraper/app/core/robots/rules.py"], ["scraper", "local-dev"]),
        (["gateway-vm/README.md", "embedding/Dockerfile"], ["embedding", "gateway-vm", "local-dev"]),
        (["local-dev/demo/run.py"], ["local-dev"]),
        (["ml-shared/ml_shared/http/sync.py"], [*ALL]),
        ([".ci/run"], [*ALL]),
        (["README.md"], [*ALL]),
        ([".github/workflows/ci.yml", "chunking/README.md"], [*ALL]),
    ],
)
def test_a_folder_is_checked_when_it_or_what_it_depends_on_has_changed(paths: list[str], folders: list[str]) -> None:
    assert concerned(paths) == folders


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def branch(tmp_path: Path) -> Path:
    """A repository whose branch moved a file of the scraper's while `main` changed chunking."""
    git(tmp_path, "init", "-q", "-b", "main")
    for folder in ("scraper", "chunking", "embedding"):
        (tmp_path / folder).mkdir()
    (tmp_path / "scraper" / "moved.py").write_text("same\n" * 20)
    (tmp_path / "chunking" / "one.py").write_text("one")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "begin")
    git(tmp_path, "switch", "-qc", "branch")
    git(tmp_path, "mv", "scraper/moved.py", "embedding/a moved.py")
    git(tmp_path, "commit", "-qm", "move")
    git(tmp_path, "switch", "-q", "main")
    (tmp_path / "chunking" / "one.py").write_text("two")
    git(tmp_path, "commit", "-qam", "main goes on")
    git(tmp_path, "switch", "-q", "branch")
    return tmp_path


def test_a_moved_file_concerns_both_folders_and_what_main_did_concerns_none(branch: Path) -> None:
    assert changed_paths(branch, "main") == ["embedding/a moved.py", "scraper/moved.py"]


@pytest.mark.parametrize("since", ["no-such-branch", "", "--help"])
def test_a_revision_that_is_none_is_one_clear_line(branch: Path, since: str) -> None:
    with pytest.raises(RevisionError, match=rf"^'{since}' [^\n]+$"):
        changed_paths(branch, since)


def test_what_is_not_committed_yet_counts_when_asked_for(branch: Path) -> None:
    (branch / "embedding" / "a moved.py").write_text("edited")
    (branch / "added").write_text("new")
    assert changed_paths(branch, "main", uncommitted=True) == ["added", "embedding/a moved.py", "scraper/moved.py"]
    assert changed_paths(branch, "main") == ["embedding/a moved.py", "scraper/moved.py"]


def test_the_runner_is_told_and_a_branchs_first_push_concerns_everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SINCE", NOTHING_BEFORE)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    assert changed.main() == 0
    assert json.loads(capsys.readouterr().out) == [*ALL]
    assert (tmp_path / "outputs").read_text() == f"folders={json.dumps([*ALL])}\n"


def test_a_wrong_revision_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SINCE", "no-such-branch")
    assert changed.main() == 1
    assert capsys.readouterr().err.startswith("SINCE: 'no-such-branch' can't be compared with: ")
