"""A process that has imported the packages of others which all services need, and forks one for each that is asked.

Importing them is most of what asking a service takes, and a service is asked for every planted violation. What is ours
is imported in the fork, from the tree that is looked at.

`python forking.py FD` is that process. Over the socket FD it is sent folder, environment and import path, as JSON, with
the descriptors that are to be the fork's output and its errors; it ends when the socket does.
"""

import atexit
import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

PRELOADED: Final = (
    *(
        "asyncpg",
        "celery.app.base",
        "celery.bin.celery",
        "celery.concurrency.prefork",
        "fastapi",
        "fastapi.openapi.utils",
    ),
    *("httpx", "kombu.transport.redis", "opentelemetry.sdk.trace.export", "opentelemetry.instrumentation.fastapi"),
    *("opentelemetry.instrumentation.celery", "opentelemetry.instrumentation.httpx", "orjson", "prometheus_client"),
    *("psutil", "pydantic_settings", "pythonjsonlogger.json", "redis.asyncio", "uvicorn.logging"),
)
# none that starts a thread when it is imported: a fork would not have it
LENGTH_BYTES: Final = 4
DESCRIBE: Final = Path(__file__).with_name("describe.py")


class Forks:
    """The calling process' own such process, started when it is first needed and ended with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def run(self, folder: Path, environment: Mapping[str, str], paths: Sequence[str], seconds: int) -> tuple[str, str]:
        """Run `describe.py` in a folder, and return what it printed and its errors."""
        with self._lock:
            if self._socket is None:
                self._socket = self._start()
        message = json.dumps([str(folder), dict(environment), list(paths), seconds]).encode()
        (said, says), (failed, fails) = os.pipe(), os.pipe()
        with self._lock:
            socket.send_fds(self._socket, [len(message).to_bytes(LENGTH_BYTES)], [says, fails])
            self._socket.sendall(message)
        os.close(says)
        os.close(fails)
        errors: list[str] = []
        with open(said, errors="replace") as output, open(failed, errors="replace") as complaints:
            reading = threading.Thread(target=lambda: errors.append(complaints.read()))
            reading.start()
            text = output.read()
            reading.join()
        return text, errors[0]

    @staticmethod
    def _start() -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={**os.environ, "OTEL_SDK_DISABLED": "true", "PYROSCOPE_SERVER_ADDRESS": ""},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

        def end() -> None:
            ours.close()
            process.wait()

        atexit.register(end)
        return ours


def serve(descriptor: int) -> None:
    """Fork for whatever is asked, until nobody can ask any more."""
    sys.path.remove(str(Path(__file__).parent))
    for name in PRELOADED:
        importlib.import_module(name)
    with socket.socket(fileno=descriptor) as asked:
        while True:
            length, descriptors, _, _ = socket.recv_fds(asked, LENGTH_BYTES, 2)
            if not length:
                return
            message = asked.recv(int.from_bytes(length), socket.MSG_WAITALL)
            if os.fork() == 0:
                asked.close()
                _become(*json.loads(message), *descriptors)
            for one in descriptors:
                os.close(one)
            _reap()


def _reap() -> None:
    """Take leave of the forks that have ended; what they said is all that was asked."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(folder: str, environment: dict[str, str], paths: list[str], seconds: int, output: int, errors: int) -> Any:
    """Be `python describe.py`, run in that folder, and end."""
    status = 1
    try:
        signal.alarm(seconds)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:0] = paths
        sys.argv = [str(DESCRIBE)]
        code = compile(DESCRIBE.read_text(), str(DESCRIBE), "exec")
        exec(code, {"__name__": "__main__", "__file__": str(DESCRIBE)})  # noqa: S102 - our own file
        status = 0
    except BaseException:  # noqa: BLE001 - it is told, and the fork ends
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
