"""A real Prometheus for a running fleet: a process that ends with the test."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from boards.expressions import RULES
from conftest import Stage
from e2e_outside import DATABASES, REDIS, Outside, Surroundings, free_address, running

from ml_shared.clients.tls import shared_tls
from ml_shared.names import Service

SCRAPE_SECONDS = 1
ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Prometheus:
    """Where it listens."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an instant query finds."""
        answer = httpx.post(
            f"{self.url}/api/v1/query", data={"query": expression}, timeout=ANSWER_SECONDS, verify=shared_tls()
        )
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def unhealthy(self) -> list[str]:
        """Return the targets that could not be scraped, with the reason. It takes some seconds until there are any."""
        answer = httpx.get(f"{self.url}/api/v1/targets", timeout=ANSWER_SECONDS, verify=shared_tls())
        targets = answer.json()["data"]["activeTargets"]
        if not targets:
            return ["none is known yet"]
        return [
            f"{one['labels']['job']} {one['scrapeUrl']}: {one['lastError']}" for one in targets if one["health"] != "up"
        ]


@contextmanager
def watched(stage: Stage, around: Surroundings) -> Iterator[Prometheus]:
    """Scrape every process of a fleet and exporters of its stores, as each VM's Alloy does."""
    with tempfile.TemporaryDirectory(prefix="ml-prometheus-") as name:
        folder = Path(name)
        config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                *(service_job(stage, service) for service in Service),
                exporter_job("redis", {around.at[f"{name} exporter"]: name for name in REDIS}),
                exporter_job("postgres", {around.at[f"{name} exporter"]: name for name in DATABASES}),
                exporter_job("node", {around.at["node exporter"]: "laptop"}),
                exporter_job("nginx", {around.at["nginx exporter"]: "nginx-exporter:9113"}),
                certificate_job(around, "laptop"),
            ],
        }
        at = free_address()
        prometheus = prometheus_at(at, folder / "prometheus", config, f"--storage.tsdb.path={folder}/data")
        with running(prometheus):
            yield Prometheus(f"http://{at}")


def prometheus_at(at: str, folder: Path, config: Mapping[str, Any], *options: str) -> Outside:
    """Return a Prometheus that has not been started, with a new folder for what is its own."""
    folder.mkdir()
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(dict(config)))
    arguments = [f"--config.file={file}", f"--web.listen-address={at}", "--log.level=warn", *options]
    return Outside("prometheus", arguments, f"http://{at}/-/ready")


def service_job(stage: Stage, service: Service) -> dict[str, Any]:
    """Return what scrapes a service's processes, which are called as the compose files call them."""
    ports = stage.fleet.addresses.ports
    targets = [(ports[service], "api", f"{service}:8000")]
    if f"{service}-worker-metrics" in ports:
        targets.append((ports[f"{service}-worker-metrics"], "worker", f"{service}-worker:9100"))
    found = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"process": process, "instance": instance}}
        for port, process, instance in targets
    ]
    return {"job_name": str(service), "static_configs": found}


def exporter_job(name: str, instances: Mapping[str, str]) -> dict[str, Any]:
    """Return what scrapes exporters of one kind: their names, by where they listen."""
    found = [{"targets": [at], "labels": {"instance": instance}} for at, instance in instances.items()]
    return {"job_name": name, "static_configs": found}


def certificate_job(around: Surroundings, instance: str) -> dict[str, Any]:
    """Return what has the certificate probed."""
    job = exporter_job("certificate", {around.at["blackbox exporter"]: instance})
    return {**job, "metrics_path": "/probe", "params": {"module": ["tls"], "target": [around.tls]}}
