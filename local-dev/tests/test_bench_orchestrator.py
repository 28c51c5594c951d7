"""The bench of the orchestrator: that it measures the service itself, keeps its figures and shows them beside earlier ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.orchestrator.report import lines

LOCAL_DEV = Path(__file__).resolve().parents[1]


def test_ratios_come_first_and_a_change_is_a_multiple_of_the_earlier_figure() -> None:
    head, *rows = lines({"jobs a second": 10.0, "a pass ÷ another": 1.5}, {"jobs a second": 5.0})
    assert [row.split("  ")[0] for row in rows] == ["a pass ÷ another", "jobs a second"]
    assert head.endswith("×")
    assert rows[1].endswith("2.00")


@pytest.mark.timeout(300)
def test_it_measures_the_service_and_keeps_the_figures(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench.orchestrator", "--quick", "--json", str(kept)],
        cwd=LOCAL_DEV,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    figures = json.loads(kept.read_text())["figures"]
    may_be_none = ("before a newcomer", "for them")  # so few streams take no memory that could be measured
    assert all(value > 0 for name, value in figures.items() if not any(word in name for word in may_be_none)), figures
    assert figures["a newcomer's wait, in durations of a job"] < 2, "a count of hand-outs, not a time"
    assert "callbacks a second" in done.stdout
