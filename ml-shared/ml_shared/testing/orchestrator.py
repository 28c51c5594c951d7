"""A stand-in for the orchestrator's internal routes, which keeps what workers say and answers as it is told to."""

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_shared.contracts.jobs import ProgressPhase, ProgressReport, StageCallback
from ml_shared.names import Header
from ml_shared.testing.http_server import ThreadedServer

LEASE_SECONDS: Final = 60.0
WAIT_SECONDS: Final = 20.0


@dataclass(frozen=True)
class ReceivedCallback:
    """A `complete` that arrived."""

    job_id: str
    callback: StageCallback
    headers: dict[str, str]


@dataclass(frozen=True)
class ReceivedProgress:
    """A `progress` that arrived."""

    job_id: str
    report: ProgressReport
    headers: dict[str, str]


@dataclass(frozen=True)
class KeptContent:
    """What was put, under its reference."""

    job_id: str
    attempt_id: str
    stage: str
    body: bytes


class FakeOrchestrator:
    """Serves `/jobs/{id}/complete`, `/jobs/{id}/progress` and `/content` on a free port until the `with` block ends.

    Parameters
    ----------
    prefix
        A path before the routes, as the gateway's `/api/orchestrator`.

    Attributes
    ----------
    completed, reports
        What arrived and was understood, in order; those answered with an error on purpose are not in it.
    contents
        Content by reference. A test puts its own with `keep`.
    abandoned
        Attempts that are answered `409 abandon` from now on. `abandon_at` does it by phase.
    stale
        Attempts whose callback is answered `stale`.
    failures
        Statuses to answer the next requests with, one each, before anything else.
    status
        A status to answer every request with; `None` for none.
    corrupt
        Whether content is damaged on its way, either way.
    delay_seconds
        How long each answer takes.
    """

    def __init__(self, *, prefix: str = "") -> None:
        self._prefix = prefix
        self.completed: list[ReceivedCallback] = []
        self.reports: list[ReceivedProgress] = []
        self.contents: dict[str, KeptContent] = {}
        self.abandoned: set[str] = set()
        self.abandon_at: set[ProgressPhase] = set()
        self.stale: set[str] = set()
        self.unknown_jobs: set[str] = set()
        self.failures: list[int] = []
        self.status: int | None = None
        self.corrupt = False
        self.delay_seconds = 0.0
        self.requests: Counter[str] = Counter()
        self._changed = threading.Condition()
        routes = [
            Route(f"{prefix}/jobs/{{job_id}}/complete", self._complete, methods=["POST"]),
            Route(f"{prefix}/jobs/{{job_id}}/progress", self._progress, methods=["POST"]),
            Route(f"{prefix}/content", self._put_content, methods=["PUT"]),
            Route(f"{prefix}/content/{{ref}}", self._get_content, methods=["GET"]),
        ]
        self._server = ThreadedServer(Starlette(routes=routes))

    @property
    def url(self) -> str:
        """What `ORCHESTRATOR_URL` is set to."""
        return self._server.url + self._prefix

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, traceback)

    def keep(self, body: bytes, *, job_id: str = "job", attempt_id: str = "attempt", stage: str = "chunking") -> str:
        """Keep content as if a stage had put it; returns its reference."""
        ref = hashlib.sha256(f"{job_id}/{attempt_id}/{stage}".encode()).hexdigest()[:32]
        self.contents[ref] = KeptContent(job_id, attempt_id, stage, body)
        return ref

    def callbacks_for(self, job_id: str) -> list[StageCallback]:
        """The callbacks of a job, in order."""
        with self._changed:
            return [received.callback for received in self.completed if received.job_id == job_id]

    def phases_for(self, job_id: str) -> list[ProgressPhase]:
        """The phases that were reported of a job, in order."""
        with self._changed:
            return [received.report.phase for received in self.reports if received.job_id == job_id]

    def wait_for_callback(self, job_id: str, timeout_seconds: float = WAIT_SECONDS) -> StageCallback:
        """Return the first callback of a job, as soon as there is one."""
        self.wait_until(lambda: bool(self.callbacks_for(job_id)), timeout_seconds)
        return self.callbacks_for(job_id)[0]

    def wait_until(self, condition: Callable[[], bool], timeout_seconds: float = WAIT_SECONDS) -> None:
        """Wait until what has arrived fulfils a condition.

        Raises
        ------
        TimeoutError
            If it does not in time.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not condition():
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise TimeoutError(
                        f"not within {timeout_seconds} s; reports: {[each.report for each in self.reports]}, "
                        f"callbacks: {[each.callback for each in self.completed]}"
                    )

    async def _refusal(self, request: Request) -> Response | None:
        self.requests[request.url.path] += 1
        await asyncio.sleep(self.delay_seconds)
        status = self.failures.pop(0) if self.failures else self.status
        return None if status is None else _problem(status, "made_to_fail")

    async def _complete(self, request: Request) -> Response:
        if refusal := await self._refusal(request):
            return refusal
        job_id = request.path_params["job_id"]
        callback = StageCallback.model_validate_json(await request.body())
        if job_id in self.unknown_jobs:
            return _problem(404, "not_found")
        earlier = [each.callback.attempt_id for each in self.completed if each.job_id == job_id]
        with self._changed:
            self.completed.append(ReceivedCallback(job_id, callback, dict(request.headers)))
            self._changed.notify_all()
        if callback.attempt_id in self.stale:
            return JSONResponse({"stale": True})
        return JSONResponse({"duplicate": True} if callback.attempt_id in earlier else {})

    async def _progress(self, request: Request) -> Response:
        if refusal := await self._refusal(request):
            return refusal
        job_id = request.path_params["job_id"]
        report = ProgressReport.model_validate_json(await request.body())
        with self._changed:
            self.reports.append(ReceivedProgress(job_id, report, dict(request.headers)))
            self._changed.notify_all()
        if job_id in self.unknown_jobs:
            return _problem(404, "not_found")
        if report.attempt_id in self.abandoned or report.phase in self.abandon_at:
            return _problem(409, "abandon")
        return JSONResponse({"lease_seconds": LEASE_SECONDS})

    async def _put_content(self, request: Request) -> Response:
        if refusal := await self._refusal(request):
            return refusal
        parameters = request.query_params
        if parameters["attempt_id"] in self.abandoned:
            return _problem(409, "abandon")
        body = await request.body() + (b"damaged" if self.corrupt else b"")
        ref = self.keep(
            body, job_id=parameters["job_id"], attempt_id=parameters["attempt_id"], stage=parameters["stage"]
        )
        return JSONResponse({"content_ref": ref, "sha256": hashlib.sha256(body).hexdigest()})

    async def _get_content(self, request: Request) -> Response:
        if refusal := await self._refusal(request):
            return refusal
        kept = self.contents.get(request.path_params["ref"])
        if kept is None:
            return _problem(404, "content_missing")
        digest = hashlib.sha256(kept.body).hexdigest()
        body = kept.body + (b"damaged" if self.corrupt else b"")
        return Response(body, media_type="application/octet-stream", headers={str(Header.CONTENT_SHA256): digest})


def _problem(status: int, code: str) -> Response:
    return JSONResponse({"status": status, "code": code}, status, media_type="application/problem+json")
