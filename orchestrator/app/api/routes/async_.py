"""Submitting jobs."""

from fastapi import APIRouter, Depends, Request
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.api.schemas import IdempotencyHeader
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
_propagator = TraceContextTextMapPropagator()


@router.post(
    "/jobs", status_code=202, response_model=JobAccepted, summary="Make a page searchable: fetch, chunk, embed, index"
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
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    accepted = await orchestrator.submit(
        ctx.owner, payload, traceparent=carrier.get("traceparent"), idempotency_key=idempotency_key
    )
    request.app.state.nudger.nudge_soon(FIRST.stage)
    emit(
        AuditEvent.JOB_SUBMITTED,
        ctx,
        job_id=accepted.job_id,
        url=told_url(payload.url),
        corpus_name=payload.corpus_name,
    )
    return accepted
