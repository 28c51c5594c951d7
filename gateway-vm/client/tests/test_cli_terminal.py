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
from fcntl import ioctl
from pathlib import Path

import pytest
from fake_gateway import KEY, FakeGateway, job_of

PAGE = "https://example.com/"
SECONDS = 30.0
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


def test_before_something_is_gone_it_is_asked(terminal: Start, gateway: FakeGateway) -> None:
    gateway.corpus("a", documents=7)
    seen = terminal("corpora", "delete", "a")
    seen.until(lambda said: "7 documents?" in said)
    seen.type(b"n\n")
    assert seen.end()[0] != 0
    assert "a" in gateway.corpora
