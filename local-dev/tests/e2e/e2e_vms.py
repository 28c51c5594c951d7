"""A running fleet as five VMs: on each an agent that scrapes what is its own, in place of Alloy, and one Prometheus that
they all send to, which runs the alerts.

The agents are Prometheus' own agent mode, whose scraping and remote write Alloy has in it. An agent that is killed says
nothing of what it scraped, as a VM that is gone.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from boards.expressions import RULES
from conftest import Stage
from e2e_outside import Outside, Surroundings, free_address, running
from e2e_prometheus import ANSWER_SECONDS, Prometheus, certificate_job, exporter_job, prometheus_at, service_job

from ml_shared.clients.tls import shared_tls
from ml_shared.names import Service

RANGES_SHORTER: Final = 20
WAITS_SHORTER: Final = 40
"""How many times shorter than in `alerts.yaml` ranges and `for:` are here. An exporter needs a second and more to say that
its store is dead, so a sample is up to three seconds old: the shortest range, of two minutes, has to be longer than that."""
SCRAPE_SECONDS: Final = 2
LOOKBACK_MS: Final = 5 * 60_000 // WAITS_SHORTER
# Prometheus' own five minutes, for which a series that nobody ended still counts
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATIONS: Final = re.compile(r"(\[|\bfor: )(\d+)([smhd])(?=\]|\n)")
_STORES: Final = {
    Service.ORCHESTRATOR: {"redis": "redis-orch", "postgres": "postgres"},
    Service.SCRAPER: {"redis": "redis-scrape"},
    Service.CHUNKING: {},
    Service.EMBEDDING: {"redis": "redis-embed", "postgres": "postgres-vectors"},
}
GATEWAY: Final = "gateway"


class Alert(NamedTuple):
    """One that fires: its name, and the labels that say where."""

    name: str
    vm: str = ""
    job: str = ""
    process: str = ""

    @classmethod
    def of(cls, labels: dict[str, str]) -> "Alert":
        return cls(labels["alertname"], *(labels.get(name, "") for name in ("vm", "job", "process")))


def shortened(rules: str, ranges: int = RANGES_SHORTER, waits: int = WAITS_SHORTER) -> str:
    """Return rules with each range and each `for:` so many times shorter, and nothing else changed."""

    def shorter(found: re.Match[str]) -> str:
        before, number, unit = found.groups()
        times = ranges if before == "[" else waits
        return f"{before}{int(number) * _UNIT_MS[unit] // times}ms"

    return _DURATIONS.sub(shorter, rules)


@dataclass(frozen=True)
class Vms:
    """What runs beside the fleet's own programs: exporters, what they watch, and the VMs' agents (`alloy of scraper`)."""

    programs: dict[str, Outside]
    prometheus: Prometheus
    targets: int

    def all_scraped(self) -> bool:
        """Whether everything that there is to scrape answers."""
        return len(self.prometheus.query("up == 1")) == self.targets

    def told(self) -> str:
        """Return what is up and what is not, and what the agents have said."""
        up = sorted(
            (one["value"][1], *Alert.of({"alertname": "up", **one["metric"]})) for one in self.prometheus.query("up")
        )
        agents = {name: program.said() for name, program in self.programs.items() if name.startswith("alloy of")}
        return "\n".join(str(line) for line in [*up, *agents.items()])

    def pages(self) -> set[Alert]:
        """Return the alerts that wake somebody now."""
        url = f"{self.prometheus.url}/api/v1/alerts"
        answer = httpx.get(url, timeout=ANSWER_SECONDS, verify=shared_tls()).json()
        labels = [one["labels"] for one in answer["data"]["alerts"] if one["state"] == "firing"]
        return {Alert.of(one) for one in labels if one["severity"] == "page"}

    def paged_since(self, seconds: float) -> set[Alert]:
        """Return those that did at any moment of the last seconds."""
        firing = f'last_over_time(ALERTS{{alertstate="firing",severity="page"}}[{int(seconds * 1000)}ms])'
        return {Alert.of(one["metric"]) for one in self.prometheus.query(firing)}

    def starved_since(self, seconds: float) -> set[Alert]:
        """Return what would be said of those that lived, and answered too late at some moment: for want of a processor, say.

        One that answers too late for as long as another is dead is at fault, and its page stays.
        """
        late = f"max_over_time(scrape_duration_seconds[{int(seconds * 1000)}ms]) > {0.95 * SCRAPE_SECONDS}"
        return {Alert.of({"alertname": "TargetDown", **one["metric"]}) for one in self.prometheus.query(late)}


@contextmanager
def five_vms(stage: Stage, around: Surroundings) -> Iterator[Vms]:
    """Watch a fleet and what is around it as production does, from when everything has been scraped."""
    with tempfile.TemporaryDirectory(prefix="ml-vms-") as name:
        folder = Path(name)
        at = free_address()
        scraped = _jobs(stage, around)
        agents = {f"alloy of {vm}": _agent(folder / vm, vm, jobs, at) for vm, jobs in scraped.items()}
        targets = sum(len(one["static_configs"]) for jobs in scraped.values() for one in jobs) + len(agents)
        # the agents end first: they would wait for who is to take what they have left
        with running(_central(at, folder / "central")), running(*agents.values()):
            yield Vms({**around.programs, **agents}, Prometheus(f"http://{at}"), targets)


def _central(at: str, folder: Path) -> Outside:
    rules = folder.with_suffix(".alerts.yaml")
    rules.write_text(shortened(RULES.read_text()))
    return prometheus_at(
        at,
        folder,
        {"global": {"evaluation_interval": "1s"}, "rule_files": [str(rules)]},
        f"--storage.tsdb.path={folder}/data",
        "--web.enable-remote-write-receiver",
        f"--query.lookback-delta={LOOKBACK_MS}ms",
    )


def _agent(folder: Path, vm: str, jobs: list[dict[str, Any]], central: str) -> Outside:
    at, every = free_address(), f"{SCRAPE_SECONDS}s"
    queue = {"batch_send_deadline": "300ms", "min_shards": 1, "max_shards": 1}
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "external_labels": {"vm": vm}},
        "scrape_configs": [*jobs, exporter_job("alloy", {at: vm})],
        "remote_write": [{"url": f"http://{central}/api/v1/write", "queue_config": queue}],
    }
    return prometheus_at(at, folder, config, "--enable-feature=agent", f"--storage.agent.path={folder}/data")


def _jobs(stage: Stage, around: Surroundings) -> dict[str, list[dict[str, Any]]]:
    """Return what each VM's agent scrapes, but for itself: as `alloy_configs/files.py` has it."""
    found = {
        str(service): [
            service_job(stage, service),
            *(exporter_job(job, {around.at[f"{store} exporter"]: str(service)}) for job, store in stores.items()),
        ]
        for service, stores in _STORES.items()
    }
    found[GATEWAY] = [
        exporter_job("nginx", {around.at["nginx exporter"]: "nginx-exporter:9113"}),
        exporter_job("node", {around.at["node exporter"]: GATEWAY}),
        certificate_job(around, GATEWAY),
    ]
    return found
