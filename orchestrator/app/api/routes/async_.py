"""Submitting jobs."""

from fastapi import APIRouter, Depends, Request

from app.api.schemas import IdempotencyHeader
from app.api.tracing import own_traceparent
from app.core.dispatch.pipeline import FIRST
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
)
async def submit_job(
    payload: JobRequest,
    request: Request,
    idempotency_key: IdempotencyHeader = None,
    ctx: CallerContext = Depends(users_and()),
) -> JobAccepted:
    await enforcer.check(ctx)
    admit(payload, ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    accepted = await orchestrator.submit(
        ctx.owner,
        payload,
        traceparent=own_traceparent(),
        idempotency_key=idempotency_key,
    )
    await request.app.state.nudger.nudge(FIRST.stage)
    emit(
        AuditEvent.JOB_SUBMITTED,
        ctx,
        job_id=accepted.job_id,
        url=told_url(payload.url),
        corpus_name=payload.corpus_name,
    )
    return accepted
