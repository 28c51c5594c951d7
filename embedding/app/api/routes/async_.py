"""Routes that hand a document to a worker, and that tell what became of it."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from app.core.packing import pack_chunks
from app.worker.tasks import embed_document_task
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.base import Identifier
from ml_shared.contracts.embedding import EnqueueEmbed, IndexResult
from ml_shared.contracts.queueing import EnqueueAnswer, PendingResult
from ml_shared.http.admission import admit, check_hand_out
from ml_shared.http.routing import GuardedRoute
from ml_shared.names import Operation, Service
from ml_shared.queues.queueing import TaskQueue
from ml_shared.queues.results import ResultStore, result_response
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.urls import told_url
from ml_shared.web.urls import normalise_url

router = APIRouter(route_class=GuardedRoute, tags=["async"])


@router.post(
    "/enqueue",
    status_code=202,
    summary="Make a document searchable",
    description="Takes a document and its chunks, as `POST /chunk` answers them. They replace what the corpus holds of "
    "the same URL, unless that is newer. The outcome is at `GET /results/{task_id}` for an hour.",
)
async def embed_async(
    payload: EnqueueEmbed, request: Request, ctx: CallerContext = Depends(users_and(Service.ORCHESTRATOR))
) -> EnqueueAnswer:
    await enforcer.check(ctx)
    admit(payload, ctx)
    check_hand_out(payload)
    normalise_url(payload.document.url)  # another scheme than http is refused now, not in an hour
    now = datetime.now(UTC)
    kwargs = payload.model_dump(mode="json", include=EnqueueEmbed.model_fields.keys() - {"chunks"}) | {
        "owner": payload.owner or ctx.owner,
        "as_of": (payload.as_of or now).isoformat(),
        "submitted_at": (payload.submitted_at or payload.as_of or now).isoformat(),
    }
    if payload.chunks is not None:
        kwargs["packed_chunks"] = await asyncio.to_thread(pack_chunks, payload.chunks)
    tasks: TaskQueue = request.app.state.tasks
    answer = await tasks.enqueue(embed_document_task, ctx, kwargs=kwargs, job_id=payload.job_id)
    emit(
        AuditEvent.EMBED_ENQUEUED,
        ctx,
        task_id=answer.task_id,
        job_id=payload.job_id,
        url=told_url(payload.document.url),
        corpus_name=payload.corpus_name,
    )
    return answer


@router.get(
    "/results/{task_id}",
    tags=[Operation.READ],
    summary="What became of a task",
    response_model=IndexResult,
    responses={202: {"model": PendingResult, "description": "The task has not ended"}},
)
async def read_result(
    task_id: Annotated[Identifier, Path()], request: Request, ctx: CallerContext = Depends(users_and())
) -> Response:
    await enforcer.check(ctx)
    results: ResultStore = request.app.state.results
    response = await result_response(results, task_id, ctx)
    emit(AuditEvent.RESULT_READ, ctx, task_id=task_id, status=response.status_code)
    return response
