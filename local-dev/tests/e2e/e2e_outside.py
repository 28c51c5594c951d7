"""Programs of Debian's that run beside a fleet: exporters of its stores, an nginx that they can watch, Prometheus."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import httpx
import trustme
from alloy_configs.files import PARTS
from chores.debian import find
from conftest import Stage

from ml_shared.testing import guard
from ml_shared.testing.plugin import require
from ml_shared.testing.servers import free_port, wait_until

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
HOST: Final = "127.78.0.1"
# nothing else listens there: a port that is free now is so still when a program has started
REDIS: Final = ("redis-orch", "redis-scrape", "redis-embed")
DATABASES: Final = {"postgres": "ml_jobs", "postgres-vectors": "ml_vectors"}
_NGINX: Final = """
daemon off; master_process off; pid {folder}/{name}.pid; error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen {at} {server} }}
}}
"""
_STATUS: Final = "; location / { stub_status; }"
_TLS: Final = "ssl; ssl_certificate tls.pem; ssl_certificate_key tls.pem; location / { return 200; }"
_LISTENS: Final = "--web.listen-address={at}"


_given: set[int] = set()


def free_address() -> str:
    """Return where something can listen, and each time another place: nothing listens there before all are started."""
    while (port := free_port(HOST)) in _given:
        pass
    _given.add(port)
    return f"{HOST}:{port}"


class Outside:
    """One such program: it can be killed, and started again where it was.

    Parameters
    ----------
    ready_url
        Answers 200 once it can be used.
    """

    def __init__(
        self,
        program: str,
        arguments: Sequence[str],
        ready_url: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.program = program
        self._command = [str(require(lambda: find(program))), *arguments]
        self._ready_url = ready_url
        self._environment = {"PATH": "/usr/bin:/bin", "HOME": "/", **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> None:
        """Start it; `wait` returns when it can be used."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        guard.watch_process(self._process.pid)

    def wait(self) -> None:
        """Wait until it can be used."""
        if not wait_until(lambda: self._ended() or self._answers(), START_SECONDS, 0.05) or self._ended():
            raise AssertionError(f"{self.program} did not start:\n{self.said()}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self.end()

    def end(self) -> None:
        """End it in order, if it runs."""
        process, log = self._process, self._log
        if process is None or log is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        guard.forget_process(process.pid)
        log.close()
        self._process = self._log = None

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def said(self) -> str:
        """Return the end of what it wrote since it was started."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode()[-3000:]

    def _answers(self) -> bool:
        try:
            return httpx.get(self._ready_url, timeout=2, verify=False).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def running(*programs: Outside) -> Iterator[None]:
    """Run some of them until the block ends, from when all can be used."""
    try:
        for program in programs:
            program.start()
        for program in programs:
            program.wait()
        for program in programs:  # one whose place was taken meanwhile: whoever has that answers in its stead
            program.wait()
        yield
    finally:
        for program in programs:
            program.end()


class Surroundings:
    """Exporters of a fleet's stores, of this machine, of an nginx, and of that one's certificate.

    Attributes
    ----------
    programs
        Each program by what it is: `redis-orch exporter`, `nginx`, `nginx with TLS`, `blackbox exporter`, …
    at
        Where the exporters listen, by the same names.
    tls
        Where the nginx with a certificate listens.
    """

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.programs: dict[str, Outside] = {}
        self.at: dict[str, str] = {}
        self._folder = folder
        addresses = stage.fleet.addresses
        for name in REDIS:
            redis = f"redis://127.0.0.1:{addresses.ports[name]}"
            environment = {"REDIS_ADDR": redis, "REDIS_PASSWORD": addresses.keys[name]}
            self._exporter(f"{name} exporter", "redis", "-web.listen-address={at}", environment=environment)
        for name, database in DATABASES.items():
            dsn = stage.dsn(name, database) + "?sslmode=disable"
            self._exporter(f"{name} exporter", "postgres", _LISTENS, environment={"DATA_SOURCE_NAME": dsn})
        self._exporter("node exporter", "node", _LISTENS)
        status = f"http://{self._nginx('nginx', _STATUS)}/"
        # it ends at once where there is no nginx yet, and both are started together
        patient = ("-nginx.retries=100", "-nginx.retry-interval=200ms")
        self._exporter(
            "nginx exporter", "nginx", "-web.listen-address={at}", *patient, environment={"SCRAPE_URI": status}
        )
        authority = trustme.CA()
        authority.issue_cert("gateway.test").private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.pem"))
        self.tls = self._nginx("nginx with TLS", _TLS, scheme="https")
        (folder / "blackbox.yml").write_text(_probe_of_the_certificate())
        self._exporter("blackbox exporter", "blackbox", _LISTENS, f"--config.file={folder}/blackbox.yml")

    def _exporter(self, name: str, of: str, *options: str, environment: Mapping[str, str] | None = None) -> None:
        at = self.at[name] = free_address()
        arguments = [option.replace("{at}", at) for option in options]
        self.programs[name] = Outside(f"prometheus-{of}-exporter", arguments, f"http://{at}/metrics", environment)

    def _nginx(self, name: str, server: str, *, scheme: str = "http") -> str:
        at = free_address()
        file = self._folder / f"{name.replace(' ', '-')}.conf"
        file.write_text(_NGINX.format(folder=self._folder, name=file.stem, at=at, server=server))
        arguments = ["-c", str(file), "-p", str(self._folder)]
        self.programs[name] = Outside("nginx", arguments, f"{scheme}://{at}/")
        return at


def _probe_of_the_certificate() -> str:
    """Return the configuration that the gateway's Alloy gives its blackbox exporter."""
    (line,) = (one for one in (PARTS / "certificate.alloy").read_text().splitlines() if "config =" in one)
    return line.split('"')[1]
