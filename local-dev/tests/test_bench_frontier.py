"""The simulation of large crawls: that it drives the service itself to the end of a run, and keeps its figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOCAL_DEV = Path(__file__).resolve().parents[1]


@pytest.mark.timeout(300)
def test_it_drives_a_run_to_its_end_and_keeps_the_figures(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    asked = ["--hosts", "10", "--pages", "10", "--listed", "300", "--json", str(kept)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.frontier", *asked],
        cwd=LOCAL_DEV,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    figures = json.loads(kept.read_text())["figures"]
    # of a hundred pages the last are alone under way, and a newcomer is at most one job behind
    assert figures["another owner's wait, in durations of a job, worst"] <= 4, "a count of hand-outs, not a time"
    assert figures["database, bytes a page"] > 0
    assert figures["frontier insertions a second"] > 0
    head = done.stdout.splitlines()[0]
    assert head.startswith("another owner's wait"), "ratios come first"
