"""The fleet as one thing: start it, stop it, look at it, and harm it in tests."""

import contextlib
import errno
import fcntl
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from fleet.cleanup import end_all, uninterrupted
from fleet.composition import PORTS, Compose, compose
from fleet.errors import BusyError, FleetError, StartError
from fleet.keys import Keys
from fleet.layout import DEFAULT_STATE, Layout
from fleet.manager import Manager, ProcessState
from fleet.ports import choose_ports, hold, read_ports
from fleet.programs import Program
from fleet.services import Addresses, Overrides
from fleet.tether import tether
from ml_shared.testing.binaries import BinaryMissingError
from ml_shared.testing.postgres_setup import PostgresSetupError

START_TIMEOUT_SECONDS = 240.0
# a machine that does other things takes minutes; what ends instead of starting is noticed at once
LOCK_TIMEOUT_SECONDS = 270.0
# somewhat more than a start may take
POLL_SECONDS = 0.05
ASKED_AGAIN_AFTER = 0.1
# of the time that a program has taken so far
NOTICE_SECONDS = 60.0
LOG_TAIL_LINES = 25
DEAD_STATES = ("BACKOFF", "FATAL", "EXITED", "STOPPED", "UNKNOWN")


def _quiet(_: str) -> None:
    """Say nothing."""


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _suspend(process: psutil.Process) -> list[psutil.Process]:
    """Suspend a process and all that come from it, also what is forked meanwhile, and return them."""
    suspended: list[psutil.Process] = []
    while new := [one for one in _family(process) if one not in suspended]:
        for one in new:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()
        suspended += new
    return suspended


@dataclass
class _Starting:
    """A program that was started and can't be used yet.

    Asking costs time that starting programs need, so the longer one takes the less often it is asked: noticing late
    makes a start longer by a tenth at most.
    """

    program: Program
    since: float
    next_at: float = 0.0

    def is_due(self, now: float) -> bool:
        return now >= self.next_at

    def ask_later(self, now: float) -> None:
        self.next_at = now + (now - self.since) * ASKED_AGAIN_AFTER


