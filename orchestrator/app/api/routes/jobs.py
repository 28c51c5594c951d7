"""What one does to a job that is there."""

from fastapi import APIRouter, Depends, Request

from app.api.schemas import JobId
from app.api.tracing import own_traceparent
from app.core.dispatch.pipeline import FIRST, PIPELINE
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.jobs import JobAccepted, JobRetried
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["jobs"])


@router.post(
    "/jobs/{job_id}/cancel",
    response_model=JobAccepted,
    summary="Cancel a job",
    description="At once, and a repeat changes nothing. `409 committing` while its page is being written to the corpus, "
    "or, if it was when its worker was lost, until it is handed out again; `409 already_ended` once it has completed or "
    "failed.",
)
async def cancel_job(job_id: JobId, request: Request, ctx: CallerContext = Depends(users_and())) -> JobAccepted:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    cancelled = await orchestrator.steering.cancel(ctx.owner, job_id)
    # its slot is free again
    stages = (definition.stage for definition in PIPELINE)
    await request.app.state.nudger.nudge(*stages, ended=[cancelled.job_id])
    emit(AuditEvent.JOB_CANCELLED, ctx, job_id=cancelled.job_id)
    return cancelled


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=JobRetried,
    summary="Try a failed or cancelled job again, as a new one",
    description="A repeat gets the same job, and how it stands by now. `409 not_retryable` of an upload, which is not kept, and of what only a run of its "
    "crawl can do: reading a list of links, a page of a dry run. A page of another run is tried again by itself, and the "
    "run's figures stay as they were.",
)
async def retry_job(job_id: JobId, request: Request, ctx: CallerContext = Depends(users_and())) -> JobRetried:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    retried, new = await orchestrator.steering.retry(ctx.owner, job_id, traceparent=own_traceparent())
    if new:
        await request.app.state.nudger.nudge(FIRST.stage)
    emit(AuditEvent.JOB_RETRIED, ctx, job_id=retried.job_id, retry_of=retried.retry_of)
    return retried
