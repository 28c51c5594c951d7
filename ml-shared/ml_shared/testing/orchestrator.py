"""A stand-in for the orchestrator's internal routes, which keeps what workers say and answers as it is told to."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase, ProgressReport, StageCallback
from ml_shared.contracts.reports import REPORTS, Report, ReportAnswer, contents_of, framed, unframed
from ml_shared.names import Header, Service, Stage
from ml_shared.testing.fake_peer import WAIT_SECONDS, FakePeer, problem

LEASE_SECONDS: Final = 60.0
MAX_CONTENT_BYTES: Final = 32 * 2**20
MAX_STAGE_ATTEMPTS: Final = 4
REPORTER_OF: Final = {Stage.SCRAPING: Service.SCRAPER, Stage.EMBEDDING: Service.EMBEDDING}


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


@dataclass
class FakeJob:
    """A job, as far as its workers can tell.

    Attributes
    ----------
    stage, attempt_id
        What it was handed out for last, and under which attempt.
    open
        Whether that attempt may still report.
    starts
        How many times a worker said `started`, by stage.
    start_id
        The last of those; the same again is not another one.
    finished
        The attempt that ended each stage.
    attempts
        Every attempt there was.
    """

    stage: Stage
    attempt_id: str
    open: bool = True
    starts: dict[Stage, int] = field(default_factory=dict)
    start_id: str | None = None
    finished: dict[Stage, str] = field(default_factory=dict)
    attempts: set[str] = field(default_factory=set)


class FakeOrchestrator(FakePeer):
    """Serves `/jobs/{id}/complete`, `/jobs/{id}/progress` and `/content` on a free port until the `with` block ends.

    Reports are fenced as the real one fences them. So that the test of a worker need not hand out a job first, an attempt
    that was never heard of counts as a new hand-out of its job, unless `strict`.

    Parameters
    ----------
    prefix
        A path before the routes, as the gateway's `/api/orchestrator`.
    callers
        Raw keys, and whose each is; without it nobody is asked for a key.
    strict
        Whether only jobs and attempts of `hand_out` are known.
    max_content_bytes
        Longer content is answered `413`.

    Attributes
    ----------
    completed, reports
        What arrived and was understood, in order; those answered with an error on purpose are not in it.
    contents
        Content by reference. A test puts its own with `keep`.
    jobs
        Every job that was handed out.
    abandoned
        Attempts that are answered `409 abandon` from now on. `abandon_at` does it by phase.
    stale
        Attempts whose callback is answered `stale`.
    corrupt
        Whether content is damaged on its way, either way.
    takes_content_with_reports
        Whether it takes content with a report, and sends it with the answer to a start; an earlier version does not.
    takes_several_reports
        Whether it takes several reports at once; an earlier version does not.
    several
        How many there were in each call of several.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        callers: Mapping[str, str] | None = None,
        strict: bool = False,
        max_content_bytes: int = MAX_CONTENT_BYTES,
    ) -> None:
        self.strict = strict
        self.max_content_bytes = max_content_bytes
        super().__init__(
            [
                ("POST", "/jobs/{job_id}/complete", self._complete),
                ("POST", "/jobs/{job_id}/progress", self._progress),
                ("PUT", "/content", self._put_content),
                ("POST", "/content", self._complete_with_content),
                ("POST", "/content/reports", self._take_several),
                ("POST", "/content/{ref}/start", self._start_with_content),
                ("GET", "/content/{ref}", self._get_content),
            ],
            prefix=prefix,
            callers=callers,
        )

    def reset(self) -> None:
        """Forget every job, report and content, and serve."""
        super().reset()
        self.completed: list[ReceivedCallback] = []
        self.reports: list[ReceivedProgress] = []
        self.contents: dict[str, KeptContent] = {}
        self.jobs: dict[str, FakeJob] = {}
        self.abandoned: set[str] = set()
        self.abandon_at: set[ProgressPhase] = set()
        self.stale: set[str] = set()
        self.corrupt = False
        self.takes_content_with_reports = True
        self.takes_several_reports = True
        self.several: list[int] = []

    def hand_out(self, stage: Stage, *, job_id: str | None = None, attempt_id: str | None = None) -> tuple[str, str]:
        """Hand out a job, a new one unless it is named; an earlier attempt of it is superseded.

        Returns
        -------
        job_id, attempt_id
        """
        job_id, attempt_id = job_id or str(uuid.uuid4()), attempt_id or str(uuid.uuid4())
        with self._changed:
            job = self.jobs.setdefault(job_id, FakeJob(stage, attempt_id))
            job.stage, job.attempt_id, job.open = stage, attempt_id, True
            job.attempts.add(attempt_id)
        return job_id, attempt_id

    def keep(self, body: bytes, *, job_id: str = "job", attempt_id: str = "attempt", stage: str = "chunking") -> str:
        """Keep content as if a stage had put it; returns its reference."""
        ref = hashlib.sha256(f"{job_id}/{attempt_id}/{stage}".encode()).hexdigest()[:40]
        self.contents[ref] = KeptContent(job_id, attempt_id, stage, body)
        return ref

    def callbacks_for(self, job_id: str) -> list[StageCallback]:
        """The callbacks of a job, in order."""
        with self._changed:
            return [received.callback for received in self.completed if received.job_id == job_id]

    def phases_for(self, job_id: str) -> list[ProgressPhase]:
        """The phases that were reported of a job, in order; without renewals, which come by the clock."""
        return [phase for phase in self._reported(job_id) if phase is not ProgressPhase.RUNNING]

    def renewals_for(self, job_id: str) -> int:
        """How often a job's lease was renewed."""
        return self._reported(job_id).count(ProgressPhase.RUNNING)

    def wait_for_callback(self, job_id: str, timeout_seconds: float = WAIT_SECONDS) -> StageCallback:
        """Return the first callback of a job, as soon as there is one."""
        self.wait_until(lambda: bool(self.callbacks_for(job_id)), timeout_seconds)
        return self.callbacks_for(job_id)[0]

    def _reported(self, job_id: str) -> list[ProgressPhase]:
        with self._changed:
            return [received.report.phase for received in self.reports if received.job_id == job_id]

    def _summary(self) -> str:
        reports = [each.report for each in self.reports]
        return f"reports: {reports}, callbacks: {[each.callback for each in self.completed]}"

    def _current(self, job_id: str, stage: Stage, attempt_id: str) -> FakeJob | None:
        """Return the job whose open attempt at a stage this is."""
        known = self.jobs.get(job_id)
        if not self.strict and (known is None or attempt_id not in known.attempts):
            self.hand_out(stage, job_id=job_id, attempt_id=attempt_id)
        job = self.jobs.get(job_id)
        if job is None or not job.open or (job.stage, job.attempt_id) != (stage, attempt_id):
            return None
        return job

    def _complete(self, request: Request, body: bytes, caller: str) -> Response:
        if caller and caller not in REPORTER_OF.values():
            return _internal_only()
        try:
            callback = StageCallback.model_validate_json(body)
        except ValidationError:
            return _invalid()
        if refusal := _wrong_stage(caller, callback.stage):
            return refusal
        return self._take(request.path_params["job_id"], callback, request)

    def _take(self, job_id: str, callback: StageCallback, request: Request) -> Response:
        job = self._current(job_id, callback.stage, callback.attempt_id)
        if job_id not in self.jobs:
            return problem(404, "job_not_found", "there is no such job")
        self.completed.append(ReceivedCallback(job_id, callback, dict(request.headers)))
        if callback.attempt_id in self.stale:
            return JSONResponse({"stale": True})
        if job is None:
            ended = self.jobs[job_id].finished.get(callback.stage) == callback.attempt_id
            return JSONResponse({"duplicate": True} if ended else {"stale": True})
        job.open = False
        job.finished[callback.stage] = callback.attempt_id
        if callback.status is CallbackStatus.DEFERRED:
            job.starts[callback.stage] = max(job.starts.get(callback.stage, 0) - 1, 0)  # most are given back
        return JSONResponse({})

    def _complete_with_content(self, request: Request, body: bytes, caller: str) -> Response:
        if caller not in ("", Service.SCRAPER):
            return _internal_only()
        if not self.takes_content_with_reports:
            return problem(404, "not_found", "there is no such route")
        line, _, content = body.partition(b"\n")
        try:
            callback, job_id = StageCallback.model_validate_json(line), request.query_params["job_id"]
        except (KeyError, ValidationError):
            return _invalid()
        if refusal := _wrong_stage(caller, callback.stage):
            return refusal
        if len(content) > self.max_content_bytes:
            return problem(413, "too_large", f"{self.max_content_bytes} bytes is the most")
        return self._keep_and_take(job_id, callback, content, request.headers.get(Header.CONTENT_SHA256), request)

    def _keep_and_take(
        self, job_id: str, callback: StageCallback, content: bytes, sha256: str | None, request: Request
    ) -> Response:
        digest = hashlib.sha256(content + (b"damaged" if self.corrupt else b"")).hexdigest()
        if (sha256 or digest) != digest:
            return problem(422, "content_corrupt", "the content does not match its hash")
        if self._current(job_id, callback.stage, callback.attempt_id) is not None:
            ref = self.keep(content, job_id=job_id, attempt_id=callback.attempt_id, stage=callback.stage)
            callback = callback.model_copy(update={"content_ref": ref})
        return self._take(job_id, callback, request)

    def _start_with_content(self, request: Request, body: bytes, caller: str) -> Response:
        if caller not in ("", Service.EMBEDDING):
            return _internal_only()
        if not self.takes_content_with_reports:
            return problem(404, "not_found", "there is no such route")
        if "job_id" not in request.query_params:
            return _invalid()
        return self._start(request.query_params["job_id"], request.path_params["ref"], body, caller, request)

    def _start(self, job_id: str, ref: str, body: bytes, caller: str, request: Request) -> Response:
        answer = self._say(job_id, body, caller, request)
        if answer.status_code != 200:
            return answer
        kept = self.contents.get(ref)
        if kept is None or (self.strict and kept.job_id != job_id):
            return problem(404, "content_not_found", "there is no such content for this attempt")
        return self._send(kept)

    def _take_several(self, request: Request, body: bytes, caller: str) -> Response:
        if caller and caller not in REPORTER_OF.values():
            return _internal_only()
        if not self.takes_several_reports:
            return problem(404, "not_found", "there is no such route")
        line, contents = unframed(body)
        try:
            reports = REPORTS.validate_json(line)
            made = contents_of(reports, contents)
        except ValueError:
            return _invalid()
        self.several.append(len(reports))
        answers = [self._take_one(request, caller, *each) for each in zip(reports, made, strict=True)]
        told = [
            ReportAnswer(
                status=answer.status_code,
                content_bytes=len(answer.body),
                content_sha256=answer.headers[Header.CONTENT_SHA256],
            )
            if Header.CONTENT_SHA256 in answer.headers
            else ReportAnswer(status=answer.status_code, body=json.loads(bytes(answer.body)))
            for answer in answers
        ]
        sent = [
            bytes(answer.body) if each.content_bytes is not None else b""
            for each, answer in zip(told, answers, strict=True)
        ]
        return Response(framed(told, sent), media_type="application/octet-stream")

    def _take_one(self, request: Request, caller: str, report: Report, content: bytes | None) -> Response:
        if report.progress is not None:
            body = report.progress.model_dump_json().encode()
            if report.ref is not None:
                return self._start(report.job_id, report.ref, body, caller, request)
            return self._say(report.job_id, body, caller, request)
        if report.callback is None:
            return _invalid()
        if refusal := _wrong_stage(caller, report.callback.stage):
            return refusal
        if content is None:
            return self._take(report.job_id, report.callback, request)
        return self._keep_and_take(report.job_id, report.callback, content, report.content_sha256, request)

    def _progress(self, request: Request, body: bytes, caller: str) -> Response:
        if caller and caller not in REPORTER_OF.values():
            return _internal_only()
        return self._say(request.path_params["job_id"], body, caller, request)

    def _say(self, job_id: str, body: bytes, caller: str, request: Request) -> Response:
        try:
            report = ProgressReport.model_validate_json(body)
        except ValidationError:
            return _invalid()
        if refusal := _wrong_stage(caller, report.stage):
            return refusal
        self.reports.append(ReceivedProgress(job_id, report, dict(request.headers)))
        job = self._current(job_id, report.stage, report.attempt_id)
        if job is None or report.attempt_id in self.abandoned or report.phase in self.abandon_at:
            return _abandon()
        if report.phase is ProgressPhase.STARTED and (report.start_id is None or report.start_id != job.start_id):
            job.start_id = report.start_id
            job.starts[report.stage] = job.starts.get(report.stage, 0) + 1
            if job.starts[report.stage] > MAX_STAGE_ATTEMPTS:
                job.open = False  # it has failed with `stage_timeout`
                return _abandon()
        return JSONResponse({"lease_seconds": LEASE_SECONDS})

    def _put_content(self, request: Request, body: bytes, caller: str) -> Response:
        if caller not in ("", Service.SCRAPER):
            return _internal_only()
        try:
            job_id, attempt_id = request.query_params["job_id"], request.query_params["attempt_id"]
            stage = Stage(request.query_params["stage"])
        except (KeyError, ValueError):
            return _invalid()
        if refusal := _wrong_stage(caller, stage):
            return refusal
        if len(body) > self.max_content_bytes:
            return problem(413, "too_large", f"{self.max_content_bytes} bytes is the most")
        if self._current(job_id, stage, attempt_id) is None or attempt_id in self.abandoned:
            return _abandon()
        body += b"damaged" if self.corrupt else b""
        ref = self.keep(body, job_id=job_id, attempt_id=attempt_id, stage=stage)
        return JSONResponse({"content_ref": ref, "sha256": hashlib.sha256(body).hexdigest()})

    def _get_content(self, request: Request, body: bytes, caller: str) -> Response:
        if caller not in ("", Service.EMBEDDING, Service.SCRAPER):
            return _internal_only()
        if "attempt_id" not in request.query_params:
            return _invalid()
        kept = self.contents.get(request.path_params["ref"])
        if kept is None or not self._may_read(kept, request.query_params["attempt_id"]):
            return problem(404, "content_not_found", "there is no such content for this attempt")
        return self._send(kept)

    def _send(self, kept: KeptContent) -> Response:
        digest = hashlib.sha256(kept.body).hexdigest()
        sent = kept.body + (b"damaged" if self.corrupt else b"")
        return Response(sent, media_type="application/json", headers={Header.CONTENT_SHA256: digest})

    def _may_read(self, kept: KeptContent, attempt_id: str) -> bool:
        job = self.jobs.get(kept.job_id)
        if job is not None and attempt_id in job.attempts:
            return job.open and job.attempt_id == attempt_id
        return not self.strict


def _wrong_stage(caller: str, stage: Stage) -> Response | None:
    """Return what a service is told that reports of another one's stage."""
    if caller and REPORTER_OF.get(stage) != caller:
        return problem(403, "wrong_stage", f"the stage {stage} is not run by {caller}")
    return None


def _internal_only() -> Response:
    return problem(403, "internal_only", "this route is for services of the fleet")


def _abandon() -> Response:
    return problem(409, "abandon", "this attempt is no longer the job's; drop the task")


def _invalid() -> Response:
    return problem(422, "invalid_request", "the request does not fit the contract")
