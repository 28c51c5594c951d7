"""What workers say, and the content that they hand on: internal routes, each for the services that it names."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from app.api.schemas import JobId, read_report
from app.core.content.store import StoredContent
from app.core.dispatch.pipeline import reporters
from app.core.errors import ContentNotFoundError
from app.core.jobs.transitions import Transition
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, Outcome, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import internal_only
from ml_shared.contracts.base import Identifier
from ml_shared.contracts.jobs import (
    CallbackAnswer,
    ContentStored,
    JobStatus,
    ProgressAnswer,
    ProgressPhase,
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
    moved = await _take(request, ctx, job_id, payload)
    if moved.stage_run is not None:
        emit(AuditEvent.STAGE_REPORTED, ctx, **_told(job_id, payload))
    _tell_end(ctx, job_id, payload, moved)
    return moved.answer


async def _take(
    request: Request, ctx: CallerContext, job_id: str, callback: StageCallback, content: bytes | None = None
) -> Transition:
    orchestrator: Orchestrator = request.app.state.orchestrator
    moved = await orchestrator.complete(ctx.service, job_id, callback, content)
    # its slot is free again, and the stage after it may have work; and somebody may listen to it, or wait for its end
    ended = [job_id] if moved.ended is not None else []
    request.app.state.nudger.nudge_soon(*{callback.stage, moved.next_stage} - {None}, moved=[job_id], ended=ended)
    return moved


def _tell_end(ctx: CallerContext, job_id: str, callback: StageCallback, moved: Transition) -> None:
    if moved.ended is not None:
        emit(
            AuditEvent.JOB_ENDED,
            ctx,
            outcome=Outcome.SUCCESS if moved.ended.status is JobStatus.COMPLETED else Outcome.FAILURE,
            **_told(job_id, callback) | {"status": moved.ended.status},
        )


def _told(job_id: str, callback: StageCallback) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "stage": callback.stage,
        "status": callback.status,
        "error_code": callback.error_code,
    }


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
    moved = await _take(request, ctx, job_id, callback, content)
    if moved.stage_run is not None:
        emit(AuditEvent.STAGE_REPORTED, ctx, **_told(job_id, callback))
    _tell_end(ctx, job_id, callback, moved)
    return moved.answer


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
    orchestrator: Orchestrator = request.app.state.orchestrator
    try:
        found = await orchestrator.start(ctx.service, job_id, ref, payload)
    except ContentNotFoundError:
        emit(AuditEvent.STAGE_STARTED, ctx, job_id=job_id, stage=payload.stage)
        raise
    request.app.state.nudger.nudge_soon(moved=[job_id])
    emit(AuditEvent.STAGE_STARTED, ctx, job_id=job_id, stage=payload.stage)
    return _content_response(found)


@router.post("/jobs/{job_id}/progress", response_model=ProgressAnswer, summary="Internal: a worker's sign of life")
async def report_progress(
    job_id: JobId,
    payload: ProgressReport,
    request: Request,
    ctx: CallerContext = Depends(internal_only(*reporters())),
) -> ProgressAnswer:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    answer = await orchestrator.progress(ctx.service, job_id, payload)
    if payload.phase is not ProgressPhase.RUNNING:
        request.app.state.nudger.nudge_soon(moved=[job_id])
    if payload.phase is ProgressPhase.STARTED:  # the others, some a minute, only renew a lease
        emit(AuditEvent.STAGE_STARTED, ctx, job_id=job_id, stage=payload.stage)
    return answer


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
