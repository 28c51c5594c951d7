"""The table of all metrics in `README.md`, made from the services' code."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checklist.apps import describe
from chores.folders import LOCAL_DEV, REPOSITORY, SERVICES

README: Final = LOCAL_DEV / "README.md"
BEGIN: Final = "<!-- metrics: written by `make boards` -->"
END: Final = "<!-- end of metrics -->"
GATEWAY: Final = "gateway-vm/alloy/config.alloy"
GATEWAY_LABELS: Final = {
    "ml_gateway_requests_total": ("route", "method", "status"),
    "ml_gateway_request_duration_seconds": ("route",),
    "ml_gateway_limited_total": ("route",),
}
"""As the stages put them on; `tests/alloy` runs those."""


@dataclass(frozen=True)
class Metric:
    """One metric, as Prometheus sees it, and the services that have it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    says: str
    services: tuple[str, ...]

    @property
    def row(self) -> str:
        """Its line of the table."""
        labels = ", ".join(f"`{label}`" for label in self.labels)
        where = "all" if set(self.services) == set(SERVICES) else ", ".join(self.services)
        return f"| `{self.name}` | {self.kind} | {self.unit} | {labels} | {where} | {self.says} |"

    @property
    def unit(self) -> str:
        """What is counted or measured, as the name says."""
        what = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return {"seconds": "s", "bytes": "bytes", "ratio": "0 to 1", "tokens": "tokens"}.get(what, "number")


def collect() -> list[Metric]:
    """Return every metric of ours, by name. The services' modules are imported, and nothing is connected to."""
    found = {metric.name: metric for metric in gateway_metrics(REPOSITORY)}
    with ThreadPoolExecutor() as threads:
        apps = list(threads.map(lambda service: describe(REPOSITORY, service), SERVICES))
    for app in apps:
        service = app.service
        for name, kind, labels, says in app.metrics:
            before = found.get(name)
            services = (*before.services, service) if before else (service,)
            metric = Metric(name, kind, tuple(labels), says, services)
            if before and (before.kind, before.labels, before.says) != (metric.kind, metric.labels, metric.says):
                raise ValueError(f"{name} is not the same in {service} as in {', '.join(before.services)}")
            found[name] = metric
    return [found[name] for name in sorted(found)]


def gateway_metrics(root: Path) -> list[Metric]:
    """Return what the gateway's Alloy makes of the access log."""
    found = []
    for kind, block in re.findall(r"metric\.(\w+) \{(.*?)\n\s*\}", (root / GATEWAY).read_text(), re.DOTALL):
        given = dict(re.findall(r'^\s*(\w+)\s*= "(.*)"$', block, re.MULTILINE))
        name = given["prefix"] + given["name"]
        found.append(Metric(name, kind, GATEWAY_LABELS[name], given["description"], ("gateway-vm",)))
    return found


def render(metrics: list[Metric]) -> str:
    """Return the table."""
    head = ["| metric | type | unit | labels | in | says |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(metric.row for metric in metrics)])


def written() -> str:
    """Return the table that stands in the README."""
    text = README.read_text()
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip()


def write(table: str) -> None:
    """Put the table into the README."""
    text = README.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    README.write_text(f"{text[:begin]}\n\n{table}\n\n{text[end:]}")
