"""Chromiums, each for one page at a time: started, watched, used again a few times, and ended with all that they started.

Standard library only: this is what the renderer's image holds beside Chromium.
"""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

logger = logging.getLogger("renderer")

READ_BYTES: Final = 65_536
END_OF_MESSAGE: Final = b"\0"
# how Chromium parts messages on a pipe; JSON has no such byte
CANDIDATES: Final = ("/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome")
# Debian's own comes first, and without the script around it, which reads the machine's flags
HEAP_MEGABYTES: Final = 256
# of JavaScript; what a page keeps beside it counts with the browser's memory
ASK_SECONDS: Final = 5.0
_ASK_ID: Final = 2_000_000_000
# above every id that a page's own commands have
_PR_SET_PDEATHSIG: Final = 1
_PIPE_IN, _PIPE_OUT = 3, 4

FLAGS: Final = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-startup-window",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    "--use-mock-keychain",
    "--mute-audio",
    "--hide-scrollbars",
    "--disable-gpu",
    "--disable-3d-apis",
    "--disable-dev-shm-usage",
    f"--js-flags=--max-old-space-size={HEAP_MEGABYTES}",
    # nothing of its own over the network
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-extensions-with-background-pages",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-field-trial-config",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-pings",
    # and nothing of a page's: requests are answered by whoever asked for the page. What is not asked of them (WebSocket,
    # WebRTC, WebTransport, preconnects, service workers) is sent to a proxy whose name no one can resolve
    "--proxy-server=http://nowhere.invalid:9",
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--dns-prefetch-disable",
    "--disable-quic",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    # no windows beside the page's, and nothing that asks a person
    "--block-new-web-contents",
    "--deny-permission-prompts",
    "--disable-notifications",
    "--disable-speech-api",
    "--disable-features=AcceptCHFrame,AutofillServerCommunication,CertificateTransparencyComponentUpdater,"
    "DialMediaRouteProvider,GlobalMediaControls,HttpsUpgrades,InterestFeedContentSuggestions,MediaRouter,"
    "NetworkPrediction,OptimizationHints,Prerender2,SpareRendererForSitePerProcess,SpeculationRulesPrefetchFuture,Translate",
)


class BrowserMissingError(RuntimeError):
    """There is no Chromium. The message says how to install it."""


def find_browser() -> str:
    """Return where Chromium is."""
    for candidate in CANDIDATES:
        if found := shutil.which(candidate):
            return found
    raise BrowserMissingError("no Chromium: install Debian's package chromium, or one that is on the PATH as chromium")


def _read(message: bytes) -> dict[str, Any]:
    """Return a message; nothing of one whose beginning went to somebody else."""
    try:
        read: dict[str, Any] = json.loads(message[:-1])
    except ValueError:
        return {}
    return read


def can_be_sandboxed() -> bool:
    """Return whether the kernel lets us make what Chromium's own sandbox is built of: user namespaces, and not as root."""
    if os.getuid() == 0:
        return False
    tried = subprocess.run(
        [sys.executable, "-c", "import ctypes, sys; sys.exit(-ctypes.CDLL(None).unshare(0x30000000))"],
        capture_output=True,
        check=False,
        timeout=ASK_SECONDS,
    )
    return tried.returncode == 0


def processes_under(root: int) -> list[int]:
    """Return a process and all that it started, as far as they live."""
    parents: dict[int, list[int]] = {}
    for process in _running():
        with contextlib.suppress(OSError, ValueError, IndexError):
            # the second field, a name in parentheses, may have blanks
            rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(rest[1]), []).append(process)
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def _running() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            yield int(name)


def memory_of(processes: list[int]) -> int:
    """Return the bytes that processes hold for themselves: what they share of the program's file does not count."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += int(line.split()[1]) * 1024
    return total


class Browser:
    """One Chromium, spoken to over a pipe: so it listens nowhere, and no page can reach it.

    Attributes
    ----------
    pages
        How many it has made.
    reader, writer
        Its pipe.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        profile: tempfile.TemporaryDirectory[str],
    ) -> None:
        self.pages = 0
        self.reader = reader
        self.writer = writer
        self._process = process
        self._profile = profile

    @classmethod
    async def start(cls, program: str, *, sandboxed: bool) -> Self:
        """Start one."""
        profile = tempfile.TemporaryDirectory(prefix="renderer-", ignore_cleanup_errors=True)
        its_in, our_out = os.pipe()
        our_in, its_out = os.pipe()

        def prepare() -> None:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # away from where the pipe's ends have to be first: one of them may lie there
            first, second = os.dup(its_in), os.dup(its_out)
            while min(first, second) <= _PIPE_OUT:
                first, second = os.dup(first), os.dup(second)
            os.dup2(first, _PIPE_IN)
            os.dup2(second, _PIPE_OUT)

        words = [program, *FLAGS, f"--user-data-dir={profile.name}", *(() if sandboxed else ("--no-sandbox",))]
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "HOME": profile.name, "LANG": "C.UTF-8", "TMPDIR": profile.name},
            close_fds=False,  # all but the two that it needs are closed on exec
            preexec_fn=prepare,
            start_new_session=True,
        )
        os.close(its_in)
        os.close(its_out)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_in, "rb", 0))
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(our_out, "wb", 0)
        )
        return cls(process, reader, asyncio.StreamWriter(transport, protocol, None, loop), profile)

    @property
    def memory_bytes(self) -> int:
        """What its processes hold."""
        return memory_of(processes_under(self._process.pid))

    async def is_clean(self) -> bool:
        """Return whether nothing is left in it of the pages that it made."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                contexts = await self._ask("Target.getBrowserContexts")
                targets = await self._ask("Target.getTargets")
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False
        pages = [each for each in targets.get("targetInfos", []) if each.get("type") != "browser"]
        return not contexts.get("browserContextIds") and not pages

    async def _ask(self, method: str) -> dict[str, Any]:
        self.writer.write(json.dumps({"id": _ASK_ID, "method": method}).encode() + END_OF_MESSAGE)
        await self.writer.drain()
        while True:
            message = _read(await self.reader.readuntil(END_OF_MESSAGE))
            if message.get("id") == _ASK_ID:
                result: dict[str, Any] = message.get("result", {})
                return result

    async def end(self) -> None:
        """End it, and every process that it started; they are not asked."""
        for process in reversed(processes_under(self._process.pid)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        self.writer.close()
        await self._process.wait()
        await asyncio.to_thread(self._profile.cleanup)
