"""Several URLs as one: submitting, following, cancelling, trying again."""

from fastapi import APIRouter, Depends, Request, Response

from app.api.schemas import BatchId, BatchIdempotencyHeader, BatchLimit
from app.core.dispatch.pipeline import FIRST, PIPELINE
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.batches import BatchAccepted, BatchPage, BatchRequest, BatchRetried, BatchView
from ml_shared.http.admission import admit
from ml_shared.http.paging import Cursor, link_next
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["batches"])


@router.post(
    "/jobs/batch",
    status_code=202,
    response_model=BatchAccepted,
    summary="Make up to 1,000 pages searchable, all of them or none",
    description="URLs that name one document are one job; `duplicates` says which of them were.",
)
async def submit_batch(
    payload: BatchRequest,
    request: Request,
    idempotency_key: BatchIdempotencyHeader = None,
    ctx: CallerContext = Depends(users_and()),
) -> BatchAccepted:
    await enforcer.check(ctx)
    admit(payload, ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    accepted, new = await orchestrator.steering.submit_batch(ctx.owner, payload, idempotency_key=idempotency_key)
    if new:
        await request.app.state.nudger.nudge(FIRST.stage)
    emit(
        AuditEvent.BATCH_SUBMITTED,
        ctx,
        batch_id=accepted.batch_id,
        jobs=len(accepted.jobs),
        corpus_name=payload.corpus_name,
    )
    return accepted


@router.get("/batches", response_model=BatchPage, summary="Your batches, newest first")
async def list_batches(
    request: Request,
    response: Response,
    limit: BatchLimit = 20,
    cursor: Cursor = None,
    ctx: CallerContext = Depends(users_and()),
) -> BatchPage:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    page = await orchestrator.steering.batches(ctx.owner, limit=limit, cursor=cursor)
    link_next(page.next_cursor, request, response)
    emit(AuditEvent.BATCHES_LISTED, ctx, results=len(page.items))
    return page


@router.get("/batches/{batch_id}", response_model=BatchView, summary="A batch: how far it is, and when it may end")
async def get_batch(batch_id: BatchId, request: Request, ctx: CallerContext = Depends(users_and())) -> BatchView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    batch = await orchestrator.steering.batch(ctx.owner, batch_id)
    emit(AuditEvent.BATCH_READ, ctx, batch_id=batch.batch_id, jobs=batch.jobs)
    return batch


@router.post(
    "/batches/{batch_id}/cancel",
    response_model=BatchView,
    summary="Cancel what is unfinished of a batch",
    description="A page that is just being written to its corpus is finished. A repeat changes nothing.",
)
async def cancel_batch(batch_id: BatchId, request: Request, ctx: CallerContext = Depends(users_and())) -> BatchView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    batch = await orchestrator.steering.cancel_batch(ctx.owner, batch_id)
    # their slots are free again
    await request.app.state.nudger.nudge(*(definition.stage for definition in PIPELINE), moved=[batch.batch_id])
    emit(AuditEvent.BATCH_CANCELLED, ctx, batch_id=batch.batch_id, jobs=batch.counts.cancelled)
    return batch


@router.post(
    "/batches/{batch_id}/retry",
    status_code=202,
    response_model=BatchRetried,
    summary="Try again what failed of a batch, as a new batch",
    description="A repeat gets the same answer, unless more has failed meanwhile.",
)
async def retry_batch(batch_id: BatchId, request: Request, ctx: CallerContext = Depends(users_and())) -> BatchRetried:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    retried, new = await orchestrator.steering.retry_batch(ctx.owner, batch_id)
    if new:
        await request.app.state.nudger.nudge(FIRST.stage)
    emit(AuditEvent.BATCH_RETRIED, ctx, batch_id=retried.batch_id, retry_of=retried.retry_of, jobs=len(retried.jobs))
    return retried
