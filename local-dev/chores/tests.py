"""Runs the tests of each folder in turn and says how many passed in all: `python -m chores.tests [FOLDER …] [-- …]`."""

import os
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
PARALLEL = ("-n", "auto")
FOUR = ("-n", str(max(4, os.cpu_count() or 1)))
WAITING = {"ml-shared": FOUR, "orchestrator": FOUR}
# whose tests wait for processes and databases most of the time: more of them than processors
WITH_A_FLEET = {"end to end": "tests/e2e", "attacks": "tests/attack"}
# one after the other: two fleets at once would take twice the memory, and each other's time
IGNORED = [part for tests in (*WITH_A_FLEET.values(), "tests/compose") for part in ("--ignore", tests)]
# the last needs Docker and minutes: `make test-compose`


@dataclass(frozen=True)
class Suite:
    """Tests that run together: a folder's, and how."""

    name: str
    folder: str
    options: tuple[str, ...] = PARALLEL


def suites(folders: list[str]) -> list[Suite]:
    """Return what to run for these folders."""
    found: list[Suite] = []
    for folder in folders:
        if folder != "local-dev":
            found += (
                [Suite(folder, folder, WAITING.get(folder, PARALLEL))]
                if (REPOSITORY / folder / "tests").is_dir()
                else []
            )
            continue
        # a fleet is dear to start: the tests of one file share theirs
        found.append(Suite("local-dev", folder, (*PARALLEL, "--dist", "loadfile", *IGNORED)))
        found += [
            Suite(name, folder, (tests,))
            for name, tests in WITH_A_FLEET.items()
            if (REPOSITORY / folder / tests).is_dir()
        ]
    return found


@dataclass
class Outcome:
    """What one folder's tests came to."""

    name: str
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
        return f"  {self.name:<14}{counts} {self.seconds:>7.1f} s  {verdict}"


def run(suite: Suite, arguments: list[str]) -> Outcome:
    """Run one suite, its output shown as it comes."""
    outcome = Outcome(suite.name)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ml-tests-") as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *suite.options, *arguments]
        status = subprocess.run(command, cwd=REPOSITORY / suite.folder, env=environment(), check=False).returncode
        outcome.broken = status not in (0, NO_TESTS)
        if report.exists():
            for part in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 - our own
                total, skipped = int(part.get("tests", 0)), int(part.get("skipped", 0))
                failed = int(part.get("failures", 0)) + int(part.get("errors", 0))
                outcome.passed += total - skipped - failed
                outcome.failed += failed
                outcome.skipped += skipped
    outcome.seconds = time.monotonic() - began
    return outcome


def main(arguments: list[str]) -> int:
    """Run the tests and return the exit status."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen_suites = suites(chosen(arguments[:split]))
    outcomes: list[Outcome] = []
    for number, suite in enumerate(chosen_suites, 1):
        print(f"\n[{number}/{len(chosen_suites)}] {suite.name}", flush=True)
        try:
            outcomes.append(run(suite, arguments[split + 1 :]))
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
