"""The process that forks one for each service that is asked."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from checklist.forking import PRELOADED, Forks

from ml_shared.testing.servers import wait_until

ASK = """
import os, psutil, sys
from pathlib import Path
from checklist.forking import Forks
Forks().run(Path(sys.argv[1]), {"PATH": ""}, [], 60)
print(psutil.Process().children()[0].pid, flush=True)
"""


def test_a_fork_runs_in_its_folder_with_its_environment_alone_and_its_errors_come_back(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text(
        "import os, sys\nprint(os.getcwd(), sorted(os.environ), 'elsewhere' in sys.path)\nraise SystemExit('no more')\n"
    )
    said, errors = Forks().run(tmp_path, {"ONLY": "this"}, ["elsewhere"], 60)
    assert said.splitlines() == [f"{tmp_path} ['ONLY'] True"]
    assert "no more" in errors


def test_a_fork_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    # of the time that it was given it leaves itself a second, once it has begun, however long that took
    hangs = "import signal, time\nleft = signal.alarm(1)\nprint(0 < left <= 250, flush=True)\ntime.sleep(280)\n"
    (tmp_path / "app" / "main.py").write_text(hangs)
    assert Forks().run(tmp_path, {}, [], 250)[0].split() == ["True"]


def test_forks_have_nothing_of_ours_that_was_imported_before(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    names = (
        "[name for name in sys.modules if name.split('.')[0] in ('app', 'ml_shared', 'checklist', 'instrumentation')]"
    )
    (tmp_path / "app" / "main.py").write_text(f"import sys\nprint(sorted({names}), {PRELOADED[0]!r} in sys.modules)\n")
    said, _ = Forks().run(tmp_path, {}, [], 60)
    assert said.splitlines()[0] == "['app', 'app.main'] True"


@pytest.mark.parametrize("how", ["", "os.kill(os.getpid(), 9)"])
def test_it_ends_with_who_asked_however_that_ends(tmp_path: Path, how: str) -> None:
    local_dev = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", f"{ASK}\n{how}", str(tmp_path)]
    done = subprocess.run(command, cwd=local_dev, capture_output=True, text=True, check=False)
    forker = int(done.stdout.split()[-1])
    assert wait_until(lambda: not psutil.pid_exists(forker), 60)