class Fleet:
    """One fleet and its state folder. Two with different folders run side by side.

    Parameters
    ----------
    state
        Folder of its data, keys, logs and ports.
    overrides
        Settings by service (`scraper`) or by program (`scraper-api`, `scraper-worker`, `endpoint`), over its own.
    gateway_port
        A port that the gateway gets when it is free.
    say
        Called with each line of progress.
    programs
        What the fleet is made of; tests of the fleet itself give their own.
    tied
        Whether the fleet ends with the process that started it, however that ends.
    """

    def __init__(
        self,
        state: Path = DEFAULT_STATE,
        *,
        overrides: Overrides | None = None,
        gateway_port: int | None = None,
        say: Callable[[str], None] = _quiet,
        programs: Compose = compose,
        tied: bool = False,
    ) -> None:
        self.layout = Layout(state.absolute())
        self.manager = Manager(self.layout)
        self._overrides = overrides or {}
        self._preferred = {"gateway": gateway_port} if gateway_port else {}
        self._say = say
        self._compose = programs
        self._tied = tied
        self._programs: list[Program] = []
        self._held = contextlib.ExitStack()

    # what it is

    @property
    def is_up(self) -> bool:
        """Whether it was started, and its manager still runs."""
        return self.manager.ready

    @property
    def keys(self) -> Keys:
        """The keys by name: `user`, `other-user`, `orchestrator`, `scraper`, `embedding` and passwords."""
        self.layout.make()
        return Keys(self.layout.keys)

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports by program; those of the last start."""
        return read_ports(self.layout.ports)

    @property
    def addresses(self) -> Addresses:
        """The URLs of everything: `addresses.url("gateway")`, `.redis("redis-orch")`, `.database(…)`."""
        return Addresses(self.ports, self.keys)

    @property
    def gateway(self) -> str:
        """The gateway's URL, without a slash at the end."""
        return self.addresses.url("gateway")

    def log(self, name: str) -> Path:
        """Return the log file of one program."""
        return self.layout.log(name)

    # its life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> bool:
        """Start everything and wait until it can be used. False when it was up already.

        What an earlier fleet in this folder left is ended first. If it can't be started, or is interrupted, nothing of
        it is left running.
        """
        self.layout.make()
        with self._lock():
            if self.is_up:
                return False
            self._end()
            try:
                self._programs = [*self._make_programs(), *([tether(self.layout)] if self._tied else [])]
                self.manager.start(self._programs)
                self._start_in_order(time.monotonic() + timeout_seconds)
                self.manager.mark_ready()
            except BaseException:
                with uninterrupted():
                    self._end()
                raise
            return True

    def stop(self) -> bool:
        """End everything, in order. False when nothing was running."""
        if not self.layout.state.exists():
            return False
        self.layout.make()
        with self._lock(), uninterrupted():
            return self._end()

    def _make_programs(self) -> list[Program]:
        ports = choose_ports(self.layout.ports, PORTS, preferred=self._preferred)
        # from now on until it stops: programs start one after the other, and one that is restarted listens nowhere meanwhile
        self._held = hold(ports.values())
        try:
            return self._compose(self.layout, ports, self.keys, self._overrides)
        except (BinaryMissingError, PostgresSetupError) as error:
            raise FleetError(str(error)) from error

    def _end(self) -> bool:
        was_running = self.manager.process is not None
        self.manager.stop()
        left = end_all(self.layout.state)
        self._held.close()
        shutil.rmtree(self.layout.run, ignore_errors=True)
        self.layout.make()
        return was_running or left > 0

    def _start_in_order(self, deadline: float) -> None:
        waiting = {program.name: program for program in self._programs}
        starting: dict[str, _Starting] = {}
        ready: set[str] = set()
        began = time.monotonic()
        while waiting or starting:
            for program in [one for one in waiting.values() if ready.issuperset(one.needs)]:
                del waiting[program.name]
                self.manager.start_program(program)
                starting[program.name] = _Starting(program, time.monotonic())
            due = [one for one in starting.values() if one.is_due(time.monotonic())]
            states = {state.name: state for state in self.manager.states()} if due else {}
            for one in due:
                program, now = one.program, time.monotonic()
                if self._is_ready(program, states[program.name]):
                    if program.after is not None:
                        program.after()
                    del starting[program.name]
                    ready.add(program.name)
                    self._say(f"{now - began:6.1f} s  {program.name} ({now - one.since:.1f} s)")
                else:
                    one.ask_later(now)
            if time.monotonic() > deadline:
                raise StartError(f"not ready in time: {', '.join(starting)}\n{self._tails(starting)}")
            if starting:
                time.sleep(POLL_SECONDS)

    def _is_ready(self, program: Program, state: ProcessState) -> bool:
        if program.once:
            if state.state == "EXITED" and state.exit_status:
                raise StartError(f"{program.name} failed\n{self._tails([program.name])}")
            return state.state == "EXITED"
        if state.state in DEAD_STATES:
            raise StartError(f"{program.name} ended right after its start\n{self._tails([program.name])}")
        return program.ready()

    def _tails(self, names: Iterable[str]) -> str:
        parts = []
        for name in names:
            with contextlib.suppress(OSError):
                lines = self.log(name).read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
                parts += [f"--- the end of {self.log(name)}", *lines]
        return "\n".join(parts)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one `up` or `down` of this folder work at a time. The system lets go when its process ends."""
        with self.layout.lock.open("w") as file:
            deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
            told = False
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES):
                        raise
                if not told:
                    self._say("waiting for another `up` or `down` of this fleet to finish")
                    told = True
                if time.monotonic() > deadline:
                    raise BusyError(f"another `up` or `down` of {self.layout.state} is still under way")
                time.sleep(POLL_SECONDS)
            yield

    # its parts

    def states(self) -> list[ProcessState]:
        """Return the state of every program."""
        return self.manager.states()

    def process(self, name: str) -> psutil.Process:
        """Return the running main process of a program."""
        for state in self.states():
            if state.name == name:
                if state.pid is None:
                    raise FleetError(f"{name} is not running")
                return psutil.Process(state.pid)
        raise FleetError(f"no process is named {name!r}")

    def kill(self, name: str, *, children: bool = True) -> int:
        """End a program as a crash would (SIGKILL), and return its process id. The manager starts it again.

        It returns once the manager has noticed, so that nobody takes what was killed for what is running.
        """
        process = self.process(name)
        self._kill(_family(process) if children else [process])
        self._wait_until_noticed(name, process.pid)
        return int(process.pid)

    def knock_out(self, name: str) -> None:
        """End a program as a crash would (SIGKILL), and keep it down until `start_program`."""
        process = self.process(name)
        # so that the manager's signal, which tells it not to start this again, does nothing
        victims = _suspend(process)
        self.manager.let_end(name)
        self._kill(victims)
        self._wait_until_noticed(name, process.pid)

    @staticmethod
    def _kill(victims: list[psutil.Process]) -> None:
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()

    def _wait_until_noticed(self, name: str, pid: int) -> None:
        deadline = time.monotonic() + NOTICE_SECONDS
        while any(state.name == name and state.pid == pid for state in self.states()):
            if time.monotonic() > deadline:
                raise FleetError(f"the manager has not noticed within {NOTICE_SECONDS} s that {name} is gone")
            time.sleep(POLL_SECONDS)

    def stop_program(self, name: str) -> None:
        """Stop one program; it stays down until `start_program`."""
        self.manager.stop_program(name)

    def start_program(self, name: str, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Start a program that was stopped, and wait until it is ready."""
        self.manager.start_again(name)
        self.wait_ready(name, timeout_seconds=timeout_seconds)

    def restart(
        self, name: str, timeout_seconds: float = START_TIMEOUT_SECONDS, settings: Mapping[str, str] | None = None
    ) -> None:
        """Stop one program in order, start it, with other settings from now on if some are given, and wait for it."""
        self.stop_program(name)
        if settings is not None:
            self._overrides = {**self._overrides, name: {**self._overrides.get(name, {}), **settings}}
            self._programs = self._compose(self.layout, self.ports, self.keys, self._overrides)
            next(program for program in self._programs if program.name == name).write(self.layout)
        self.start_program(name, timeout_seconds)

    def wait_ready(self, *names: str, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Wait until these programs, or all of them, can be used: after `kill`, say."""
        if not self._programs:  # started by another process
            self._programs = self._compose(self.layout, self.ports, self.keys, self._overrides)
        waited = [program for program in self._programs if not program.once and (not names or program.name in names)]
        deadline = time.monotonic() + timeout_seconds
        for program in waited:
            while not self._usable(program):
                if time.monotonic() > deadline:
                    raise StartError(f"{program.name} is not ready\n{self._tails([program.name])}")
                time.sleep(POLL_SECONDS)

    def _usable(self, program: Program) -> bool:
        running = any(state.name == program.name and state.pid is not None for state in self.states())
        return running and program.ready()
