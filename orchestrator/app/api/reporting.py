"""What a worker's report does: each on its own route, and several at once."""

from typing import Any

from fastapi import Request

from app.core.content.store import StoredContent
from app.core.errors import ContentNotFoundError
from app.core.jobs.transitions import Transition
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, Outcome, emit
from ml_shared.auth.context import CallerContext
from ml_shared.contracts.jobs import (
    CallbackAnswer,
    JobStatus,
    ProgressAnswer,
    ProgressPhase,
    ProgressReport,
    StageCallback,
)


async def take(
    request: Request, ctx: CallerContext, job_id: str, callback: StageCallback, content: bytes | None = None
) -> CallbackAnswer:
    """Take how an attempt ended."""
    orchestrator: Orchestrator = request.app.state.orchestrator
    moved = await orchestrator.complete(ctx.service, job_id, callback, content)
    # its slot is free again, and the stage after it may have work; and somebody may listen to it, or wait for its end
    ended = [job_id] if moved.ended is not None else []
    request.app.state.nudger.nudge_soon(*{callback.stage, moved.next_stage} - {None}, moved=[job_id], ended=ended)
    if moved.stage_run is not None:
        emit(AuditEvent.STAGE_REPORTED, ctx, **_told(job_id, callback))
    _tell_end(ctx, job_id, callback, moved)
    return moved.answer


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


async def hear(request: Request, ctx: CallerContext, job_id: str, report: ProgressReport) -> ProgressAnswer:
    """Take a sign of life."""
    orchestrator: Orchestrator = request.app.state.orchestrator
    answer = await orchestrator.progress(ctx.service, job_id, report)
    if report.phase is not ProgressPhase.RUNNING:
        request.app.state.nudger.nudge_soon(moved=[job_id])
    if report.phase is ProgressPhase.STARTED:  # the others, some a minute, only renew a lease
        emit(AuditEvent.STAGE_STARTED, ctx, job_id=job_id, stage=report.stage)
    return answer


async def start(request: Request, ctx: CallerContext, job_id: str, ref: str, report: ProgressReport) -> StoredContent:
    """Take an attempt's start, and return what it works on."""
    orchestrator: Orchestrator = request.app.state.orchestrator
    try:
        found = await orchestrator.start(ctx.service, job_id, ref, report)
    except ContentNotFoundError:
        emit(AuditEvent.STAGE_STARTED, ctx, job_id=job_id, stage=report.stage)
        raise
    request.app.state.nudger.nudge_soon(moved=[job_id])
    emit(AuditEvent.STAGE_STARTED, ctx, job_id=job_id, stage=report.stage)
    return found
