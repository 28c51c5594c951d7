"""Measures a fleet of its own, in a folder of its own: `python -m bench [--pages 100] [--hosts 20] [--single 20]
[--host-delay 1.0]`.

Idle: one page at a time, from its submission until it can be found, on the orchestrator's clock. Loaded: all pages
submitted at once by one client that obeys `429`.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from fleet import Fleet, FleetError
from fleet.memory import memory_of

from bench.sites import serve_sites
from ml_shared.contracts.jobs import ENDED, JobStatus, JobView
from ml_shared.names import Header

JOBS = "/api/orchestrator/jobs"
POLL_SECONDS = 0.25
PATIENCE_SECONDS = 300.0
REST_SECONDS = 3.0
# between two single pages, and before memory is read: what was started has settled by then


class Client:
    """Asks the gateway, and waits when it is told to."""

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(base_url=url, headers={Header.API_KEY: key}, timeout=30, trust_env=False)
        self.throttled = 0

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer's JSON."""
        while True:
            answer = self._client.request(method, path, json=body)
            if answer.status_code != 429:
                answer.raise_for_status()
                return answer.json()
            self.throttled += 1
            time.sleep(float(answer.headers.get(Header.RETRY_AFTER, "1")))

    def submit(self, url: str) -> str:
        """Submit a page and return its job's id."""
        return str(self.ask("POST", JOBS, {"url": url, "corpus_name": "bench"})["job_id"])

    def wait(self, job_ids: Sequence[str]) -> list[JobView]:
        """Wait until these jobs have ended, the last one first: the others have most likely ended by then."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        ended: dict[str, JobView] = {}
        for job_id in reversed(job_ids):
            while job_id not in ended:
                job = JobView.model_validate(self.ask("GET", f"{JOBS}/{job_id}"))
                if job.status in ENDED:
                    ended[job_id] = job
                elif time.monotonic() > deadline:
                    raise FleetError(f"job {job_id} has not ended: {job.status}, {job.waiting}")
                else:
                    time.sleep(POLL_SECONDS)
        return list(ended.values())


def _seconds(job: JobView) -> float:
    if job.status is not JobStatus.COMPLETED or job.ended_at is None:
        raise FleetError(f"{job.url} ended {job.status}: {job.error}")
    return (job.ended_at - job.submitted_at).total_seconds()


def _percentile(values: Sequence[float], hundredth: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[hundredth - 1]


def measure(state: Path, hosts: int, pages: int, single: int, host_delay: float) -> None:
    """Start a fleet, measure, and print the figures."""
    with serve_sites(hosts) as sites:
        ports = ",".join(str(site.port) for site in sites)
        began = time.monotonic()
        scraper = {"ALLOWED_PORTS": ports, "HOST_DELAY_SECONDS": str(host_delay)}
        with Fleet(state, overrides={"scraper": scraper}, tied=True) as fleet:
            print(f"start of the fleet             {time.monotonic() - began:8.1f} s", flush=True)
            time.sleep(REST_SECONDS)
            memory = sum(memory_of(one.pid) for one in fleet.states())
            print(f"memory at rest                 {memory / 2**20:8.0f} MB", flush=True)
            client = Client(fleet.gateway, fleet.keys["user"])
            times = []
            for number in range(single):
                site = sites[number % hosts]
                times += [_seconds(job) for job in client.wait([client.submit(f"{site.url}/pages/{1000 + number}")])]
                time.sleep(REST_SECONDS / 3)
            print(f"one page, p50                  {_percentile(times, 50):8.2f} s", flush=True)
            print(f"one page, p95                  {_percentile(times, 95):8.2f} s  ({single} pages)", flush=True)
            client.throttled = 0
            began = time.monotonic()
            urls = [f"{sites[number % hosts].url}/pages/{number}" for number in range(pages)]
            jobs = [client.submit(url) for url in urls]
            submitted = time.monotonic() - began
            loaded = client.wait(jobs)
            first = min(job.submitted_at for job in loaded)
            total = max(job.ended_at for job in loaded if job.ended_at is not None) - first
            failed = [job for job in loaded if job.status is not JobStatus.COMPLETED]
            print(f"{pages} pages from {hosts} hosts        {total.total_seconds():8.1f} s", flush=True)
            print(f"pages a second                 {pages / total.total_seconds():8.1f}")
            print(f"submitting them took           {submitted:8.1f} s  ({client.throttled} × 429)")
            if failed:
                raise FleetError(f"{len(failed)} pages were not indexed, the first because of {failed[0].error}")


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--single", type=int, default=20)
    parser.add_argument("--host-delay", type=float, default=1.0, help="seconds between two requests to a host")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ml-bench-") as folder:
        try:
            measure(Path(folder) / "state", chosen.hosts, chosen.pages, chosen.single, chosen.host_delay)
        except (FleetError, httpx.HTTPError) as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
