"""Several reports of a worker's at once: what each would have done on its own route, and of each what that would have answered."""

import asyncio
import hashlib

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from opentelemetry import context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import ValidationError

from app.api import reporting
from app.core.dispatch.pipeline import reporters
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import internal_only
from ml_shared.contracts.reports import REPORTS, Report, ReportAnswer, contents_of, framed, unframed
from ml_shared.errors import ForbiddenError, InvalidError, ServiceError
from ml_shared.http.problem_documents import problem_document
from ml_shared.http.problems import unexpected_problem
from ml_shared.http.routing import GuardedRoute
from ml_shared.http.strict_json import parse
from ml_shared.names import Service
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["internal"])
_propagator = TraceContextTextMapPropagator()


@router.post(
    "/content/reports",
    response_class=Response,
    summary="Internal: several reports of a worker's at once",
    description="The body is a line of JSON, a list of reports, and then the contents that come along; so is the answer.",
)
async def report_several(request: Request, ctx: CallerContext = Depends(internal_only(*reporters()))) -> Response:
    await enforcer.check(ctx)
    reports, contents = _read(await request.body())
    done = await asyncio.gather(
        *(asyncio.create_task(_taken(request, ctx, *each)) for each in zip(reports, contents, strict=True))
    )
    body = framed((answer for answer, _ in done), (content for _, content in done))
    return Response(body, media_type="application/octet-stream")


def _read(body: bytes) -> tuple[list[Report], list[bytes | None]]:
    line, contents = unframed(body)
    try:
        reports = REPORTS.validate_python(parse(line))
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from error
    try:
        return reports, contents_of(reports, contents)
    except ValueError as error:
        raise InvalidError(str(error), code="content_corrupt") from error


async def _taken(
    request: Request, ctx: CallerContext, report: Report, content: bytes | None
) -> tuple[ReportAnswer, bytes]:
    """Take one report, within its own trace; whatever comes of it is no other's matter."""
    if report.traceparent is not None:
        context.attach(_propagator.extract({"traceparent": report.traceparent}))  # for this task alone
    try:
        return await _answered(request, ctx, report, content)
    except ServiceError as error:
        return ReportAnswer(status=error.status, body=problem_document(error, request.url.path)), b""
    except Exception as error:  # noqa: BLE001 - the others' answers are not to be lost for it
        answer = unexpected_problem(error, request.url.path)
        return ReportAnswer(status=answer.status_code, body=orjson.loads(answer.body)), b""


async def _answered(
    request: Request, ctx: CallerContext, report: Report, content: bytes | None
) -> tuple[ReportAnswer, bytes]:
    if report.callback is not None:
        if content is not None and ctx.service != Service.SCRAPER:
            raise ForbiddenError("only the scraper sends what it made")
        if content is not None and hashlib.sha256(content).hexdigest() != report.content_sha256:
            raise InvalidError("the content does not match its hash", code="content_corrupt")
        taken = await reporting.take(request, ctx, report.job_id, report.callback, content)
        return ReportAnswer(status=200, body=taken.model_dump(mode="json", exclude_defaults=True)), b""
    if report.progress is None:
        raise InvalidError("a report is a sign of life or tells of an end")
    if report.ref is None:
        heard = await reporting.hear(request, ctx, report.job_id, report.progress)
        return ReportAnswer(status=200, body=heard.model_dump(mode="json")), b""
    if ctx.service != Service.EMBEDDING:
        raise ForbiddenError("only the embedding service reads what a stage before it kept")
    found = await reporting.start(request, ctx, report.job_id, report.ref, report.progress)
    return ReportAnswer(status=200, content_bytes=len(found.body), content_sha256=found.sha256), found.body
