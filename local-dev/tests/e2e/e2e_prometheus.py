"""A real Prometheus, and exporters, for a running fleet: each a process that ends with the test."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from chores.debian import find
from conftest import Stage

from ml_shared.names import Service
from ml_shared.testing import guard
from ml_shared.testing.plugin import require
from ml_shared.testing.servers import free_port, wait_until

SCRAPE_SECONDS = 1
RULES = Path(__file__).parents[2] / "observe" / "rules" / "alerts.yaml"
REDIS = ("redis-orch", "redis-scrape", "redis-embed")
DATABASES = {"postgres": "ml_jobs", "postgres-vectors": "ml_vectors"}
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; location / {{ stub_status; }} }}
}}
"""


@dataclass(frozen=True)
class Prometheus:
    """Where it listens."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an instant query finds."""
        answer = httpx.post(f"{self.url}/api/v1/query", data={"query": expression}, timeout=10)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def unhealthy(self) -> list[str]:
        """Return the targets that could not be scraped, with the reason. It takes some seconds until there are any."""
        targets = httpx.get(f"{self.url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
        if not targets:
            return ["none is known yet"]
        return [
            f"{one['labels']['job']} {one['scrapeUrl']}: {one['lastError']}" for one in targets if one["health"] != "up"
        ]


@contextmanager
def watched(stage: Stage) -> Iterator[Prometheus]:
    """Scrape every process of a fleet and exporters of its stores, as each VM's Alloy does."""
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="ml-prometheus-") as name:
        folder = Path(name)
        jobs = [*_services(stage), *_exporters(stage, stack, folder)]
        config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"},
            "rule_files": [str(RULES)],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        stack.enter_context(
            running(
                "prometheus",
                [
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--log.level=warn",
                ],
                f"http://127.0.0.1:{port}/-/ready",
            )
        )
        yield Prometheus(f"http://127.0.0.1:{port}")


def _services(stage: Stage) -> list[dict[str, Any]]:
    addresses = stage.fleet.addresses
    found = []
    for service in Service:
        targets = [(f"127.0.0.1:{addresses.ports[service]}", "api")]
        worker = addresses.ports.get(f"{service}-worker-metrics")
        if worker is not None:
            targets.append((f"127.0.0.1:{worker}", "worker"))
        found.append(_job(service, [(address, {"process": process}) for address, process in targets]))
    return found


def _exporters(stage: Stage, stack: ExitStack, folder: Path) -> list[dict[str, Any]]:
    addresses = stage.fleet.addresses
    redis, postgres = [], []
    for name in REDIS:
        at = _exporter(
            stack,
            "prometheus-redis-exporter",
            "-web.listen-address={at}",
            {"REDIS_ADDR": f"redis://127.0.0.1:{addresses.ports[name]}", "REDIS_PASSWORD": addresses.keys[name]},
        )
        redis.append((at, {"instance": name}))
    for name, database in DATABASES.items():
        dsn = stage.dsn(name, database) + "?sslmode=disable"
        at = _exporter(stack, "prometheus-postgres-exporter", "--web.listen-address={at}", {"DATA_SOURCE_NAME": dsn})
        postgres.append((at, {"instance": name}))
    node = _exporter(stack, "prometheus-node-exporter", "--web.listen-address={at}")
    status = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=status))
    status_url = f"http://127.0.0.1:{status}/"
    stack.enter_context(running("nginx", ["-c", f"{folder}/nginx.conf", "-p", str(folder)], status_url))
    nginx = _exporter(stack, "prometheus-nginx-exporter", "-web.listen-address={at}", {"SCRAPE_URI": status_url})
    return [
        _job("redis", redis),
        _job("postgres", postgres),
        _job("node", [(node, {"instance": "laptop"})]),
        _job("nginx", [(nginx, {})]),
    ]


def _exporter(stack: ExitStack, program: str, option: str, environment: Mapping[str, str] | None = None) -> str:
    at = f"127.0.0.1:{free_port()}"
    stack.enter_context(running(program, [option.format(at=at)], f"http://{at}/metrics", environment or {}))
    return at


def _job(name: str, targets: Sequence[tuple[str, Mapping[str, str]]]) -> dict[str, Any]:
    listed = [{"targets": [address], "labels": dict(labels)} for address, labels in targets]
    return {"job_name": str(name), "static_configs": listed}


@contextmanager
def running(
    program: str, arguments: Sequence[str], ready_url: str, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a program of Debian's until the block ends, from when it answers."""
    path = require(lambda: find(program))
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(path), *arguments],
            env={"PATH": "/usr/bin:/bin", "HOME": "/", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        guard.watch_process(process.pid)
        try:
            if not wait_until(lambda: process.poll() is not None or _answers(ready_url), 20, poll_seconds=0.05) or (
                process.poll() is not None
            ):
                log.seek(0)
                raise AssertionError(f"{program} did not start:\n{log.read().decode()[-3000:]}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            guard.forget_process(process.pid)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
