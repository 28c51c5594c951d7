"""A client of the gateway that behaves: it obeys 429, and waits with a limit."""

import time
from typing import Any

import httpx

POLL_SECONDS = 0.1
THROTTLE_PATIENCE_SECONDS = 60.0
PATIENCE_SECONDS = 180.0


class Caller:
    """One API key at one gateway."""

    def __init__(self, gateway: str, key: str) -> None:
        self.gateway = gateway
        self.throttled = 0
        self._http = httpx.Client(base_url=gateway, headers={"X-API-Key": key}, timeout=90.0, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask once, and again after a 429 as it says."""
        deadline = time.monotonic() + THROTTLE_PATIENCE_SECONDS
        while True:
            answer = self._http.request(method, path, **more)
            if answer.status_code != 429 or time.monotonic() > deadline:
                return answer
            self.throttled += 1
            time.sleep(min(float(answer.headers["Retry-After"]), 5.0))

    def submit(self, url: str, corpus: str = "default", **more: Any) -> httpx.Response:
        body = {"url": url, "corpus_name": corpus} | more
        answer = self.request("POST", "/api/orchestrator/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return answer

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.request("GET", f"/api/orchestrator/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def wait(self, job_id: str, timeout_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Return the job once it has ended."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                job = self.job(job_id)
            except httpx.TransportError:
                job = {"status": "unknown"}  # an API process may just have been replaced
            if job["status"] in ("completed", "failed", "cancelled"):
                return job
            if time.monotonic() > deadline:
                raise AssertionError(f"the job has not ended after {timeout_seconds} s: {job}")
            time.sleep(POLL_SECONDS)

    def index(self, url: str, corpus: str, timeout_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Submit a page and return its completed job."""
        job = self.wait(self.submit(url, corpus).json()["job_id"], timeout_seconds)
        assert job["status"] == "completed", job
        return job

    def search(self, query: str, corpus: str, **more: Any) -> list[dict[str, Any]]:
        body = {"query": query, "corpus_name": corpus, "max_per_document": None} | more
        answer = self.request("POST", "/api/embedding/search", json=body)
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def corpus(self, name: str) -> dict[str, Any]:
        answer = self.request("GET", f"/api/embedding/corpora/{name}")
        assert answer.status_code == 200, answer.text
        corpus: dict[str, Any] = answer.json()
        return corpus
