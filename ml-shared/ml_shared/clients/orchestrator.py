"""What a worker tells the orchestrator, and the content that it puts there or reads from there.

Few attempts within seconds: when they don't help, the job's lease brings it back, and a worker that waited longer
would be a slot that works on nothing.
"""

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ClassVar, Final, Self
from urllib.parse import quote

from opentelemetry import trace
from pydantic import SecretStr

from ml_shared.clients.peer import (
    Call,
    ExchangeError,
    Peer,
    PeerAnswer,
    Timeouts,
    idempotent,
    json_of,
    open_peer,
)
from ml_shared.clients.reports import Reporter
from ml_shared.contracts.jobs import (
    CallbackAnswer,
    ContentStored,
    ProgressAnswer,
    ProgressPhase,
    ProgressReport,
    StageCallback,
)
from ml_shared.contracts.reports import Report
from ml_shared.errors import TooLargeError, UnavailableError, UpstreamError
from ml_shared.names import Header, Stage
from ml_shared.settings import ServiceSettings
from ml_shared.telemetry import attributes
from ml_shared.telemetry.metrics import count_report

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

REPORT_TIMEOUTS: Final = Timeouts(silence_seconds=4.0, whole_seconds=4.0)
CONTENT_TIMEOUTS: Final = Timeouts(silence_seconds=30.0, whole_seconds=60.0)
# content is some megabytes and passes the gateway
REPORT_ATTEMPTS: Final = 4
CONTENT_ATTEMPTS: Final = 3
# with their backoff, all attempts at a peer that refuses take about 2 s, at one that hangs 18 s
CONTENT_MAX_BYTES: Final = 256 * 2**20
# above any MAX_CONTENT_BYTES that a worker's memory bears
REPORTED_CONTENT_MAX_BYTES: Final = 2**20
# what an attempt made goes along with its report up to here; more is put under a lease that is renewed meanwhile
CONTENT_REPORT_TIMEOUTS: Final = Timeouts(silence_seconds=4.0, whole_seconds=10.0)
MAX_CONNECTIONS: Final = 8
FINAL_STATUSES: Final = frozenset({404, 409})
JSON: Final = {"Content-Type": "application/json"}
BYTES: Final = {"Content-Type": "application/octet-stream"}
COMPLETE_SPAN: Final = "orchestrator.complete"
PROGRESS_SPANS: Final = {phase: f"orchestrator.{phase}" for phase in ProgressPhase}
PUT_CONTENT_SPAN: Final = "orchestrator.put_content"
GET_CONTENT_SPAN: Final = "orchestrator.get_content"


class AbandonError(Exception):
    """The orchestrator wants nothing more of this attempt: superseded, cancelled or ended. No callback follows.

    Not a `ServiceError`, so that nothing takes it for the task's failure and reports it.
    """


class ContentMissingError(UnavailableError):
    """The content is no longer kept; the job goes back to the stage that makes it."""

    code = "content_missing"
    code_of_route: ClassVar = "content_not_found"
    # what the orchestrator's routes answer then


