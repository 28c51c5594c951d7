"""Runs the tests of each folder and says how many passed in all: `python -m chores.tests [FOLDER …] [-- …]`.

Tests that have a fleet wait most of the time, so they run beside those of the folders, which have what of the processors
the fleets leave. Either run one after the other; who is done first takes what the folders have left. On a slow machine nothing
runs beside anything: a fleet that works for all of that time would not keep to its own limits.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final
from xml.etree import ElementTree

from chores.folders import LOCAL_DEV, REPOSITORY, chosen, environment
from ml_shared.testing.pace import slowness

NO_TESTS = 5
# pytest's exit status when it found nothing to run, as with `-k` and a word of another folder
PARALLEL = ("-n", "auto")
FOUR = ("-n", str(max(4, os.cpu_count() or 1)))
WAITING = {"ml-shared": FOUR, "orchestrator": FOUR, "gateway-vm": FOUR}
# whose tests wait for processes and databases most of the time: more of them than processors
PACKAGES_IN = {"gateway-vm": ("gateway-vm/client",)}
# packages of their own within a folder, with tests of their own
END_TO_END = "tests/e2e"
OF_THE_CONSOLE = "test_e2e_console*.py"
WITH_A_FLEET = {
    "end to end": (END_TO_END, f"--ignore-glob=*/{OF_THE_CONSOLE}"),
    "console": tuple(f"{END_TO_END}/{path.name}" for path in sorted((LOCAL_DEV / END_TO_END).glob(OF_THE_CONSOLE))),
    "attacks": ("tests/attack",),
}
# one after the other: two fleets at once, beside the folders, take each other's time, and what they wait for has deadlines
IGNORED = [part for tests in (END_TO_END, "tests/attack", "tests/compose") for part in ("--ignore", tests)]
# the last needs Docker and minutes: `make test-compose`
POLITE = ("nice", "-n", "5")
# a fleet's tests wait for what others do, and have deadlines; a folder's only take as long as they take
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the folder made in it is ours alone
SLOW: Final = 1.75
# times what the machine takes on which the suites were arranged
MEASUREMENTS: Final = 5
ROOM_BYTES: Final = 4 * 2**30
# twice what all servers of all tests have in files at one time


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
            found += [
                Suite(part.rpartition("/")[2], part, WAITING.get(part, PARALLEL))
                for part in (folder, *PACKAGES_IN.get(folder, ()))
                if (REPOSITORY / part / "tests").is_dir()
            ]
            continue
        # a fleet is dear to start: the tests of one file share theirs
        found.append(Suite("local-dev", folder, (*PARALLEL, "--dist", "loadfile", *IGNORED)))
        found += [Suite(name, folder, tests) for name, tests in WITH_A_FLEET.items() if tests]
    return found


@dataclass
class Outcome:
    """What one folder's tests came to."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    broken: bool = False

    @property
    def line(self) -> str:
        """One line of the table."""
        verdict = "FAILED" if self.broken else "ok"
        counts = f"{self.passed:>5} passed {self.failed:>4} failed {self.skipped:>4} skipped"
        return f"  {self.name:<14}{counts} {self.seconds:>7.1f} s {self.processor_seconds:>7.1f} s of processors  {verdict}"


@contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder for all temporary files of a run: in memory if there is room, since making a database is making files."""
    roomy = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK)
    in_memory = roomy and shutil.disk_usage(SHARED_MEMORY).free >= ROOM_BYTES
    with tempfile.TemporaryDirectory(prefix="ml-tests-", dir=SHARED_MEMORY if in_memory else None) as folder:
        yield folder


def environment_of_tests(scratch: Path) -> dict[str, str]:
    """Return the environment of a run, whose temporary files go to this folder.

    What Python compiles is kept, whatever the caller's environment says, as at an installation: every process of a run
    would else compile anew what it imports, and there are hundreds.
    """
    wanted = {**environment(), "TMPDIR": str(scratch)}
    wanted.pop("PYTHONDONTWRITEBYTECODE", None)
    return wanted


class Run:
    """One run of all suites: each ends with its outcome."""

    def __init__(self, suites: list[Suite], arguments: list[str], scratch: str, *, beside: bool) -> None:
        self._suites = suites
        self._beside = beside
        self._arguments = arguments
        self._scratch = Path(scratch)
        self._printing = threading.Lock()
        self._begun = 0
        self._interrupted = False

    def outcomes(self) -> list[Outcome]:
        """Run all suites and return their outcomes, in the suites' order."""
        lanes = self._lanes()
        together = len(lanes) > 1
        with ThreadPoolExecutor(len(lanes)) as threads:
            try:
                done = list(threads.map(lambda lane: [self._run(suite, together=together) for suite in lane], lanes))
            except KeyboardInterrupt:  # the running suites have it, too; no other begins
                self._interrupted = True
                raise
        found = {outcome.name: outcome for lane in done for outcome in lane}
        return [found[suite.name] for suite in self._suites]

    def _lanes(self) -> list[Iterator[Suite]]:
        """Return what runs beside each other: the folders' suites, and those with a fleet."""
        fleets = deque(suite for suite in self._suites if suite.name in WITH_A_FLEET)
        folders = deque(suite for suite in self._suites if suite.name not in WITH_A_FLEET)
        if not self._beside:
            return [self._lane(fleets + folders)]
        beside = [self._lane(fleets, folders)] if fleets else []
        return [self._lane(folders), *beside] if folders else beside

    def _lane(self, own: "deque[Suite]", others: "deque[Suite] | None" = None) -> Iterator[Suite]:
        """Yield the suites that run one after the other: its own, and then the last of another lane's."""
        while not self._interrupted:
            try:
                yield own.popleft() if own or others is None else others.pop()
            except IndexError:
                return

    def _run(self, suite: Suite, *, together: bool) -> Outcome:
        """Run one suite; its output is shown as it comes, or kept until its end where others run beside it."""
        outcome = Outcome(suite.name)
        began = time.monotonic()
        report = self._scratch / f"{suite.name}.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *suite.options, *self._arguments]
        if together and suite.name not in WITH_A_FLEET and shutil.which(POLITE[0]):
            command = [*POLITE, *command]
        if not together:
            self._head(suite)
        with subprocess.Popen(
            command,
            cwd=REPOSITORY / suite.folder,
            env=environment_of_tests(self._scratch),
            stdout=subprocess.PIPE if together else None,
            stderr=subprocess.STDOUT if together else None,
        ) as process:
            said = process.stdout.read() if process.stdout is not None else b""
            # as `process.wait`, which does not say what the process and all that it waited for itself have taken
            _, status, taken = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if together:
            self._head(suite, said)
        outcome.broken = process.returncode not in (0, NO_TESTS)
        outcome.processor_seconds = taken.ru_utime + taken.ru_stime
        if report.exists():
            for part in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 - our own
                total, skipped = int(part.get("tests", 0)), int(part.get("skipped", 0))
                failed = int(part.get("failures", 0)) + int(part.get("errors", 0))
                outcome.passed += total - skipped - failed
                outcome.failed += failed
                outcome.skipped += skipped
        outcome.seconds = time.monotonic() - began
        return outcome

    def _head(self, suite: Suite, said: bytes = b"") -> None:
        with self._printing:
            self._begun += 1
            print(f"\n[{self._begun}/{len(self._suites)}] {suite.name}\n{said.decode(errors='replace')}", flush=True)


def main(arguments: list[str]) -> int:
    """Run the tests and return the exit status."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    began = time.monotonic()
    slow = median(slowness() for _ in range(MEASUREMENTS))
    if slow > SLOW:
        print(f"A slow machine ({slow:.1f} times what is usual): the suites run one after the other.", flush=True)
    try:
        with temporary_folder() as scratch:
            run = Run(suites(chosen(arguments[:split])), arguments[split + 1 :], scratch, beside=slow <= SLOW)
            outcomes = run.outcomes()
    except KeyboardInterrupt:
        return 130
    seconds = time.monotonic() - began
    print("\nTests")
    for outcome in outcomes:
        print(outcome.line)
    passed, failed, skipped = (
        sum(getattr(outcome, name) for outcome in outcomes) for name in ("passed", "failed", "skipped")
    )
    print(f"{passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f} s")
    return 1 if any(outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
