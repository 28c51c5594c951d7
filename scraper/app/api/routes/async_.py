"""POST /enqueue and GET /results/{task_id}: the page later."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from app.api.schemas import (
    EnqueueAnswer,
    EnqueueAnswers,
    EnqueueScrape,
    EnqueueScrapes,
    PendingResult,
    ScrapeResult,
)
from app.worker.tasks import scrape_several_task, scrape_task
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import internal_only, users_and
from ml_shared.contracts.base import Identifier
from ml_shared.contracts.scraping import ScrapePurpose
from ml_shared.http.admission import admit, check_hand_out
from ml_shared.http.hand_outs import answers_of
from ml_shared.http.routing import GuardedRoute
from ml_shared.names import Service
from ml_shared.queues.queueing import HandedOut, TaskQueue
from ml_shared.queues.results import result_response
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.urls import told_url

router = APIRouter(route_class=GuardedRoute, tags=["async"])


@router.post(
    "/enqueue",
    status_code=202,
    response_model=EnqueueAnswer,
    summary="Fetch a page in the background",
    description="The outcome is at `GET /results/{task_id}` for an hour, for the caller who asked.",
)
async def scrape_async(
    payload: EnqueueScrape, request: Request, ctx: CallerContext = Depends(users_and(Service.ORCHESTRATOR))
) -> EnqueueAnswer:
    await enforcer.check(ctx)
    admit(payload, ctx)
    check_hand_out(payload)
    tasks: TaskQueue = request.app.state.tasks
    answer = await tasks.enqueue(scrape_task, ctx, kwargs=_arguments(payload), job_id=payload.job_id)
    emit(AuditEvent.SCRAPE_ENQUEUED, ctx, **_told(payload, answer))
    return answer


@router.post(
    "/enqueue/batch",
    response_model=EnqueueAnswers,
    tags=["internal"],
    summary="Internal: several hand-outs of the orchestrator's at once",
)
async def scrape_several(
    payload: EnqueueScrapes, request: Request, ctx: CallerContext = Depends(internal_only(Service.ORCHESTRATOR))
) -> EnqueueAnswers:
    await enforcer.check(ctx)
    tasks: TaskQueue = request.app.state.tasks
    handed = [HandedOut(each.job_id, _arguments(each), each.traceparent, each.alone) for each in payload.hand_outs]
    answers = await tasks.hand_out(scrape_task, ctx, handed, several=scrape_several_task)
    for each, answer in zip(payload.hand_outs, answers, strict=True):
        if isinstance(answer, EnqueueAnswer):
            emit(AuditEvent.SCRAPE_ENQUEUED, ctx, **_told(each, answer))
    return answers_of(answers)


def _arguments(payload: EnqueueScrape) -> dict[str, Any]:
    told = payload.model_dump(mode="json", include=set(EnqueueScrape.model_fields))
    if payload.purpose is ScrapePurpose.PAGE:
        del told["purpose"]  # a worker of an earlier version knows of nothing else
    return told


def _told(payload: EnqueueScrape, answer: EnqueueAnswer) -> dict[str, Any]:
    return {"job_id": payload.job_id, "task_id": answer.task_id, "url": told_url(payload.url)}


@router.get(
    "/results/{task_id}",
    response_model=ScrapeResult,
    responses={202: {"model": PendingResult, "description": "The task has not ended"}},
    summary="The outcome of a task",
    description="What `POST /scrape`, with `purpose: links` `POST /links`, would have answered, errors included.",
)
async def scrape_result(
    task_id: Annotated[Identifier, Path()],
    request: Request,
    ctx: CallerContext = Depends(users_and()),
) -> Response:
    await enforcer.check(ctx)
    response = await result_response(request.app.state.results, task_id, ctx)
    emit(AuditEvent.RESULT_READ, ctx, task_id=task_id)
    return response
