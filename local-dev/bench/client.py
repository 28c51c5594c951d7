"""The client of a measured fleet: submits pages through the gateway and waits for them, as a user would."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
from fleet import FleetError

from ml_shared.contracts.jobs import ENDED, JobStatus, JobView
from ml_shared.names import Header

JOBS: Final = "/api/orchestrator/jobs"
POLL_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 300.0
SUBMITTING_THREADS: Final = 4
# so that a saturated fleet's slow answers to a client are not what is measured


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

    def submit_all(self, urls: Sequence[str]) -> list[str]:
        """Submit pages, a few at once, and return their jobs' ids."""
        with ThreadPoolExecutor(SUBMITTING_THREADS) as threads:
            return list(threads.map(self.submit, urls))

    def wait(self, job_ids: Sequence[str], poll_seconds: float = POLL_SECONDS) -> list[JobView]:
        """Wait until these jobs have ended, the last one first: the others have most likely ended by then.

        Raises
        ------
        FleetError
            If one has not ended in time, or not well.
        """
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
                    time.sleep(poll_seconds)
        for job in ended.values():
            if job.status is not JobStatus.COMPLETED:
                raise FleetError(f"{job.url} ended {job.status}: {job.error}")
        return list(ended.values())


def seconds_of(job: JobView) -> float:
    """Return the time from a job's submission until its page could be found, on the orchestrator's clock."""
    if job.ended_at is None:
        raise FleetError(f"{job.url} has not ended")
    return (job.ended_at - job.submitted_at).total_seconds()
