"""`POST /chunk`."""

from fastapi import APIRouter, Depends, Request, Response

from app.api.schemas import ALTERNATIVE, CHUNK_DESCRIPTION, CHUNK_PROBLEMS
from app.config import settings
from app.core.logic import Asker, execute_chunk
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.chunking import ChunkRequest, ChunkResult
from ml_shared.http.admission import admit
from ml_shared.http.routing import GuardedRoute
from ml_shared.http.sync import within_deadline
from ml_shared.names import Service, Stage
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.spans import direct_work

router = APIRouter(route_class=GuardedRoute, tags=["sync"])


@router.post(
    "/chunk",
    response_model=ChunkResult,
    summary="Cut a text into token-exact pieces",
    description=CHUNK_DESCRIPTION,
    responses=CHUNK_PROBLEMS,
)
async def chunk_sync(
    payload: ChunkRequest, request: Request, ctx: CallerContext = Depends(users_and(Service.ORCHESTRATOR))
) -> Response:
    await enforcer.check(ctx)
    admit(payload, ctx, echo_job_id=True)
    with direct_work(Stage.CHUNKING, payload.job_id):
        answer = await within_deadline(
            execute_chunk(payload, request.app.state.chunker, Asker(ctx.owner, ctx.is_internal)),
            settings.SYNC_TIMEOUT_SECONDS,
            ALTERNATIVE,
        )
    emit(
        AuditEvent.CHUNK_COMPLETE,
        ctx,
        job_id=payload.job_id,
        chunk_count=answer.chunks,
        token_total=answer.tokens,
    )
    return Response(answer.body, media_type="application/json")
