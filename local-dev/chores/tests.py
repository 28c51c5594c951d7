"""Runs the tests of each folder in turn and says how many passed in all: `python -m chores.tests [FOLDER …] [-- …]`."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from chores.folders import REPOSITORY, chosen, environment

NO_TESTS = 5
# pytest's exit status when it found nothing to run, as with `-k` and a word of another folder
WORKERS = "auto"


@dataclass
class Outcome:
    """What one folder's tests came to."""

    folder: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    broken: bool = False

    @property
    def line(self) -> str:
        """One line of the table."""
        verdict = "FAILED" if self.broken else "ok"
        counts = f"{self.passed:>5} passed {self.failed:>4} failed {self.skipped:>4} skipped"
        return f"  {self.folder:<14}{counts} {self.seconds:>7.1f} s  {verdict}"


def run(folder: str, arguments: list[str]) -> Outcome:
    """Run one folder's tests, their output shown as it comes."""
    outcome = Outcome(folder)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ml-tests-") as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "-n", WORKERS, *arguments]
        # a fleet is dear to start: the tests of one file share theirs
        command += ["--dist", "loadfile"] if folder == "local-dev" else []
        status = subprocess.run(command, cwd=REPOSITORY / folder, env=environment(), check=False).returncode
        outcome.broken = status not in (0, NO_TESTS)
        if report.exists():
            for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 - our own
                total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
                failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                outcome.passed += total - skipped - failed
                outcome.failed += failed
                outcome.skipped += skipped
    outcome.seconds = time.monotonic() - began
    return outcome


def main(arguments: list[str]) -> int:
    """Run the tests and return the exit status."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    folders = [name for name in chosen(arguments[:split]) if (REPOSITORY / name / "tests").is_dir()]
    outcomes: list[Outcome] = []
    for number, folder in enumerate(folders, 1):
        print(f"\n[{number}/{len(folders)}] {folder}", flush=True)
        try:
            outcomes.append(run(folder, arguments[split + 1 :]))
        except KeyboardInterrupt:
            return 130
    print("\nTests")
    for outcome in outcomes:
        print(outcome.line)
    passed, failed, skipped, seconds = (
        sum(getattr(outcome, name) for outcome in outcomes) for name in ("passed", "failed", "skipped", "seconds")
    )
    print(f"{passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f} s")
    return 1 if any(outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
