"""The gateway's nginx run natively, from the same template that its container uses."""

import getpass
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ml_shared.testing.servers import STOP_TIMEOUT_SECONDS, free_port

_VARIABLE: Final = re.compile(r"\$\{(GATEWAY_[A-Z0-9_]+)\}")
_EXAMPLE: Final = re.compile(r"^#?(GATEWAY_[A-Z0-9_]+)=(.*)$", re.MULTILINE)
SERVICES: Final = ("orchestrator", "scraper", "chunking", "embedding")
START_TIMEOUT_SECONDS: Final = 30.0
CONSOLE: Final = "console"
# the folder of its files, beside the template's, and what a state folder has in its place
MOST_FILES: Final = 65_535
# of one nginx worker, as in the container


class GatewayTemplateError(ValueError):
    """A variable of the template has no value: nginx would take `${NAME}` literally, or fail on it."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"the gateway's template needs {', '.join(names)}")
        self.names = names


class GatewayStartError(RuntimeError):
    """nginx did not start; the message is what it said."""


def render_gateway(template_path: Path, variables: Mapping[str, str]) -> str:
    """Return nginx's configuration: the template with each `${GATEWAY_…}` replaced, and nothing else touched.

    Raises
    ------
    GatewayTemplateError
        If the template names a variable that `variables` lacks. An empty value is a value.
    """
    template = template_path.read_text()
    missing = sorted(set(_VARIABLE.findall(template)) - set(variables))
    if missing:
        raise GatewayTemplateError(missing)
    return _VARIABLE.sub(lambda match: variables[match[1]], template)


def example_variables(example_path: Path) -> dict[str, str]:
    """Return the `GATEWAY_…` lines of the gateway's `.env.example`, where a default is commented out."""
    return dict(_EXAMPLE.findall(example_path.read_text()))


def local_variables(
    gateway_folder: Path, state_folder: Path, *, listen: str, upstreams: Mapping[str, str], **overrides: str
) -> dict[str, str]:
    """Return every variable for a run on this machine, by whichever user.

    Parameters
    ----------
    gateway_folder
        `gateway-vm`, whose `.env.example` gives rates and bursts.
    state_folder
        Gets nginx's logs, pid file, temporary files and a link to the console; made if it is missing.
    listen
        `address:port`.
    upstreams
        Service name to `address:port`, for all four services.
    overrides
        Any `GATEWAY_…` variable.
    """
    state_folder = state_folder.absolute()
    for name in ("run", "logs", "temp"):
        (state_folder / name).mkdir(parents=True, exist_ok=True)
    _link_console(gateway_folder, state_folder)
    return {
        **example_variables(gateway_folder / ".env.example"),
        **{f"GATEWAY_{name.upper()}_SERVERS": f"server {upstreams[name]};" for name in SERVICES},
        "GATEWAY_LISTEN": listen,
        "GATEWAY_HTTPS_PORT": "443",
        "GATEWAY_MAIN_DIRECTIVES": _main_directives(),
        "GATEWAY_WORKER_PROCESSES": "auto",
        "GATEWAY_FLEET_ALLOW": "allow 127.0.0.0/8;",
        "GATEWAY_RUN_DIR": str(state_folder / "run"),
        "GATEWAY_LOG_DIR": str(state_folder / "logs"),
        "GATEWAY_TEMP_DIR": str(state_folder / "temp"),
        "GATEWAY_CONSOLE_DIR": str(state_folder / CONSOLE),
        # globs without a match: nginx from the wheel lacks stub_status
        "GATEWAY_HTTP_INCLUDES": str(state_folder / "http.d" / "*.conf"),
        "GATEWAY_SERVER_INCLUDES": str(state_folder / "server.d" / "*.conf"),
        **overrides,
    }


def _link_console(gateway_folder: Path, state_folder: Path) -> None:
    """Let nginx find the console's files below its own folder: a path with a space or a `$` in it is not for its configuration."""
    link = state_folder / CONSOLE
    link.unlink(missing_ok=True)
    link.symlink_to((gateway_folder / CONSOLE).absolute(), target_is_directory=True)


def most_open_files() -> int:
    """Return how many files an nginx may have open here: a connection is one, and a shell's soft limit far too low."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)


def _main_directives() -> str:
    files = most_open_files()
    # started by root, nginx would serve as `nobody`, who may not enter the state folder
    user = f"user {getpass.getuser()}; " if os.geteuid() == 0 else ""
    return f"{user}worker_rlimit_nofile {files};"


def nginx_command(nginx: Path | str, state_folder: Path, configuration: Path) -> list[str]:
    """Return the command that runs nginx in the foreground with this configuration."""
    state_folder = state_folder.absolute()
    return [
        *(str(nginx), "-p", str(state_folder), "-e", str(state_folder / "logs" / "error.log")),
        *("-c", str(configuration.absolute()), "-g", "daemon off;"),
    ]


class GatewayServer:
    """nginx with the gateway's configuration, until the `with` block ends.

    Parameters
    ----------
    nginx
        The binary.
    gateway_folder, state_folder, upstreams, overrides
        As `local_variables` takes them. The state folder is kept, for its logs.
    """

    def __init__(
        self,
        nginx: Path | str,
        gateway_folder: Path,
        state_folder: Path,
        *,
        upstreams: Mapping[str, str],
        **overrides: str,
    ) -> None:
        self.port = free_port()
        self.state_folder = state_folder
        self.variables = local_variables(
            gateway_folder, state_folder, listen=f"127.0.0.1:{self.port}", upstreams=upstreams, **overrides
        )
        self._template = gateway_folder / "nginx" / "nginx.conf.template"
        self._configuration = state_folder / "nginx.conf"
        self._render()
        self._command = nginx_command(nginx, state_folder, self._configuration)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_log(self) -> Path:
        """One JSON object a line."""
        return self.state_folder / "logs" / "access.log"

    @property
    def error_log(self) -> Path:
        """nginx's own complaints."""
        return self.state_folder / "logs" / "error.log"

    def reload(self, **overrides: str) -> None:
        """Have nginx read its configuration anew, with these variables changed; its new workers are a moment away."""
        if self._process is None:
            raise RuntimeError("nginx is not running")
        self.variables |= overrides
        self._render()
        self._process.send_signal(signal.SIGHUP)

    def _render(self) -> None:
        new = self._configuration.with_suffix(".new")
        new.write_text(render_gateway(self._template, self.variables))
        new.replace(self._configuration)  # at once: nginx may still be reading for the reload before

    def __enter__(self) -> Self:
        output = (self.state_folder / "nginx.out").open("wb")
        with output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not (self._takes_signals() and _answers(self.port)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                said = (self.state_folder / "nginx.out").read_text() + self.error_log.read_text()
                raise GatewayStartError(f"nginx did not start on port {self.port}: {said}")
            time.sleep(0.02)
        return self

    def _takes_signals(self) -> bool:
        """Look whether nginx has noted its process id: it listens before, and a signal to reload would end it."""
        noted = Path(self.variables["GATEWAY_RUN_DIR"]) / "nginx.pid"
        return self._process is not None and noted.is_file() and noted.read_text().strip() == str(self._process.pid)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        shutil.rmtree(self.state_folder / "temp", ignore_errors=True)

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_SECONDS)
        self._process = None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
