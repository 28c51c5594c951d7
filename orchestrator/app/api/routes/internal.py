"""What workers say, and the content that they hand on: internal routes, each for the services that it names."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.api import reporting
from app.api.schemas import JobId, read_report
from app.core.content.store import StoredContent
from app.core.dispatch.pipeline import reporters
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import internal_only
from ml_shared.contracts.base import Identifier
from ml_shared.contracts.jobs import (
    CallbackAnswer,
    ContentStored,
    ProgressAnswer,
    ProgressReport,
    StageCallback,
)
from ml_shared.http.routing import GuardedRoute
from ml_shared.names import Header, Service, Stage
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["internal"])


@router.post(
    "/jobs/{job_id}/complete",
    response_model=CallbackAnswer,
    response_model_exclude_defaults=True,
    summary="Internal: how a stage's attempt ended",
)
async def complete_stage(
    job_id: JobId,
    payload: StageCallback,
    request: Request,
    ctx: CallerContext = Depends(internal_only(*reporters())),
) -> CallbackAnswer:
    await enforcer.check(ctx)
    return await reporting.take(request, ctx, job_id, payload)


@router.post(
    "/content",
    response_model=CallbackAnswer,
    response_model_exclude_defaults=True,
    summary="Internal: how a stage's attempt ended, and what it produced",
    description="The body is what `POST /jobs/{job_id}/complete` takes, on a line of its own, and then the content.",
)
async def complete_with_content(
    request: Request,
    job_id: Annotated[Identifier, Query()],
    ctx: CallerContext = Depends(internal_only(Service.SCRAPER)),
) -> CallbackAnswer:
    await enforcer.check(ctx)
    callback, content = read_report(await request.body(), request.headers.get(Header.CONTENT_SHA256))
    return await reporting.take(request, ctx, job_id, callback, content)


@router.post(
    "/content/{ref}/start",
    response_class=Response,
    summary="Internal: an attempt starts, and reads what the stage before it kept",
)
async def start_with_content(
    ref: Annotated[Identifier, Path()],
    payload: ProgressReport,
    request: Request,
    job_id: Annotated[Identifier, Query()],
    ctx: CallerContext = Depends(internal_only(Service.EMBEDDING)),
) -> Response:
    await enforcer.check(ctx)
    return _content_response(await reporting.start(request, ctx, job_id, ref, payload))


@router.post("/jobs/{job_id}/progress", response_model=ProgressAnswer, summary="Internal: a worker's sign of life")
async def report_progress(
    job_id: JobId,
    payload: ProgressReport,
    request: Request,
    ctx: CallerContext = Depends(internal_only(*reporters())),
) -> ProgressAnswer:
    await enforcer.check(ctx)
    return await reporting.hear(request, ctx, job_id, payload)


@router.put("/content", response_model=ContentStored, summary="Internal: keep what a stage produced")
async def put_content(
    request: Request,
    job_id: Annotated[Identifier, Query()],
    attempt_id: Annotated[Identifier, Query()],
    stage: Annotated[Stage, Query()],
    ctx: CallerContext = Depends(internal_only(Service.SCRAPER)),
) -> ContentStored:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    stored = await orchestrator.put_content(ctx.service, job_id, attempt_id, stage, await request.body())
    emit(AuditEvent.CONTENT_STORED, ctx, job_id=job_id, stage=stage)
    return stored


@router.get("/content/{ref}", response_class=Response, summary="Internal: read what a stage kept")
async def get_content(
    ref: Annotated[Identifier, Path()],
    request: Request,
    attempt_id: Annotated[Identifier, Query()],
    ctx: CallerContext = Depends(internal_only(Service.EMBEDDING, Service.SCRAPER)),
) -> Response:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    return _content_response(await orchestrator.get_content(ref, attempt_id))


def _content_response(found: StoredContent) -> Response:
    return Response(found.body, media_type="application/json", headers={Header.CONTENT_SHA256: found.sha256})
