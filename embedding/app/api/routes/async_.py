"""Routes that hand a document to a worker, and that tell what became of it."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from app.core.packing import pack_chunks
from app.worker.tasks import embed_document_task, embed_several_task
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import internal_only, users_and
from ml_shared.contracts.base import Identifier
from ml_shared.contracts.embedding import EmbedHandOut, EnqueueEmbed, EnqueueEmbeds, IndexResult
from ml_shared.contracts.queueing import EnqueueAnswer, EnqueueAnswers, PendingResult
from ml_shared.http.admission import admit, check_hand_out
from ml_shared.http.hand_outs import answers_of
from ml_shared.http.routing import GuardedRoute
from ml_shared.names import Operation, Service
from ml_shared.queues.queueing import HandedOut, TaskQueue
from ml_shared.queues.results import ResultStore, result_response
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.urls import told_url
from ml_shared.web.urls import document_url

ARGUMENTS = EnqueueEmbed.model_fields.keys() - {"chunks"}
# of the task: chunks go packed

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
    document_url(payload.document.url)  # another scheme than http is refused now, not in an hour
    kwargs = _arguments(payload, ctx)
    if payload.chunks is not None:
        kwargs["packed_chunks"] = await asyncio.to_thread(pack_chunks, payload.chunks)
    tasks: TaskQueue = request.app.state.tasks
    answer = await tasks.enqueue(embed_document_task, ctx, kwargs=kwargs, job_id=payload.job_id)
    emit(AuditEvent.EMBED_ENQUEUED, ctx, **_told(payload, answer))
    return answer


@router.post(
    "/enqueue/batch",
    tags=["internal"],
    summary="Internal: several hand-outs of the orchestrator's at once",
)
async def embed_several(
    payload: EnqueueEmbeds, request: Request, ctx: CallerContext = Depends(internal_only(Service.ORCHESTRATOR))
) -> EnqueueAnswers:
    await enforcer.check(ctx)
    for each in payload.hand_outs:
        document_url(each.document.url)
    tasks: TaskQueue = request.app.state.tasks
    handed = [HandedOut(each.job_id, _arguments(each, ctx), each.traceparent, each.alone) for each in payload.hand_outs]
    answers = await tasks.hand_out(embed_document_task, ctx, handed, several=embed_several_task)
    for each, answer in zip(payload.hand_outs, answers, strict=True):
        if isinstance(answer, EnqueueAnswer):
            emit(AuditEvent.EMBED_ENQUEUED, ctx, **_told(each, answer))
    return answers_of(answers)


def _arguments(payload: EnqueueEmbed | EmbedHandOut, ctx: CallerContext) -> dict[str, Any]:
    now = datetime.now(UTC)
    return payload.model_dump(mode="json", include=ARGUMENTS) | {
        "owner": payload.owner or ctx.owner,
        "as_of": (payload.as_of or now).isoformat(),
        "submitted_at": (payload.submitted_at or payload.as_of or now).isoformat(),
    }


def _told(payload: EnqueueEmbed | EmbedHandOut, answer: EnqueueAnswer) -> dict[str, Any]:
    return {
        "task_id": answer.task_id,
        "job_id": payload.job_id,
        "url": told_url(payload.document.url),
        "corpus_name": payload.corpus_name,
    }


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
