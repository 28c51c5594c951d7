"""A renderer with real Chromiums, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from conftest import WAIT_SECONDS
from renderer.browsers import BrowserMissingError, find_browser
from sites import Site

from ml_shared.testing.binaries import BinaryMissingError
from ml_shared.testing.plugin import require
from ml_shared.testing.servers import wait_until

SCRAPER = Path(__file__).resolve().parents[1]
TEXT = "The lighthouse was lit for the first time in the spring of 1871, and has been seen from the ferry ever since. "
PAGE_BYTES = 640 * 2**20
WAIT_FOR_A_TURN = ("--wait-seconds", "9")
# as long as whoever asks for one waits for an answer, less a second
WITHIN_SECONDS = (5.0, 20.0, WAIT_SECONDS)
# what is there when a page's time is up tells something only if that was time enough: then more, on a machine that is slow


class Served:
    """A renderer that runs."""

    def __init__(self, process: subprocess.Popen[bytes], socket: Path) -> None:
        self.socket = socket
        self._process = psutil.Process(process.pid)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def processes(self) -> list[psutil.Process]:
        """What it started and that lives."""
        found = []
        for process in self._process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    @property
    def files(self) -> int:
        """How many files it has open itself."""
        return self._process.num_fds()

    @property
    def browsers(self) -> list[psutil.Process]:
        """The browsers: of each of them its first process."""
        return [each for each in self.processes if each.ppid() == self._process.pid]

    def of_kind(self, kind: str) -> list[psutil.Process]:
        """Its processes of one of Chromium's kinds, such as `renderer`."""
        found = []
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                if f"--type={kind}" in process.cmdline():
                    found.append(process)
        return found


def require_browser() -> None:
    """Skip the test where there is no Chromium; in CI it fails."""

    def find() -> str:
        try:
            return find_browser()
        except BrowserMissingError as error:
            raise BinaryMissingError(str(error)) from error

    require(find)


@contextmanager
def served(socket: Path, *words: str) -> Iterator[Served]:
    """Run a renderer; afterwards nothing of it is left."""
    command = [sys.executable, "-m", "renderer", "--socket", str(socket), "--page-bytes", str(PAGE_BYTES), *words]
    process = subprocess.Popen(command, cwd=SCRAPER, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(socket.exists, WAIT_SECONDS), "the renderer did not start"
        found = Served(process, socket)
        yield found
        left = found.processes
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
        assert not psutil.wait_procs(left, timeout=WAIT_SECONDS)[1]
    finally:
        process.kill()
        process.wait()


def application(site: Site, path: str, script: str, head: str = "") -> str:
    """Serve a page that is nothing without its script; returns its URL."""
    site.page(f"{path}.js", script, content_type="text/javascript")
    return site.page(
        path,
        f"<!doctype html><html lang=en><head><title>Harbour</title>{head}</head><body><div id=root></div>"
        f"<noscript>You need to enable JavaScript to run this app.</noscript><script src='{path}.js'></script></body></html>",
    )


def writes(text: str = TEXT) -> str:
    """Return a script that makes a page of a text."""
    return f"document.getElementById('root').innerHTML = '<main><h1>Harbour</h1><p>{text * 3}</p></main>';"
