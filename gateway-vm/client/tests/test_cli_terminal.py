"""The commands in a terminal of their own: what they ask, show and leave when somebody sits before them."""

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from threading import Event

import pytest
from cloudcix_ml.cli.exits import Exit
from fake_gateway import KEY, FakeGateway, Received, job_of
from starlette.responses import Response

PAGE = "https://example.com/"
SECONDS = 60.0
PATIENCE_SECONDS = 5.0
CONTROL_C = b"\x03"


class Terminal:
    """A command in a pseudo-terminal of a size."""

    def __init__(self, words: list[str], env: dict[str, str], columns: int) -> None:
        self.said = b""
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        command = [sys.executable, "-m", "cloudcix_ml.cli", *words]
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(theirs)

    def until(self, done: Callable[[str], bool]) -> str:
        """Read until what was said is so."""
        end = time.monotonic() + SECONDS
        while not done(self.said.decode(errors="replace")):
            assert time.monotonic() < end, self.said
            if select.select([self._ours], [], [], 0.1)[0] and not self._read():
                break
        return self.said.decode(errors="replace")

    def _read(self) -> bool:
        try:
            more = os.read(self._ours, 65_536)
        except OSError:  # what Linux says of a terminal whose other end is closed
            return False
        self.said += more
        return bool(more)

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def interrupt(self) -> None:
        """Press Ctrl-C as people do, again where nothing happens: Python sleeps over one that comes just before it reads."""
        end = time.monotonic() + SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            self.type(CONTROL_C)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_SECONDS)

    def end(self) -> tuple[int, str]:
        """Read to the end, and return the exit status and what was said."""
        said = self.until(lambda _: False)
        return self._process.wait(SECONDS), said

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(SECONDS)
        os.close(self._ours)


def _own_terminal() -> None:
    ioctl(0, termios.TIOCSCTTY, 0)
    # a shell has what it runs in the background ignore it, and all that this starts
    signal.signal(signal.SIGINT, signal.SIG_DFL)


Start = Callable[..., Terminal]


@pytest.fixture
def terminal(gateway: FakeGateway, tmp_path: Path) -> Iterator[Start]:
    started = []
    env = {
        name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "FORCE_COLOR", "CI"}
    }
    env |= {"XDG_CONFIG_HOME": str(tmp_path), "TERM": "xterm-256color", "CLOUDCIX_ML_URL": gateway.url}

    def start(*words: str, columns: int = 80, key: str | None = KEY, **variables: str) -> Terminal:
        own = env | ({"CLOUDCIX_ML_KEY": key} if key else {}) | variables
        started.append(Terminal([*words], own, columns))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_login_asks_and_shows_no_letter_of_the_key(terminal: Start, gateway: FakeGateway, tmp_path: Path) -> None:
    seen = terminal("login", key=None)
    seen.until(lambda said: "Address of the gateway" in said)
    seen.type(gateway.url.encode() + b"\n")
    seen.until(lambda said: "API key (not shown)" in said)
    seen.type(KEY.encode() + b"\n")
    status, said = seen.end()
    assert (status, KEY in said) == (0, False), said
    assert KEY in (tmp_path / "cloudcix-ml" / "config.json").read_text()


def test_control_c_leaves_the_job_and_says_how_to_come_back(terminal: Start, gateway: FakeGateway) -> None:
    gateway.step_on_read = False
    seen = terminal("index", PAGE)
    seen.until(lambda said: "waits for its turn" in said)
    seen.type(CONTROL_C)
    status, said = seen.end()
    job_id = next(iter(gateway.jobs))
    assert (status, gateway.jobs[job_id]["status"]) == (130, "queued")
    assert f"cloudcix-ml watch {job_id}" in said.replace("\r\n", "")
    assert "Traceback" not in said
    assert not any(one.path.endswith("/cancel") for one in gateway.received)


def test_control_c_between_two_submissions_names_what_was_accepted(
    terminal: Start, gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "a.md"
    file.write_text("# Hello")
    left, came = Event(), Event()

    def never_answered(_: Received) -> Response:
        came.set()
        left.wait(SECONDS / 2)
        return Response(status_code=500)

    gateway.others["POST", "/api/orchestrator/documents"] = never_answered
    seen = terminal("index", PAGE, str(file))
    assert came.wait(SECONDS)
    seen.type(CONTROL_C)
    status, said = seen.end()
    left.set()
    assert status == Exit.INTERRUPTED
    assert f"cloudcix-ml watch {next(iter(gateway.jobs))}" in said.replace("\r\n", "")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_fits_its_terminal_and_has_colours_there(terminal: Start, gateway: FakeGateway, columns: int) -> None:
    gateway.jobs = {"j": job_of("j", PAGE + "x" * 300, "completed")}
    status, said = terminal("jobs", columns=columns).end()
    assert status == 0
    plain = [_without_colours(line) for line in said.splitlines()]
    assert max(map(len, plain)) <= columns
    assert "\x1b[" in said
    assert any("completed" in line or "…" in line for line in plain)


@pytest.mark.parametrize("columns", [58, 70])
def test_an_id_is_never_cut_where_there_is_room_for_it(terminal: Start, gateway: FakeGateway, columns: int) -> None:
    job_id = "22958f57-cd2a-4f3b-b02b-a756c9d4da87"
    gateway.jobs = {job_id: job_of(job_id, PAGE + "x" * 300, "embedding")}
    plain = [_without_colours(line) for line in terminal("jobs", columns=columns).end()[1].splitlines()]
    assert max(map(len, plain)) <= columns
    assert plain[1].split()[:2] == [job_id, "embedding"]


def test_where_no_colour_is_wanted_there_is_none(terminal: Start, gateway: FakeGateway) -> None:
    gateway.jobs = {"j": job_of("j", PAGE, "completed")}
    said = terminal("jobs", NO_COLOR="1").end()[1]
    assert "\x1b[3" not in said
    assert "completed" in said


def _without_colours(line: str) -> str:
    while "\x1b[" in line:
        before, _, rest = line.partition("\x1b[")
        line = before + rest[next(index for index, letter in enumerate(rest) if letter.isalpha()) + 1 :]
    return line


@pytest.mark.parametrize("words", [("login",), ("corpora", "delete", "a")])
def test_control_c_where_something_is_asked_is_an_interruption(
    terminal: Start, gateway: FakeGateway, words: tuple[str, ...]
) -> None:
    gateway.corpus("a", documents=7)
    seen = terminal(*words)
    seen.until(lambda said: "documents?" in said or "gateway" in said)
    seen.interrupt()
    assert seen.end()[0] == Exit.INTERRUPTED
    assert "a" in gateway.corpora


DELETIONS = [
    ("corpora", "delete", "a"),
    ("documents", "delete", "d"),
    ("crawls", "delete", "c"),
    ("webhooks", "delete", "w"),
]


@pytest.mark.parametrize("words", DELETIONS, ids=lambda words: words[0])
def test_before_something_is_gone_it_is_asked_and_a_no_is_no_error_and_leaves_it(
    terminal: Start, gateway: FakeGateway, words: tuple[str, ...]
) -> None:
    gateway.corpus("a", documents=7)
    seen = terminal(*words)
    asked = seen.until(lambda said: "[y/N]" in said)
    assert ("7 documents?" in asked) == (words[0] == "corpora")
    seen.type(b"n\n")
    status, said = seen.end()
    assert (status, "Left as it is." in said, "error" in said) == (Exit.FAILED, True, False)
    assert "DELETE" not in {one.method for one in gateway.received}
