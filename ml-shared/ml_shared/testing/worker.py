"""A real Celery worker process, with its children, for tests of what only a real one does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from ml_shared.testing import guard
from ml_shared.testing.servers import wait_until

START_TIMEOUT_SECONDS: Final = 60.0
STOP_TIMEOUT_SECONDS: Final = 40.0


class WorkerError(RuntimeError):
    """The worker did not do what it was waited for; the message ends with its output."""


class WorkerProcess:
    """`celery -A <app> worker`, in a process group of its own, until the `with` block ends.

    Parameters
    ----------
    app
        As `-A` takes it.
    queue
        The queue that it listens on.
    folder
        Where it runs; the app is imported from there.
    env
        Variables beside those of this process; `None` takes one away.
    concurrency
        Number of children.
    options
        Further words of its command.
    """

    def __init__(
        self,
        app: str,
        *,
        queue: str,
        folder: Path,
        env: Mapping[str, str | None],
        concurrency: int = 1,
        options: Sequence[str] = (),
    ) -> None:
        self._command = [
            *(sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel=info"),
            *("-Q", queue, f"--concurrency={concurrency}", *options),
        ]
        self._folder = folder
        self._env = {name: value for name, value in {**os.environ, **env}.items() if value is not None}
        self._process: subprocess.Popen[bytes] | None = None
        handle, name = tempfile.mkstemp(prefix="ml-worker-", suffix=".log")
        os.close(handle)
        self._log = Path(name)

    @property
    def pid(self) -> int:
        """The main process."""
        if self._process is None:
            raise WorkerError("the worker does not run")
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its JSON log lines so far."""
        found = []
        for line in self.output.splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    @property
    def running(self) -> bool:
        """Whether the main process runs."""
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[psutil.Process]:
        """The child processes that run tasks."""
        found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        return found

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        guard.watch_process(self._process.pid)
        try:
            self.wait_for(lambda: " ready." in self.output, START_TIMEOUT_SECONDS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._log.unlink(missing_ok=True)

    def wait_for(self, condition: Callable[[], bool], timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Wait until a condition holds.

        Raises
        ------
        WorkerError
            If it does not in time, or the worker has ended meanwhile.
        """
        held = wait_until(lambda: not self.running or condition(), timeout_seconds)
        if not condition():
            raise WorkerError(f"{'in time' if not held else 'before the worker ended'}: no\n{self.output[-6000:]}")

    def terminate(self) -> int:
        """Send SIGTERM, wait until it has ended, and return its exit status."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def send_signal(self, number: int) -> None:
        """Send the main process a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
        """Wait until it has ended, and return its exit status."""
        if self._process is None:
            raise WorkerError("the worker does not run")
        return self._process.wait(timeout_seconds)

    def stop(self) -> None:
        """End it and its children, by force where they don't end by themselves."""
        process, self._process = self._process, None
        if process is None:
            return
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_SECONDS)
        _, alive = psutil.wait_procs(children, timeout=1)
        for child in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        guard.forget_process(process.pid)
