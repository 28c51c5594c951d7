"""What is done to a fleet to measure it, and what is measured: one fleet, with the model in the way or without."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import httpx
from fleet import Fleet, FleetError
from fleet.composition import compose
from fleet.keys import Keys
from fleet.layout import LOCAL_DEV, Layout
from fleet.programs import Program
from fleet.services import Overrides, service_settings

from bench import counts
from bench.client import Client, seconds_of
from bench.figures import YARDSTICK, Figures
from bench.plain import WARM_PAGES, Plain
from bench.processes import CpuClock, memory_by_program, start_seconds
from bench.sites import SLOW_SECONDS, Site, serve_sites
from ml_shared.names import Service

NO_LIMIT: Final = {"RATE_LIMIT_TIERS": "default=1000000", "RATE_LIMIT_CAPACITY": "2000000"}
NO_GATEWAY_LIMIT: Final = {
    **dict.fromkeys(("GATEWAY_RATE_PER_IP", "GATEWAY_RATE_PER_KEY"), "10000r/s"),
    **dict.fromkeys(("GATEWAY_ORCHESTRATOR_BURST_PER_IP", "GATEWAY_ORCHESTRATOR_BURST_PER_KEY"), "10000"),
}
# one client is the whole load: what it may ask for is not what is measured here
AT_REST: Final = "at rest, CPU ms a second"
SETTLE_SECONDS: Final = 3.0
AT_REST_SECONDS: Final = 5.0
BETWEEN_SINGLE_SECONDS: Final = 0.4
SINGLE_POLL_SECONDS: Final = 0.05
OWN_SECONDS: Final = 2 * SLOW_SECONDS
# what a single page takes by itself: the site and the endpoint wait so long
SINGLE, LOADED, COUNTED, WARM, PLAIN = 1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000
# numbers of pages: each phase has its own


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    hosts, pages
        Under load; each host has `pages / hosts` of them.
    single
        Pages of a host that is new, and as many of known hosts, one at a time.
    counted
        Pages during which statements are counted.
    host_delay
        Seconds between two requests to a host under load.
    """

    hosts: int
    pages: int
    single: int
    counted: int
    host_delay: float
    model: bool


def measure(state: Path, plan: Plan) -> Figures:
    """Start a fleet, measure it and end it."""
    with serve_sites(plan.hosts + plan.single) as (sites, sites_pid):
        ports = ",".join(str(site.port) for site in sites)
        overrides = {
            "scraper": {"ALLOWED_PORTS": ports},
            "orchestrator": NO_LIMIT,
            "gateway": NO_GATEWAY_LIMIT,
        }
        began = time.monotonic()
        with Fleet(state, overrides=overrides, programs=compose if plan.model else instant, tied=True) as fleet:
            figures = Figures({"start, s": time.monotonic() - began, "start, CPU s": start_seconds(fleet)})
            run = _Run(fleet, plan, sites, sites_pid, figures)
            run.at_rest()
            if plan.single:
                run.one_at_a_time()
            fleet.restart("scraper-worker", settings={"HOST_DELAY_SECONDS": str(plan.host_delay)})
            run.warm_up()
            before = run.plain()
            run.loaded()
            run.compare(before, run.plain())
            if plan.counted:
                run.count_statements()
            return figures


def instant(layout: Layout, ports: Mapping[str, int], keys: Keys, overrides: Overrides) -> list[Program]:
    """Return the fleet's programs, with an endpoint that answers at once in the model's place."""
    programs = compose(layout, ports, keys, overrides)
    command = [sys.executable, "-m", "bench.endpoint", "--port", str(ports["endpoint"])]
    return [replace(one, command=command) if one.name == "endpoint" else one for one in programs]


