"""What `make test` does with the suites: which there are, which run beside each other, what is said of them."""

import os
from fnmatch import fnmatch
from pathlib import Path

import pytest
from chores import tests as chore
from chores.folders import ALL, LOCAL_DEV
from chores.tests import PACKAGES_IN, WITH_A_FLEET, Outcome, Suite, main, suites, temporary_folder

GOOD = "def test_good(tmp_path): assert str(tmp_path).startswith(__import__('os').environ['TMPDIR'])\n"
BAD = "def test_bad(): assert False\n"
KEEPS_BYTECODE = "import sys\ndef test_keeps(): assert not sys.dont_write_bytecode\n"
SKIPPED = "import pytest\n@pytest.mark.skip\ndef test_skipped(): pass\n"
MEETING = """
import os, pathlib, time
def test_meets_the_other():
    here = pathlib.Path(os.environ["TMPDIR"])
    (here / {own!r}).touch()
    for _ in range(1200):
        if (here / {other!r}).exists(): return
        time.sleep(0.05)
    raise AssertionError("nobody ran beside it")
"""
BUSY = """
import subprocess, sys
WORK = "import time\\nwhile time.process_time() < 1: pass"
def test_has_a_process_that_works(): subprocess.run([sys.executable, "-c", WORK], check=True)
"""
ALONE = """
import os, pathlib, time
def test_is_alone():
    place = pathlib.Path(os.environ["TMPDIR"]) / "a fleet"
    place.touch(exist_ok=False)
    time.sleep(0.5)
    place.unlink()
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(chore, "REPOSITORY", tmp_path)
    monkeypatch.setattr(chore, "slowness", lambda: 1.0)
    # what is installed beside pytest is no part of these suites, and most of what their starts would take
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return tmp_path


def give(monkeypatch: pytest.MonkeyPatch, tree: Path, contents: dict[str, str]) -> None:
    """Have these be all suites, each of one file."""
    for name, content in contents.items():
        (tree / name / "tests").mkdir(parents=True)
        (tree / name / "tests" / "test_it.py").write_text(content)
    found = [Suite(name, name, ("-p", "no:cacheprovider")) for name in contents]
    monkeypatch.setattr(chore, "suites", lambda _: found)


def test_every_folder_has_its_suite_and_fleets_have_their_own() -> None:
    found = suites(list(ALL))
    assert [suite.folder for suite in found if "/" not in suite.folder][: len(ALL)] == [*ALL]
    assert [suite.name for suite in found][len(ALL) + 1 :] == [*WITH_A_FLEET]


def test_a_package_within_a_folder_has_its_suite_beside_the_folders() -> None:
    assert [suite.folder for suite in suites(["gateway-vm"])] == ["gateway-vm", *PACKAGES_IN["gateway-vm"]]
    assert [suite.name for suite in suites(["gateway-vm"])] == ["gateway-vm", "client"]
    assert {suite.folder for suite in suites(["scraper"])} == {"scraper"}


def test_what_came_of_each_suite_is_told_in_their_order_and_one_failure_fails_all(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, tree, {"one": GOOD + SKIPPED, "attacks": GOOD, "two": GOOD + BAD})
    assert main([]) == 1
    said = capfd.readouterr().out
    table = said[said.index("\nTests\n") :].splitlines()[2:]
    assert [line.split()[:7:2] for line in table[:3]] == [
        ["one", "passed", "failed", "skipped"],
        ["attacks", "passed", "failed", "skipped"],
        ["two", "passed", "failed", "skipped"],
    ]
    assert [line.split()[1:6:2] for line in table[:3]] == [["1", "0", "1"], ["1", "0", "0"], ["1", "1", "0"]]
    assert table[3].startswith("3 passed, 1 failed, 1 skipped in ")
    assert "test_bad" in said


def test_what_each_suite_took_of_the_processors_is_told_with_what_its_processes_took(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, tree, {"one": GOOD, "attacks": BUSY})
    assert main([]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.endswith("s of processors  ok")]
    idle, busy = (float(line.split()[-5]) for line in lines)
    assert idle > 0
    assert busy > 1


def test_suites_with_a_fleet_run_beside_the_others(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = MEETING.format(own="a", other="b"), MEETING.format(own="b", other="a")
    give(monkeypatch, tree, {"one": first, "attacks": second})
    assert main([]) == 0


def test_who_is_done_with_the_fleets_takes_what_the_others_have_left(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = MEETING.format(own="a", other="b"), MEETING.format(own="b", other="a")
    give(monkeypatch, tree, {"one": first, "attacks": GOOD, "two": GOOD, "three": last})
    assert main([]) == 0


def test_one_fleet_is_up_at_a_time(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, tree, {"one": GOOD, "end to end": ALONE, "console": ALONE, "attacks": ALONE})
    assert main([]) == 0


def test_on_a_slow_machine_nothing_runs_beside_a_fleet(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chore, "slowness", lambda: 3.0)
    give(monkeypatch, tree, {"one": ALONE, "attacks": ALONE, "two": ALONE})
    assert main([]) == 0
    said = capfd.readouterr().out
    assert said.startswith("A slow machine (3.0 times what is usual)")
    assert said.index("[1/3] attacks") < said.index("[2/3] one") < said.index("[3/3] two")


def test_beside_fleets_a_folders_tests_have_what_these_leave_of_the_processors(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nice, own = "import os\ndef test_is_polite(): assert os.nice(0) == {}\n", os.nice(0)
    give(monkeypatch, tree, {"one": nice.format(min(own + 5, 19)), "attacks": nice.format(own)})
    assert main([]) == 0


def test_every_test_with_a_fleet_is_in_one_of_their_suites() -> None:
    options = {suite.name: suite.options for suite in suites(["local-dev"])}
    files = {path.name for path in (LOCAL_DEV / "tests" / "e2e").glob("test_*.py")}
    consoles = {Path(word).name for word in options["console"]}
    (pattern,) = [word.partition("=")[2] for word in options["end to end"] if "ignore-glob" in word]
    assert consoles
    assert {name for name in files if fnmatch(f"tests/e2e/{name}", pattern)} == consoles


def test_one_suite_alone_is_shown_as_it_comes(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, tree, {"one": GOOD})
    assert main([]) == 0
    said = capfd.readouterr().out
    assert said.index("[1/1] one") < said.index("1 passed") < said.index("\nTests\n")


def test_what_python_compiles_is_kept_for_all_processes_of_a_run(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    give(monkeypatch, tree, {"one": KEEPS_BYTECODE})
    assert main([]) == 0


def test_the_folder_of_a_run_is_gone_with_what_is_in_it() -> None:
    with temporary_folder() as folder:
        (Path(folder) / "kept").write_text("")
        assert Path(folder).stat().st_mode & 0o077 == 0
    assert not os.path.exists(folder)


def test_a_folder_in_memory_is_taken_only_where_there_is_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    monkeypatch.setattr(chore, "SHARED_MEMORY", memory)
    with temporary_folder() as folder:
        assert not Path(folder).is_relative_to(memory)
    memory.mkdir()
    monkeypatch.setattr(chore, "ROOM_BYTES", 0)
    with temporary_folder() as folder:
        assert Path(folder).is_relative_to(memory)
    monkeypatch.setattr(chore, "ROOM_BYTES", 2**80)
    with temporary_folder() as folder:
        assert not Path(folder).is_relative_to(memory)


def test_a_suite_that_broke_before_its_tests_is_shown_as_failed() -> None:
    assert Outcome("one", broken=True).line.endswith("FAILED")