class OrchestratorClient:
    """One pooled client of the orchestrator's internal routes. Make it with `open`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._reporter = Reporter(peer)

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
        async with cls.connect(settings.ORCHESTRATOR_URL, settings.SERVICE_API_KEY) as client:
            yield client

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, key: SecretStr) -> AsyncIterator[Self]:
        """Open a client for the orchestrator at `url`, for the service whose key this is."""
        async with open_peer(url, key, max_connections=MAX_CONNECTIONS) as peer:
            yield cls(peer)

    def together(self) -> AbstractContextManager[None]:
        """Have reports that are made within the block at about the same time told in one call."""
        return self._reporter.together()

    async def complete(
        self, job_id: str, callback: StageCallback, *, content: bytes | None = None
    ) -> CallbackAnswer | None:
        """Report how an attempt ended: the one final callback.

        Parameters
        ----------
        content
            What the attempt made, at most `REPORTED_CONTENT_MAX_BYTES`: kept, and the job moved on, with one call.

        Returns
        -------
        CallbackAnswer or None
            `None` when it could not be delivered; it is logged and counted, and the lease brings the job back. A job
            that the orchestrator does not know, or that it wants nothing more of, answers as stale.

        Raises
        ------
        TooLargeError, UpstreamError
            Of content, as `put_content` does.
        """
        with tracer.start_as_current_span(COMPLETE_SPAN) as span:
            span.set_attribute(attributes.JOB_ID, job_id)
            try:
                if content is None:
                    answer = await self._send(
                        _completing(job_id, callback), "complete", report=Report(job_id=job_id, callback=callback)
                    )
                else:
                    answer = await self._complete_with(job_id, callback, content)
            except AbandonError:
                _count("complete", "refused")
                return CallbackAnswer(stale=True)
            except UnavailableError as error:
                logger.error(
                    "callback given up", extra={"job_id": job_id, "stage": callback.stage, "error": str(error)}
                )
                return None
            if answer.status in FINAL_STATUSES:
                _count("complete", "refused")
                return CallbackAnswer(stale=True)
            told = answer.parse(CallbackAnswer) or CallbackAnswer()
            _count("complete", "stale" if told.stale else "duplicate" if told.duplicate else str(callback.status))
            return told

    async def _complete_with(self, job_id: str, callback: StageCallback, content: bytes) -> PeerAnswer:
        call = Call(
            "POST",
            "/content",
            CONTENT_REPORT_TIMEOUTS,
            idempotent(REPORT_ATTEMPTS),
            parameters={"job_id": job_id},
            content=b"%b\n%b" % (json_of(callback), content),
            headers={**BYTES, Header.CONTENT_SHA256: hashlib.sha256(content).hexdigest()},
        )
        report = Report(job_id=job_id, callback=callback)
        answer = await self._send(call, "complete", also_final=frozenset({405, 413}), report=report, content=content)
        if answer.status == 409 or answer.is_success or _is_of_job(answer):
            return answer
        # an orchestrator of an earlier version, or one that keeps less: it is told in two calls, and says which
        stored = await self.put_content(job_id, callback.attempt_id, callback.stage, content)
        kept = callback.model_copy(update={"content_ref": stored.content_ref})
        return await self._send(_completing(job_id, kept), "complete")

    async def progress(self, job_id: str, report: ProgressReport, *, attempts: int = REPORT_ATTEMPTS) -> ProgressAnswer:
        """Say where an attempt stands, which starts or renews its lease.

        Raises
        ------
        AbandonError
            If the orchestrator wants nothing more of this attempt.
        UnavailableError
            If it could not be told.
        """
        path = f"/jobs/{_segment(job_id)}/progress"
        call = Call("POST", path, REPORT_TIMEOUTS, idempotent(attempts), content=json_of(report), headers=JSON)
        with tracer.start_as_current_span(PROGRESS_SPANS[report.phase]) as span:
            span.set_attribute(attributes.JOB_ID, job_id)
            told = Report(job_id=job_id, progress=report) if report.phase is not ProgressPhase.RUNNING else None
            answer = await self._send(call, str(report.phase), report=told)
            if answer.status in FINAL_STATUSES:
                _count(str(report.phase), "abandon")
                if answer.status == 404:  # rare of a job, usual of a gateway that takes us for a stranger
                    logger.warning("the orchestrator knows no such job or route", extra={"job_id": job_id})
                raise AbandonError(f"the orchestrator answered {answer.status} to {report.phase}")
            lease = answer.parse(ProgressAnswer)
            if lease is None:
                raise UnavailableError("the orchestrator's answer was not one", code="orchestrator_unavailable")
            _count(str(report.phase), "accepted")
            return lease

    async def start_with_content(self, job_id: str, report: ProgressReport, ref: str) -> bytes | None:
        """Say that an attempt starts, and read what it works on, with one call.

        Returns
        -------
        bytes or None
            `None` if it has started but there was nothing to read: `get_content` says why.

        Raises
        ------
        AbandonError, UnavailableError, UpstreamError
            As `progress` and `get_content` do.
        """
        call = Call(
            "POST",
            f"/content/{_segment(ref)}/start",
            CONTENT_TIMEOUTS,
            idempotent(CONTENT_ATTEMPTS),
            parameters={"job_id": job_id},
            content=json_of(report),
            headers=JSON,
            max_answer_bytes=CONTENT_MAX_BYTES,
        )
        with tracer.start_as_current_span(PROGRESS_SPANS[report.phase]) as span:
            span.set_attribute(attributes.JOB_ID, job_id)
            told = Report(job_id=job_id, progress=report, ref=ref)
            answer = await self._send(call, str(report.phase), also_final=frozenset({405}), report=told)
        if answer.is_success:
            _count(str(report.phase), "accepted")
            return _whole(answer)
        if answer.status == 404 and _code(answer) == ContentMissingError.code_of_route:
            _count(str(report.phase), "accepted")
            return None
        if answer.status == 409 or _is_of_job(answer):
            _count(str(report.phase), "abandon")
            raise AbandonError(f"the orchestrator answered {answer.status} to {report.phase}")
        await self.progress(job_id, report)  # an orchestrator of an earlier version
        return None

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
        call = Call(
            "PUT",
            "/content",
            CONTENT_TIMEOUTS,
            idempotent(CONTENT_ATTEMPTS),
            parameters={"job_id": job_id, "attempt_id": attempt_id, "stage": str(stage)},
            content=body,
            headers={**BYTES, Header.CONTENT_SHA256: digest},
        )
        with tracer.start_as_current_span(PUT_CONTENT_SPAN) as span:
            span.set_attribute(attributes.JOB_ID, job_id)
            answer = await self._send(call, "put_content", also_final=frozenset({413}))
        if answer.status in FINAL_STATUSES:
            raise AbandonError(f"the orchestrator answered {answer.status} to the content")
        if answer.status == 413:
            raise TooLargeError(f"the content has {len(body)} bytes, more than is kept", code="content_too_large")
        stored = answer.parse(ContentStored)
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
        call = Call(
            "GET",
            f"/content/{_segment(ref)}",
            CONTENT_TIMEOUTS,
            idempotent(CONTENT_ATTEMPTS),
            parameters={"attempt_id": attempt_id},
            max_answer_bytes=CONTENT_MAX_BYTES,
        )
        with tracer.start_as_current_span(GET_CONTENT_SPAN):
            answer = await self._send(call, "get_content")
        if answer.status == 404:
            raise ContentMissingError("the content is no longer kept")
        if answer.status == 409:
            raise AbandonError("the orchestrator answered 409 to a read of content")
        return _whole(answer)

    async def _send(
        self,
        call: Call,
        name: str,
        *,
        also_final: frozenset[int] = frozenset(),
        report: Report | None = None,
        content: bytes | None = None,
    ) -> PeerAnswer:
        """Return an answer that is final: 2xx, 404, 409 or one of `also_final`.

        Parameters
        ----------
        report, content
            The same as one of several in one call, where it may be.
        """
        try:
            answer = await self._reporter.tell(report, content) if report is not None else None
            answer = answer or await self._peer.exchange(call)
        except ExchangeError as error:
            _count(name, "unavailable")
            raise _unavailable(name, str(error)) from error
        if answer.is_success or answer.status in FINAL_STATUSES | also_final:
            return answer
        _count(name, "unavailable")
        raise _unavailable(name, f"status {answer.status}")


def _completing(job_id: str, callback: StageCallback) -> Call:
    path = f"/jobs/{_segment(job_id)}/complete"
    return Call("POST", path, REPORT_TIMEOUTS, idempotent(REPORT_ATTEMPTS), content=json_of(callback), headers=JSON)


def _code(answer: PeerAnswer) -> str:
    return answer.problem(otherwise="")[0]


def _is_of_job(answer: PeerAnswer) -> bool:
    """Say whether a 404 is about the job, and not about a route that an earlier version has not."""
    return answer.status == 404 and _code(answer) == "job_not_found"


def _whole(answer: PeerAnswer) -> bytes:
    if hashlib.sha256(answer.body).hexdigest() != answer.headers.get(Header.CONTENT_SHA256):
        raise UpstreamError("the content that was read does not match its hash", code="content_corrupt")
    return answer.body


def _unavailable(name: str, why: str) -> UnavailableError:
    return UnavailableError(f"the orchestrator did not take {name}: {why}", code="orchestrator_unavailable")


def _segment(value: str) -> str:
    return quote(value, safe="")


def _count(report: str, outcome: str) -> None:
    count_report(report, outcome)


__all__ = ["REPORTED_CONTENT_MAX_BYTES", "AbandonError", "ContentMissingError", "OrchestratorClient"]
