"""The two that are measured: our fleet, by its API as a user would, and Scrapy, in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fleet import Fleet, FleetError
from fleet.layout import LOCAL_DEV

from bench.client import Client
from bench.processes import CpuClock

CRAWLS: Final = "/api/orchestrator/crawls"
POLL_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 1_800.0
SCRAPY: Final = LOCAL_DEV / ".cache" / "scrapy" / "bin" / "python"
RUNNING: Final = "running"


@dataclass(frozen=True, slots=True)
class Took:
    """What a crawl took."""

    pages: int
    seconds: float
    cpu_seconds: float

    @property
    def pages_a_second(self) -> float:
        """Pages that came out of it, by the clock on the wall."""
        return self.pages / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor time of a page, in milliseconds."""
        return self.cpu_seconds / self.pages * 1000


@contextmanager
def made_up_sites(hosts: int, pages: int, *, crawl_delay: float) -> Iterator[list[str]]:
    """Serve sites of ordinary pages whose robots.txt asks for a pace, in seconds; gives their origins."""
    command = [sys.executable, "-m", "standins.sites", "--plain", "--until-input-ends", "--no-sitemap"]
    command += ["--hosts", str(hosts), "--pages", str(pages), "--crawl-delay", str(crawl_delay)]
    with subprocess.Popen(command, cwd=LOCAL_DEV, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both were asked for")
        try:
            yield list(json.loads(process.stdout.readline())["origins"])
        finally:
            process.stdin.close()


def by_scrapy(origins: Sequence[str], *, host_delay: float, concurrency: int, extract: bool) -> Took:
    """Have Scrapy read sites.

    Raises
    ------
    FleetError
        If it is not there, or failed.
    """
    asked = {"origins": origins, "host_delay": host_delay, "concurrency": concurrency, "extract": extract}
    spider = LOCAL_DEV / "bench" / "crawl" / "spider.py"
    if not SCRAPY.exists():
        raise FleetError("Scrapy is not installed; `make bench-crawl` does that")
    ran = subprocess.run(
        [SCRAPY, spider, json.dumps(asked)], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    if ran.returncode:
        raise FleetError(f"Scrapy failed: {ran.stderr[-2_000:]}")
    told = json.loads(ran.stdout.splitlines()[-1])
    return Took(told["pages"], told["seconds"], told["cpu_seconds"])


def by_us(fleet: Fleet, origins: Sequence[str], *, corpus_name: str, index: bool) -> Took:
    """Have the fleet crawl sites: one crawl, which begins at each root.

    Raises
    ------
    FleetError
        If it does not end, or not well.
    """
    client = Client(fleet.gateway, fleet.keys["user"])
    clock = CpuClock(fleet)
    began = time.monotonic()
    body = {
        "source": "list",
        "urls": [f"{origin}/" for origin in origins],
        "follow_links": True,
        "corpus_name": corpus_name,
        "dry_run": not index,
        "max_depth": 50,
    }
    crawl_id = client.ask("POST", CRAWLS, body)["crawl_id"]
    run = _ended(client, f"{CRAWLS}/{crawl_id}/runs/1")
    seconds = time.monotonic() - began
    own, _ = clock.spent()
    if run["state"] != "completed":
        raise FleetError(f"the crawl ended {run['state']}: {run['reasons']} {run['warnings']}")
    return Took(run["outcomes"]["new"], seconds, sum(own.values()))


def _ended(client: Client, path: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        run: dict[str, Any] = client.ask("GET", path)
        if run["state"] != RUNNING:
            return run
        if time.monotonic() > deadline:
            raise FleetError(f"the crawl has not ended: {run}")
        time.sleep(POLL_SECONDS)
