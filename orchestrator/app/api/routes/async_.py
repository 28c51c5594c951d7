"""Submitting jobs."""

import asyncio
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from app.api.preferences import wait_seconds
from app.api.schemas import IdempotencyHeader, PreferHeader
from app.api.tracing import own_traceparent
from app.core.dispatch.pipeline import FIRST
from app.core.jobs.endings import Endings
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.jobs import JobAccepted, JobRequest
from ml_shared.http.admission import admit
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.urls import told_url

router = APIRouter(route_class=GuardedRoute, tags=["jobs"])


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobAccepted,
    summary="Make a page searchable: fetch, chunk, embed, index",
    description="With `Prefer: wait=N` it answers once the job has ended, or after N seconds, and says so in "
    "`Preference-Applied`; `status` is the job's by then.",
)
async def submit_job(
    payload: JobRequest,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyHeader = None,
    prefer: PreferHeader = None,
    ctx: CallerContext = Depends(users_and()),
) -> JobAccepted:
    await enforcer.check(ctx)
    admit(payload, ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    accepted = await orchestrator.indexing.submit(
        ctx.owner, payload, traceparent=own_traceparent(), idempotency_key=idempotency_key
    )
    request.app.state.nudger.nudge_soon(FIRST.stage)
    emit(
        AuditEvent.JOB_SUBMITTED,
        ctx,
        job_id=accepted.job_id,
        url=told_url(payload.url),
        corpus_name=payload.corpus_name,
    )
    return await answer_or_wait(request, response, ctx, accepted)


async def answer_or_wait(
    request: Request, response: Response, ctx: CallerContext, accepted: JobAccepted
) -> JobAccepted:
    """Return the answer, which is held until the job has ended where the client prefers that and there is room to wait."""
    seconds = wait_seconds(request.headers.getlist("prefer"))
    if seconds is None:
        return accepted
    orchestrator: Orchestrator = request.app.state.orchestrator
    endings: Endings = request.app.state.endings
    try:
        waited = await endings.wait(ctx.owner, UUID(accepted.job_id), seconds)
    except asyncio.CancelledError:  # the server stops: the job is taken in all the same, and the client has to know it
        return accepted
    if waited is None:
        return accepted
    response.headers["Preference-Applied"] = f"wait={seconds}"
    return JobAccepted(job_id=accepted.job_id, status=await orchestrator.indexing.status(ctx.owner, accepted.job_id))
