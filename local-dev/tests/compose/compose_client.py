"""A client of the gateway that waits while a service is away, as its `Retry-After` says."""

import time
import uuid
from typing import Any

import httpx
from tests.e2e.e2e_caller import Caller

AWAY = (502, 503, 504)
PATIENCE_SECONDS = 120.0
ENDED = ("completed", "failed", "cancelled")


class PatientCaller(Caller):
    """Asks again after a 502, 503 or 504, and when the gateway itself is away."""

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = super().request(method, path, **more)
                if answer.status_code not in AWAY or time.monotonic() > deadline:
                    return answer
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.3)

    def submit(self, url: str, corpus: str = "default", **more: Any) -> httpx.Response:
        """Submit a page once, however often it has to be said."""
        body = {"url": url, "corpus_name": corpus} | more
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        answer = self.request("POST", "/api/orchestrator/jobs", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer
