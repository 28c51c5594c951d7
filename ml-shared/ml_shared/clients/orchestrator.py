"""What a worker tells the orchestrator, and the content that it puts there or reads from there.

Few attempts within seconds: when they don't help, the job's lease brings it back, and a worker that waited longer
would be a slot that works on nothing.
"""

import asyncio
import hashlib
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self, TypeVar
from urllib.parse import quote

import httpx
from opentelemetry import propagate, trace
from pydantic import BaseModel, ValidationError

from ml_shared import attributes
from ml_shared.contracts.jobs import CallbackAnswer, ContentStored, ProgressAnswer, ProgressReport, StageCallback
from ml_shared.errors import TooLargeError, UnavailableError, UpstreamError
from ml_shared.metrics import CALLBACKS, service_name
from ml_shared.names import Header, Stage
from ml_shared.settings import ServiceSettings

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)
Answer = TypeVar("Answer", bound=BaseModel)

CONNECT_TIMEOUT_SECONDS: Final = 2.0
REPORT_TIMEOUT_SECONDS: Final = 4.0
CONTENT_TIMEOUT_SECONDS: Final = 30.0
# of one read or write; content is some megabytes and passes the gateway
REPORT_ATTEMPTS: Final = 4
CONTENT_ATTEMPTS: Final = 3
BACKOFF_SECONDS: Final = 0.25
# doubled each time, with full jitter: all attempts at a peer that refuses take about 2 s, at one that hangs 18 s
MAX_CONNECTIONS: Final = 8
FINAL_STATUSES: Final = frozenset({404, 409})
RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class AbandonError(Exception):
    """The orchestrator wants nothing more of this attempt: superseded, cancelled or ended. No callback follows.

    Not a `ServiceError`, so that nothing takes it for the task's failure and reports it.
    """


class ContentMissingError(UnavailableError):
    """The content is no longer kept; the job goes back to the stage that makes it."""

    code = "content_missing"


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    name: str
    attempts: int
    timeout_seconds: float
    parameters: dict[str, str] | None = None
    content: bytes | None = None
    headers: dict[str, str] | None = None


async def _inject_trace_context(request: httpx.Request) -> None:
    """For processes whose httpx is not instrumented: the one that Celery forks from exports no spans."""
    if "traceparent" not in request.headers:
        propagate.inject(request.headers)


class OrchestratorClient:
    """One pooled client of the orchestrator's internal routes. Make it with `open`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: ServiceSettings) -> AsyncIterator[Self]:
        """Open a client for `ORCHESTRATOR_URL`, with this service's own key.

        Raises
        ------
        ValueError
            If either setting is empty.
        """
        if not settings.ORCHESTRATOR_URL or settings.SERVICE_API_KEY is None:
            raise ValueError("a worker that reports to the orchestrator needs ORCHESTRATOR_URL and SERVICE_API_KEY")
        async with httpx.AsyncClient(
            base_url=settings.ORCHESTRATOR_URL,
            headers={Header.API_KEY: settings.SERVICE_API_KEY.get_secret_value()},
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            event_hooks={"request": [_inject_trace_context]},
            trust_env=False,  # the fleet's own traffic goes through no proxy of the environment's
        ) as http:
            yield cls(http)

    async def complete(self, job_id: str, callback: StageCallback) -> CallbackAnswer | None:
        """Report how an attempt ended: the one final callback.

        Returns
        -------
        CallbackAnswer or None
            `None` when it could not be delivered; it is logged and counted, and the lease brings the job back. A job
            that the orchestrator does not know, or that it wants nothing more of, answers as stale.
        """
        call = _Call(
            "POST",
            f"/jobs/{_segment(job_id)}/complete",
            "complete",
            attempts=REPORT_ATTEMPTS,
            timeout_seconds=REPORT_TIMEOUT_SECONDS,
            content=_json(callback),
        )
        with tracer.start_as_current_span("orchestrator.complete") as span:
            span.set_attribute(attributes.JOB_ID, job_id)
            try:
                response = await self._send(call)
            except UnavailableError as error:
                logger.error(
                    "callback given up", extra={"job_id": job_id, "stage": callback.stage, "error": str(error)}
                )
                return None
            if response.status_code in FINAL_STATUSES:
                _count("complete", "refused")
                return CallbackAnswer(stale=True)
            answer = _parse(CallbackAnswer, response) or CallbackAnswer()
            _count("complete", "stale" if answer.stale else "duplicate" if answer.duplicate else str(callback.status))
            return answer

    async def progress(self, job_id: str, report: ProgressReport, *, attempts: int = REPORT_ATTEMPTS) -> ProgressAnswer:
        """Say where an attempt stands, which starts or renews its lease.

        Raises
        ------
        AbandonError
            If the orchestrator wants nothing more of this attempt.
        UnavailableError
            If it could not be told.
        """
        call = _Call(
            "POST",
            f"/jobs/{_segment(job_id)}/progress",
            str(report.phase),
            attempts=attempts,
            timeout_seconds=REPORT_TIMEOUT_SECONDS,
            content=_json(report),
        )
        with tracer.start_as_current_span(f"orchestrator.{report.phase}") as span:
            span.set_attribute(attributes.JOB_ID, job_id)
            response = await self._send(call)
            if response.status_code in FINAL_STATUSES:
                _count(str(report.phase), "abandon")
                if response.status_code == 404:  # rare of a job, usual of a gateway that takes us for a stranger
                    logger.warning("the orchestrator knows no such job or route", extra={"job_id": job_id})
                raise AbandonError(f"the orchestrator answered {response.status_code} to {report.phase}")
            answer = _parse(ProgressAnswer, response)
            if answer is None:
                raise UnavailableError("the orchestrator's answer was not one", code="orchestrator_unavailable")
            _count(str(report.phase), "accepted")
            return answer

    async def put_content(self, job_id: str, attempt_id: str, stage: Stage, body: bytes) -> ContentStored:
        """Keep the content that this attempt made.

        Raises
        ------
        AbandonError
            If the orchestrator wants nothing more of this attempt.
        TooLargeError
            If it is longer than the orchestrator keeps.
        UnavailableError
            If it could not be put.
        """
        digest = hashlib.sha256(body).hexdigest()
        call = _Call(
            "PUT",
            "/content",
            "put_content",
            attempts=CONTENT_ATTEMPTS,
            timeout_seconds=CONTENT_TIMEOUT_SECONDS,
            parameters={"job_id": job_id, "attempt_id": attempt_id, "stage": str(stage)},
            content=body,
            headers={"Content-Type": "application/octet-stream", Header.CONTENT_SHA256: digest},
        )
        with tracer.start_as_current_span("orchestrator.put_content") as span:
            span.set_attribute(attributes.JOB_ID, job_id)
            response = await self._send(call, also_final=frozenset({413}))
        if response.status_code in FINAL_STATUSES:
            raise AbandonError(f"the orchestrator answered {response.status_code} to the content")
        if response.status_code == 413:
            raise TooLargeError(f"the content has {len(body)} bytes, more than is kept", code="content_too_large")
        stored = _parse(ContentStored, response)
        if stored is None or stored.sha256 != digest:
            raise UpstreamError("the orchestrator kept something else than was sent", code="content_corrupt")
        return stored

    async def get_content(self, ref: str, attempt_id: str) -> bytes:
        """Read content by its reference, whole and checked.

        Raises
        ------
        ContentMissingError
            If it is no longer kept.
        AbandonError
            If the orchestrator wants nothing more of this attempt.
        UnavailableError, UpstreamError
            If it could not be read, or was not what it should be.
        """
        call = _Call(
            "GET",
            f"/content/{_segment(ref)}",
            "get_content",
            attempts=CONTENT_ATTEMPTS,
            timeout_seconds=CONTENT_TIMEOUT_SECONDS,
            parameters={"attempt_id": attempt_id},
        )
        with tracer.start_as_current_span("orchestrator.get_content"):
            response = await self._send(call)
        if response.status_code == 404:
            raise ContentMissingError("the content is no longer kept")
        if response.status_code == 409:
            raise AbandonError("the orchestrator answered 409 to a read of content")
        if hashlib.sha256(response.content).hexdigest() != response.headers.get(Header.CONTENT_SHA256):
            raise UpstreamError("the content that was read does not match its hash", code="content_corrupt")
        return response.content

    async def _send(self, call: _Call, *, also_final: frozenset[int] = frozenset()) -> httpx.Response:
        """Return an answer that is final: 2xx, 404, 409 or one of `also_final`."""
        problem = "no attempt was made"
        for attempt in range(call.attempts):
            if attempt:
                await asyncio.sleep(random.uniform(0, BACKOFF_SECONDS * 2**attempt))  # noqa: S311 - jitter
            try:
                response = await self._http.request(
                    call.method,
                    call.path,
                    params=call.parameters,
                    content=call.content,
                    headers={"Content-Type": "application/json", **(call.headers or {})} if call.content else None,
                    timeout=httpx.Timeout(call.timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
                )
            except httpx.TransportError as error:
                problem = type(error).__name__
                continue
            if response.is_success or response.status_code in FINAL_STATUSES | also_final:
                return response
            problem = f"status {response.status_code}"
            if response.status_code not in RETRIED_STATUSES:
                break  # a key that is not accepted, a body that is not understood: the same again would change nothing
        _count(call.name, "unavailable")
        raise UnavailableError(f"the orchestrator did not take {call.name}: {problem}", code="orchestrator_unavailable")


def _segment(value: str) -> str:
    return quote(value, safe="")


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json(exclude_none=True).encode()


def _parse(model: type[Answer], response: httpx.Response) -> Answer | None:
    try:
        return model.model_validate_json(response.content)
    except ValidationError:
        return None


def _count(report: str, outcome: str) -> None:
    CALLBACKS.labels(service_name(), report, outcome).inc()


__all__ = ["AbandonError", "ContentMissingError", "OrchestratorClient"]
