"""The process manager: supervisor, which restarts what dies, keeps the logs, and ends everything when it is ended."""

import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from fleet.cleanup import has_ended
from fleet.errors import FleetError
from fleet.layout import Layout, make, read_json, write_private
from fleet.programs import PROGRAM_VARIABLE, STATE_VARIABLE, Program, Tier

LAUNCHER = Path(__file__).with_name("launch.py")
SOCKET_PATH_BYTES = 100
# the least limit of the systems that we run on is 104
START_SECONDS = 60.0
STOP_SECONDS = 60.0
# five tiers of ten seconds each, and supervisor's own rounds
POLL_SECONDS = 0.03
LOG_BYTES = "10MB"
LOG_BACKUPS = 3


@dataclass(frozen=True)
class ProcessState:
    """What the manager knows of one program."""

    name: str
    tier: Tier
    state: str
    pid: int | None
    started: float | None
    exit_status: int


def _own_environment(layout: Layout) -> dict[str, str]:
    """What the manager itself and every program start from: the caller's settings are not the fleet's."""
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment.setdefault("PATH", os.defpath)
    environment.setdefault("LANG", "C.UTF-8")
    return {**environment, STATE_VARIABLE: str(layout.state), PROGRAM_VARIABLE: ""}


def _short_folder() -> Path:
    """Make a private folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="ml-fleet-"))
    if len(os.fsencode(folder)) + len("/manager.sock.0000000") > SOCKET_PATH_BYTES:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="ml-fleet-", dir="/tmp"))
    return folder


class Manager:
    """One supervisord, found again through its note in the state folder."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @property
    def _note(self) -> dict[str, Any]:
        note = read_json(self.layout.manager)
        return note if isinstance(note, dict) else {}

    @property
    def process(self) -> psutil.Process | None:
        """The running manager. A process that merely has its number now is not taken for it."""
        note = self._note
        try:
            process = psutil.Process(note["pid"])
            if abs(process.create_time() - note["created"]) < 1 and not has_ended(process):
                return process
        except (KeyError, TypeError, psutil.Error):
            pass
        return None

    @property
    def ready(self) -> bool:
        """Whether the fleet was once ready under the manager that runs now."""
        return self.process is not None and bool(self._note.get("ready"))

    def mark_ready(self) -> None:
        """Note that everything was started."""
        write_private(self.layout.manager, json.dumps({**self._note, "ready": True}))

    def start(self, programs: Iterable[Program]) -> None:
        """Start the manager with these programs, none of them running yet."""
        programs = list(programs)
        folder = _short_folder()
        config = self.layout.run / "supervisord.conf"
        write_private(config, self._config(programs, folder / "manager.sock"))
        for program in programs:
            mark = program.write(self.layout).with_suffix(".json.started")
            mark.unlink(missing_ok=True)
        with self.layout.log("supervisord.out").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(config)],
                cwd=self.layout.run,
                env=_own_environment(self.layout),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        created = psutil.Process(process.pid).create_time()
        note = {"pid": process.pid, "created": created, "folder": str(folder), "ready": False}
        write_private(self.layout.manager, json.dumps(note))
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError, xmlrpc.client.Error, FleetError):
                self._call("getState")
                break
            if process.poll() is not None or time.monotonic() > deadline:
                said = self.layout.log("supervisord.out").read_text(errors="replace")[-2000:]
                self.stop()
                raise FleetError(f"the process manager did not start:\n{said}")
            time.sleep(POLL_SECONDS)
        process.returncode = 0  # it outlives us by design, and Popen would warn of that

    def _config(self, programs: list[Program], socket: Path) -> str:
        def quoted(path: Path | str) -> str:
            return str(path).replace("%", "%%")

        run = self.layout.run
        lines = ["[supervisord]", "nodaemon=true", "silent=true", "umask=077", f"directory={quoted(run)}"]
        lines += [f"logfile={quoted(self.layout.log('supervisord'))}", f"pidfile={quoted(run / 'supervisord.pid')}"]
        lines += [f"logfile_maxbytes={LOG_BYTES}", f"logfile_backups={LOG_BACKUPS}", f"childlogdir={quoted(run)}"]
        lines += ["[unix_http_server]", f"file={quoted(socket)}", "chmod=0600", "[rpcinterface:supervisor]"]
        lines += ["supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface"]
        for program in programs:
            specification = self.layout.programs / f"{program.name}.json"
            command = shlex.join([sys.executable, "-I", "-S", str(LAUNCHER), str(specification)])
            lines += [f"[program:{program.name}]", f"command={quoted(command)}", "autostart=false"]
            lines += [f"autorestart={'false' if program.once else 'true'}", f"startsecs={0 if program.once else 1}"]
            lines += ["startretries=20", f"stopsignal={program.stop_signal}", f"stopwaitsecs={program.stop_seconds}"]
            lines += ["killasgroup=true", "redirect_stderr=true"]
            lines += [f"stdout_logfile={quoted(self.layout.log(program.name))}"]
            lines += [f"stdout_logfile_maxbytes={LOG_BYTES}", f"stdout_logfile_backups={LOG_BACKUPS}"]
        for place, tier in enumerate(reversed(Tier)):  # the highest is stopped first
            names = [program.name for program in programs if program.tier is tier]
            if names:
                lines += [f"[group:{tier}]", f"programs={','.join(names)}", f"priority={place + 1}"]
        return "\n".join(lines) + "\n"

    def _call(self, method: str, *arguments: Any) -> Any:
        folder = self._note.get("folder")
        if folder is None:
            raise FleetError(f"the fleet is not running; start it with `{make('up')}`")
        transport = SupervisorTransport(None, None, f"unix://{folder}/manager.sock")
        try:
            server: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(server.supervisor, method)(*arguments)
        finally:
            transport.close()

    def states(self) -> list[ProcessState]:
        """Return every program's state, in the order of their tiers from the data outwards."""
        found = []
        for row in self._call("getAllProcessInfo"):
            running = bool(row["pid"])
            found.append(
                ProcessState(
                    name=row["name"],
                    tier=Tier(row["group"]),
                    state=row["statename"],
                    pid=row["pid"] or None,
                    started=float(row["start"]) if running else None,
                    exit_status=int(row["exitstatus"]),
                )
            )
        order = list(reversed(Tier))
        return sorted(found, key=lambda state: order.index(state.tier))

    def _full_name(self, name: str) -> str:
        for state in self.states():
            if state.name == name:
                return f"{state.tier}:{name}"
        raise FleetError(f"no process is named {name!r}; `make status` lists them")

    def start_program(self, program: Program) -> None:
        """Start one program and return at once."""
        self._call("startProcess", f"{program.tier}:{program.name}", False)

    def start_again(self, name: str) -> None:
        """Start a program that was stopped."""
        self._call("startProcess", self._full_name(name), False)

    def stop_program(self, name: str) -> None:
        """Stop one program, and wait for its end; it is not restarted."""
        self._stop_program(name, wait=True)

    def let_end(self, name: str) -> None:
        """Ask one program to stop, and return at once; however it ends now, it is not restarted."""
        self._stop_program(name, wait=False)

    def _stop_program(self, name: str, *, wait: bool) -> None:
        with contextlib.suppress(xmlrpc.client.Fault):  # it does not run
            self._call("stopProcess", self._full_name(name), wait)

    def stop(self) -> None:
        """End the manager, and with it every program, in order; by force when it takes too long."""
        process, note = self.process, self._note
        if process is not None:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGTERM)
                deadline = time.monotonic() + STOP_SECONDS
                while self.process is not None and time.monotonic() < deadline:
                    # any question wakes its loop, which else looks once a second who has ended
                    with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error, FleetError):
                        self._call("getState")
                    time.sleep(POLL_SECONDS)
                process.kill()
            with contextlib.suppress(ChildProcessError):  # who started it is another process
                os.waitpid(process.pid, 0)  # else it stays a zombie, and what it took is counted nowhere
        if isinstance(note.get("folder"), str):
            shutil.rmtree(note["folder"], ignore_errors=True)
        self.layout.manager.unlink(missing_ok=True)
