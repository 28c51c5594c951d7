"""Where attacks happen: a fleet of its own, the attackers' programs, and a victim who is served, or is not."""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import psutil
from fleet import Fleet
from fleet.layout import LOCAL_DEV
from fleet.memory import memory_of

from ml_shared.names import Header, Service

ATTACKER: Final = "127.0.0.2"
# an address of its own: what the gateway counts by address is not to count against the victim
VICTIM_TIMEOUT_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.1
# between two requests of the victim, who stays well below what the gateway lets an address ask
PATIENCE: Final = 20
LOOK_SECONDS: Final = 0.25
# between two looks at the memory
AS_DEPLOYED: Final = {"RATE_LIMIT_TIERS": "default=100000", "RATE_LIMIT_CAPACITY": "200000", "API_PROCESSES": "2"}
# the victim is measured some thousand times a minute; what is tried here is not the limit on requests


@dataclass(frozen=True)
class Scale:
    """How hard it is attacked, and what the victim may notice of it.

    Attributes
    ----------
    seconds
        How long a flood lasts.
    before
        Requests by which the victim's idle time is known.
    megabytes, at_once, connections
        Of a flood.
    slack_seconds
        What a victim's median request may take beyond its idle time.
    anew_seconds
        What a task may take longer than usual whose worker's children were killed.
    """

    seconds: float
    before: int
    megabytes: int
    at_once: int
    connections: int
    slack_seconds: float
    anew_seconds: float


SHORT: Final = Scale(5, before=15, megabytes=16, at_once=12, connections=500, slack_seconds=1.5, anew_seconds=45)
# of every run of the tests, on machines that do other things meanwhile: what it has to find took seconds
FULL: Final = Scale(
    30, before=100, megabytes=46, at_once=100, connections=9_000, slack_seconds=0.1, anew_seconds=4
)  # two seconds until a task starts anew, and as much for a machine that does other things
LEAST_REQUESTS: Final = 9
# by which a median is known, where one that met a machine that stalled is not to be it


@dataclass
class Series:
    """How long the victim's requests took, in seconds, and what those that failed said."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def percentile(self, hundredth: int) -> float:
        """Return a percentile by nearest rank; infinity where nothing was served."""
        if not self.seconds:
            return math.inf
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(len(ordered) * hundredth / 100) - 1)]


@dataclass
class Outcome:
    """What came of one attack.

    Attributes
    ----------
    before, during
        The victim's requests.
    memory_before, memory_peak
        Bytes of the programs that were attacked.
    lost
        Processes of the fleet that ended.
    faults
        What should not have happened, in words.
    note
        What the attackers came to, for the table.
    delays_are_meant
        Whether the victim waits by necessity, and the attack itself says how long he may.
    """

    before: Series = field(default_factory=Series)
    during: Series = field(default_factory=Series)
    memory_before: float = 0.0
    memory_peak: float = 0.0
    lost: int = 0
    faults: list[str] = field(default_factory=list)
    note: str = ""
    delays_are_meant: bool = False


class Ground:
    """A running fleet, seen as an attacker and as a victim see it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.gateway = fleet.gateway
        self.attacker_key = fleet.keys["user"]
        self.victim = httpx.Client(
            base_url=self.gateway,
            headers={Header.API_KEY: fleet.keys["other-user"]},
            timeout=VICTIM_TIMEOUT_SECONDS,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.victim.close()

    def port(self, name: str) -> int:
        """Return the port of a program."""
        return self.fleet.ports[name]

    def url(self, service: str, path: str = "") -> str:
        """Return the address of a service itself, which only its peers and the gateway should reach."""
        return self.fleet.addresses.url(service, path)

    def ask(self, client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask once, and again where the gateway says that it was too often."""
        for _ in range(PATIENCE):
            answer = client.request(method, path, **more)
            if answer.status_code != 429:
                break
            time.sleep(float(answer.headers[Header.RETRY_AFTER]))
        return answer

    def measure(self, ask: Callable[[httpx.Client], httpx.Response], times: int, until: float = math.inf) -> Series:
        """Have the victim ask so many times, or a few times until a moment of the monotonic clock has come."""
        series = Series()
        while (asked := len(series.seconds) + len(series.failures)) < times:
            if asked >= LEAST_REQUESTS and time.monotonic() >= until:
                break
            began = time.monotonic()
            try:
                answer = ask(self.victim)
            except httpx.HTTPError as error:
                series.failures.append(type(error).__name__)
            else:
                if answer.is_success:
                    series.seconds.append(time.monotonic() - began)
                else:
                    series.failures.append(f"{answer.status_code} {answer.text[:80]}")
            time.sleep(PAUSE_SECONDS)
        return series

    @contextmanager
    def attackers(self, flood: str, **plan: Any) -> Iterator[Callable[[], dict[str, Any]]]:
        """Run attackers of one kind in a process of their own, from when they have begun; what is yielded ends them, and
        returns what they say.
        """
        given = json.dumps({"gateway": self.gateway, "address": ATTACKER, **plan})
        process = subprocess.Popen(
            [sys.executable, "-m", "attack.floods", flood],
            cwd=LOCAL_DEV,
            stdin=subprocess.PIPE,  # and not an argument: there is a key in it
            stdout=subprocess.PIPE,
            text=True,
        )
        said: dict[str, Any] = {}

        def end() -> dict[str, Any]:
            if not said:
                output, _ = process.communicate("", timeout=60)
                said.update(json.loads(output or "{}"))
            return said

        try:
            assert process.stdin is not None  # noqa: S101 - it was asked for
            assert process.stdout is not None  # noqa: S101
            process.stdin.write(f"{given}\n")
            process.stdin.flush()
            if process.stdout.readline() != "begun\n":
                raise RuntimeError(f"the attackers' program has not begun its {flood}")
            yield end
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def processes(self, *programs: str) -> dict[str, set[int]]:
        """Return the processes of programs, children included."""
        found = {}
        for name in programs:
            main = self.fleet.process(name)
            found[name] = {main.pid, *(child.pid for child in main.children(recursive=True))}
        return found

    @contextmanager
    def watched(self, outcome: Outcome, *programs: str) -> Iterator[None]:
        """Note memory and processes of programs from before an attack to its end."""
        before = self.processes(*programs)
        outcome.memory_before = self._memory(programs)
        outcome.memory_peak = outcome.memory_before
        over = threading.Event()

        def look() -> None:
            while not over.wait(LOOK_SECONDS):
                outcome.memory_peak = max(outcome.memory_peak, self._memory(programs))

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            outcome.memory_peak = max(outcome.memory_peak, self._memory(programs))
            for pids in before.values():
                outcome.lost += sum(not psutil.pid_exists(pid) for pid in pids)

    def _memory(self, programs: tuple[str, ...]) -> float:
        return sum(memory_of(self.fleet.process(name).pid) for name in programs)

    def logs(self) -> dict[str, str]:
        """Return everything that the fleet has logged, by the file's name."""
        folder = self.fleet.layout.logs
        return {str(path.relative_to(folder)): path.read_text(errors="replace") for path in folder.rglob("*.log")}


def fleet_for_attacks(state: Path, overrides: Mapping[str, Mapping[str, str]]) -> Fleet:
    """Return a fleet whose limits on requests don't get in the way; every other bound is as it is deployed."""
    return Fleet(
        state,
        overrides={str(service): {**AS_DEPLOYED, **overrides.get(str(service), {})} for service in Service},
        tied=True,
    )