class _Run:
    """One fleet while it is measured."""

    def __init__(self, fleet: Fleet, plan: Plan, sites: Sequence[Site], sites_pid: int, figures: Figures) -> None:
        self._fleet = fleet
        self._plan = plan
        self._new, self._sites = sites[plan.hosts :], sites[: plan.hosts]
        self._others = {"sites": sites_pid, "manager": self._manager(), "client": os.getpid()}
        self._figures = figures
        self._client = Client(fleet.gateway, fleet.keys["user"])

    def _manager(self) -> int:
        process = self._fleet.manager.process
        if process is None:
            raise FleetError("the process manager is gone")
        return int(process.pid)

    def _urls(self, first: int, pages: int) -> list[str]:
        return [self._sites[number % len(self._sites)].page(first + number) for number in range(pages)]

    def at_rest(self) -> None:
        """Measure what a fleet takes that has nothing to do."""
        time.sleep(SETTLE_SECONDS)
        clock = CpuClock(self._fleet)
        began = time.monotonic()
        time.sleep(AT_REST_SECONDS)
        own, _ = clock.spent()
        seconds = time.monotonic() - began
        self._figures[AT_REST] = sum(own.values()) * 1000 / seconds
        memory = memory_by_program(self._fleet)
        self._figures["at rest, MB"] = sum(memory.values())
        self._figures.update({f"MB  {name}": megabytes for name, megabytes in memory.items()})

    def one_at_a_time(self) -> None:
        """Measure how long a page takes when nothing else is asked for, of a new host and of a known one."""
        own = OWN_SECONDS if not self._plan.model else 1.0
        with self._slow_endpoint():
            for kind, number in (("a new host", SINGLE), ("a known host", SINGLE + 1)):
                times: list[float] = []
                for site in self._new:
                    job_id = self._client.submit(site.page(number, slow=True))
                    times += map(seconds_of, self._client.wait([job_id], SINGLE_POLL_SECONDS))
                    time.sleep(BETWEEN_SINGLE_SECONDS)
                for hundredth in (50, 95):
                    value = _percentile(times, hundredth)
                    self._figures[f"one page of {kind}, p{hundredth}, s"] = value
                    if not self._plan.model:
                        self._figures[f"one page of {kind}, p{hundredth} ÷ its own {own:.1f} s"] = value / own

    @contextmanager
    def _slow_endpoint(self) -> Iterator[None]:
        """Have the endpoint take its time, if it is ours to say."""
        if self._plan.model:
            yield
            return
        address = self._fleet.addresses.url("endpoint", "/delay")
        httpx.post(address, content=str(SLOW_SECONDS), trust_env=False).raise_for_status()
        yield
        httpx.post(address, content="0", trust_env=False).raise_for_status()

    def warm_up(self) -> None:
        """Have every process have done everything once, and every host's robots.txt read."""
        self._client.wait(self._client.submit_all(self._urls(WARM, len(self._sites))))

    def loaded(self) -> None:
        """Measure many pages at once."""
        pages, figures = self._plan.pages, self._figures
        self._client.throttled = 0
        requests = counts.http_requests(self._fleet)
        commands, reads = counts.redis_commands(self._fleet)
        clock = CpuClock(self._fleet, self._others)
        jobs = self._client.wait(self._client.submit_all(self._urls(LOADED, pages)))
        own, others = clock.spent()
        seconds = (
            max(job.ended_at for job in jobs if job.ended_at is not None) - min(job.submitted_at for job in jobs)
        ).total_seconds()
        figures["pages a second"] = pages / seconds
        figures["CPU ms a page"] = sum(own.values()) * 1000 / pages
        figures["CPU ms a page  (of it what rest takes in that time)"] = figures[AT_REST] * seconds / pages
        figures.update({f"CPU ms a page  {name}": spent * 1000 / pages for name, spent in own.items() if spent})
        figures.update({f"CPU ms a page  ({name})": spent * 1000 / pages for name, spent in others.items()})
        figures["429 to the client"] = self._client.throttled
        requests = counts.http_requests(self._fleet) - requests
        now, reads_now = counts.redis_commands(self._fleet)
        figures.count("HTTP requests a page", requests, pages)
        figures.count("Redis commands a page", now - commands, pages)
        figures.count("Redis round trips a page", reads_now - reads, pages)

    def count_statements(self) -> None:
        """Count the statements of a page, under load too."""
        with counts.statements_logged(self._fleet) as statements:
            self._client.wait(self._client.submit_all(self._urls(COUNTED, self._plan.counted)))
        self._figures.count("SQL statements a page", statements, self._plan.counted)

    def plain(self) -> Plain | None:
        """Have the same work done by plain calls; None where the model's time would be most of it."""
        if self._plan.model:
            return None
        urls = self._urls(PLAIN, self._plan.pages // 2 + WARM_PAGES)
        settings = service_settings(self._fleet.addresses, {})
        done = subprocess.run(
            [sys.executable, "-m", "bench.plain"],
            input=json.dumps(urls),
            env={"PATH": os.defpath, **settings[Service.CHUNKING], **settings[Service.EMBEDDING]},
            cwd=LOCAL_DEV,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return Plain(**json.loads(done.stdout))

    def compare(self, before: Plain | None, after: Plain | None) -> None:
        """Set the loaded fleet against plain calls before and after it."""
        if before is None or after is None:
            return
        cpu_ms = (before.cpu_ms + after.cpu_ms) / 2
        pages_a_second = (before.pages_a_second + after.pages_a_second) / 2
        self._figures["CPU ms a page, plain calls"] = cpu_ms
        self._figures[YARDSTICK] = (before.machine_ms + after.machine_ms) / 2
        self._figures["pages a second, plain calls"] = pages_a_second
        self._figures["CPU a page ÷ plain calls"] = self._figures["CPU ms a page"] / cpu_ms
        self._figures["pages a second ÷ plain calls"] = self._figures["pages a second"] / pages_a_second


def _percentile(values: Sequence[float], hundredth: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[hundredth - 1]
